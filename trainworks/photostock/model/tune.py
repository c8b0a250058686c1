"""What learns, how fast, from when: ordered rules over parameters, ``logit_scale=1, image.head=1, text.*=0.1@2, *=0``.

A rule is ``pattern=speed`` or ``pattern=speed@epoch``; the first rule whose pattern matches a parameter decides.

**Patterns.** Names start with the tower: ``image.…``, ``text.…``, ``logit_scale``, ``logit_bias``; the rest is
open_clip's own name. A pattern (``*`` is any run of characters) names a parameter or whatever it is part of:
``text`` is the whole text tower. Some parts have one name in every architecture, also with ``*`` for the tower:

==================  ====================================================================================
``image.head``      the last projection into the shared space
``image.last(2)``   the last two blocks (all, where there are fewer) and what follows them up to the head
``image.norms``     scales and shifts of the normalisation layers
==================  ====================================================================================

**Speed.** ``0.1`` is a factor of the learning rate; 0 freezes. ``0.5*decay(0.8)`` lets the block nearest the head
learn at 0.5, every block further away at 0.8 times the one before, stem and embeddings one step further (layer-wise
decay, Howard & Ruder 2018, arXiv 1801.06146). ``lora(8)`` or ``0.5*lora(8)`` freezes the part and lets adapters of rank 8
learn on its linear layers (:mod:`trainworks.photostock.model.lora`). ``@2`` is frozen before the second epoch.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from trainworks.errors import LanguageError
from trainworks.grammar import nearest, require
from trainworks.photostock.model.parts import TOWERS, Place, places, readable

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_RULE = re.compile(r"\s*(?P<pattern>[\w.*?\[\]-]+)(?P<last>\([^()=]*\))?\s*=\s*(?P<speed>[^@]*?)\s*(?:@\s*(?P<thaw>.*?)\s*)?", re.DOTALL)
_SPEED = re.compile(rf"(?P<alone>{_NUMBER})|(?:(?P<factor>{_NUMBER})\s*\*\s*)?(?P<call>[A-Za-z]\w*)\(\s*(?P<argument>[^()]*?)\s*\)")
_COUNT = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True)
class Rule:
    """Parameters matching ``pattern`` learn at ``factor`` × ``decay`` ^ depth times the learning rate from epoch ``thaw`` on."""

    pattern: str
    factor: float
    position: int
    last: int = 0
    lora: int = 0
    decay: float = 1.0
    thaw: int = 1

    def matches(self, place: Place) -> bool:
        """Whether *place* is, or is part of, what the pattern names."""
        if self.last:
            return bool(place.block) and place.depth < self.last and fnmatchcase(place.tower, self.pattern.partition(".last(")[0])
        return any(fnmatchcase(name, pattern) for name in place.names for pattern in (self.pattern, f"{self.pattern}.*"))

    def factor_at(self, place: Place) -> float:
        """Factor of the learning rate for the parameter at *place*; 0 is frozen."""
        return 0.0 if self.lora and not place.is_adapter else self.factor * self.decay**place.depth


def rules(text: str, epochs: int | None = None) -> list[Rule]:
    """Parse ``pattern=speed@epoch, …``; with *epochs*, also refuse to thaw after the last.

    Raises:
        LanguageError: with the position, the text there and what is allowed.
    """
    parsed, position = [], 0
    for piece in text.split(","):
        parsed.append(_rule(text, position, piece, epochs))
        position += len(piece) + 1
    return parsed


def adapt(model: Any, text: str, epochs: int) -> None:
    """Check *text* against *model* and insert its ``lora`` adapters, in place; without ``lora`` the model stays as it is.

    Raises:
        LanguageError: a rule names or decides nothing, a parameter is named by no rule, a thaw epoch is after the last,
            nothing learns in the first epoch, decay without blocks, lora without attention.
    """
    parsed = rules(text, epochs)
    decided = _decide(model, text)
    learning = [rule.thaw for _, rule in decided.values() if rule.factor]
    if not learning:
        raise LanguageError("tune", text, 0, "every parameter is frozen, nothing would learn")
    if min(learning) > 1:
        raise LanguageError("tune", text, 0, f"nothing would learn before epoch {min(learning)}: let some part start without @")
    if any(rule.lora for rule in parsed):
        from trainworks.photostock.model import lora

        lora.inject(model, _ranks(model, text, decided, lora.layers(model)))


def groups(model: Any, text: str, learning_rate: float, weight_decay: float) -> tuple[list[dict], list[dict]]:
    """AdamW's parameter groups for *model* (after :func:`adapt`), and a table of them for people.

    A group also has a unique ``name`` and ``thaw``, its first epoch. Vectors and scalars (biases, norms, the temperature) get
    no weight decay, as CLIP does (Radford et al. 2021, section 2.5). Frozen parameters belong to no group; ``requires_grad`` is
    set for epoch 1. The table's ``thaw`` and ``lora`` (rank) are 0 for never and none.
    """
    decided = _decide(model, text)
    labels = {name: _label(place, rule) for name, (place, rule) in decided.items()}
    ambiguous = Counter(label for label, _ in {(labels[name], rule) for name, (_, rule) in decided.items()})
    members: dict[str, list[str]] = {}
    for name, (_, rule) in decided.items():
        label = labels[name]
        members.setdefault(f"{label} ({rule.pattern})" if ambiguous[label] > 1 else label, []).append(name)
    parameters = dict(model.named_parameters())
    table, optimised = [], []
    for group, names in sorted(members.items(), key=lambda item: _order(item[0], *decided[item[1][0]])):
        place, rule = decided[names[0]]
        factor, chosen = rule.factor_at(place), [parameters[name] for name in names]
        row = {"group": group, "parameters": sum(p.numel() for p in chosen), "factor": factor, "learning_rate": factor * learning_rate}
        table.append({**row, "thaw": rule.thaw if factor else 0, "lora": rule.lora if place.is_adapter else 0})
        for parameter in chosen:
            parameter.requires_grad_(False)
        if not factor:
            continue
        matrices, vectors = [p for p in chosen if p.ndim > 1], [p for p in chosen if p.ndim <= 1]
        for name, decay, params in ((group, weight_decay, matrices), (f"{group}, no decay", 0.0, vectors)):
            if params:
                settings = {"lr": row["learning_rate"], "weight_decay": decay, "name": name, "thaw": rule.thaw}
                optimised.append({"params": params, **settings})
    thaw(optimised, 1)
    return optimised, table


def thaw(optimised: Iterable[dict], epoch: int) -> None:
    """Let the groups learn whose first epoch has come (*epoch* counts from 1); for others no gradient is computed, and AdamW skips them."""
    for group in optimised:
        for parameter in group["params"]:
            parameter.requires_grad_(epoch >= group["thaw"])


def merge(model: Any) -> None:
    """Merge the adapters of :func:`adapt` into the weights, in place: names and shapes are again those of the plain model."""
    if any(".lora_" in name for name, _ in model.named_parameters()):
        from trainworks.photostock.model import lora

        lora.merge(model)


def is_frozen(model: Any, text: str, tower: str) -> bool:
    """Whether all of *tower* (``image`` or ``text``) but its head stays as it is for the whole run.

    Raises:
        LanguageError: as :func:`adapt`, where *text* does not fit *model*.
    """
    return all(rule.factor == 0 for place, rule in _decide(model, text).values() if place.part == tower)


def _rule(text: str, start: int, piece: str, epochs: int | None) -> Rule:
    match = _RULE.fullmatch(piece)
    if not match:
        raise LanguageError("tune", text, start, f"expected pattern=factor such as text.head=1 or text=0.1@2, found {piece.strip()!r}")
    position = start + match.start("pattern")
    pattern, last = match["pattern"] + (match["last"] or ""), 0
    if match["last"]:
        tower, _, alias = match["pattern"].rpartition(".")
        require("tune", text, position, alias, ["last"])
        if not tower or not _COUNT.fullmatch(match["last"][1:-1]):
            raise LanguageError(
                "tune", text, position, f"expected blocks counted from 1 such as image.last(2) or *.last(2), found {pattern!r}"
            )
        last = int(match["last"][1:-1])
    factor, lora, decay = _speed(text, start + match.start("speed"), match["speed"])
    thaw = 1
    if match["thaw"] is not None:
        thaw_start = start + match.start("thaw")
        if not _COUNT.fullmatch(match["thaw"]):
            raise LanguageError("tune", text, thaw_start, f"expected an epoch from 1 on after '@', found {match['thaw']!r}")
        thaw = int(match["thaw"])
        if epochs is not None and thaw > epochs:
            raise LanguageError("tune", text, thaw_start, f"epoch {thaw} never comes: the run has {epochs}")
        if factor == 0:
            raise LanguageError("tune", text, thaw_start, f"{pattern} is frozen (0), so it has no first epoch; leave out @{thaw}")
    return Rule(pattern, factor, position, last, lora, decay, thaw)


def _speed(text: str, start: int, speed: str) -> tuple[float, int, float]:
    """Factor, rank (0: none) and decay (1: none)."""
    match = _SPEED.fullmatch(speed)
    if not match:
        raise LanguageError("tune", text, start, f"expected a factor such as 0.1, lora(8) or 0.5*decay(0.8), found {speed!r}")
    factor = float(match["alone"] or match["factor"] or 1)
    if not math.isfinite(factor):
        raise LanguageError("tune", text, start, f"expected a finite factor, found {speed!r}")
    if match["call"] is None:
        return factor, 0, 1.0
    require("tune", text, start + match.start("call"), match["call"], ["lora", "decay"])
    argument, position = match["argument"], start + match.start("argument")
    if factor == 0:
        raise LanguageError("tune", text, start, f"0 freezes: write 0 without {match['call']}")
    if match["call"] == "lora":
        if not _COUNT.fullmatch(argument):
            raise LanguageError("tune", text, position, f"expected a rank from 1 on such as lora(8), found {argument!r}")
        return factor, int(argument), 1.0
    if not re.fullmatch(_NUMBER, argument) or not 0 < float(argument) <= 1:
        raise LanguageError("tune", text, position, f"expected a number above 0 and at most 1 such as decay(0.8), found {argument!r}")
    return factor, 0, float(argument)


def _decide(model: Any, text: str) -> dict[str, tuple[Place, Rule]]:
    """Parameter name → its place and the first rule that matches it."""
    place_of, parsed = places(model), rules(text)
    matched = {rule: [name for name, place in place_of.items() if rule.matches(place)] for rule in parsed}
    for rule, names in matched.items():
        if not names:
            patterns = sorted({pattern for place in place_of.values() for pattern in place.patterns()})
            raise LanguageError("tune", text, rule.position, f"{rule.pattern!r} names no parameter{nearest(rule.pattern, patterns)}")
        if rule.decay < 1 and not any(place_of[name].depth for name in names):
            raise LanguageError("tune", text, rule.position, f"{rule.pattern!r} names one step, there is nothing to decay over")
    first_rule = {name: rule for rule in reversed(parsed) for name in matched[rule]}
    for name, place in place_of.items():
        if name not in first_rule:
            raise LanguageError("tune", text, len(text), f"no pattern says how fast {place.name!r} learns; end with *=0 or *=1")
    for rule in parsed:
        if rule.pattern != "*" and rule not in first_rule.values():
            raise LanguageError("tune", text, rule.position, f"rules before {rule.pattern!r} decide all it names; put it before them")
    return {name: (place, first_rule[name]) for name, place in place_of.items()}


def _ranks(model: Any, text: str, decided: dict[str, tuple[Place, Rule]], layers: dict[str, str]) -> dict[str, int]:
    """Layer name → rank of its adapter: the *layers* (weight → layer) that a lora rule decides, in blocks with attention."""
    attention = tuple(f"{path}." for path, module in model.named_modules() if "Attention" in type(module).__name__)
    blocks_with_attention = {place.block for name, (place, _) in decided.items() if place.block and name.startswith(attention)}
    ranks: dict[str, int] = {}
    adapted = set()  # rules, and (rule, tower), that put an adapter somewhere
    for weight, layer in layers.items():
        place, rule = decided[weight]
        _, output = decided.get(f"{layer}.out_proj.weight", (place, rule))
        if output.lora != rule.lora:
            raise LanguageError(
                "tune", text, output.position, f"{output.pattern!r} parts {readable(layer)}, whose lora is one for in and out"
            )
        if rule.lora and place.block in blocks_with_attention:
            ranks[layer] = rule.lora
            adapted |= {(rule, place.tower), rule}
    for place, rule in decided.values():
        if rule.lora and ((rule, place.tower) if place.tower in TOWERS else rule) not in adapted:
            where = f"in the {place.tower} tower" if place.tower in TOWERS else "there"
            raise LanguageError("tune", text, rule.position, f"lora needs attention, and {rule.pattern!r} names none {where}")
    return ranks


def _label(place: Place, rule: Rule) -> str:
    label = place.part
    if rule.decay < 1 and place.part in TOWERS:
        label = place.block or f"{place.part}.stem"
    return f"{label} lora({rule.lora})" if place.is_adapter else label


def _order(group: str, place: Place, rule: Rule) -> tuple[str, int, str]:
    return place.tower, -place.depth if rule.decay < 1 else 0, group
