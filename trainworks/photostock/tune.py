"""What learns and how fast: ordered patterns over parameter names, ``logit_scale=1, *.head=1, image=0.1, *=0``.

Names start with the tower: ``image.…``, ``text.…``, ``logit_scale``, ``logit_bias``. The last
projection into the shared space is ``image.head`` and ``text.head`` in every architecture; the
rest is open_clip's own name. A pattern (``*`` is any run of characters) names a parameter or
whatever it is part of: ``text`` is the whole text tower. The first pattern that matches wins.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from trainworks.errors import LanguageError
from trainworks.grammar import nearest

_RULE = re.compile(r"\s*([\w.*?\[\]-]+)\s*=\s*(\d+(?:\.\d+)?(?:e-?\d+)?)\s*$")
_HEADS = {
    "visual.proj": "image.head",
    "visual.head": "image.head",
    "visual.attnpool": "image.head",
    "text_projection": "text.head",
    "text.text_projection": "text.head",
    "text.proj": "text.head",
}
_SHARED = ("logit_scale", "logit_bias")


@dataclass(frozen=True)
class Rule:
    """Parameters matching ``pattern`` learn at ``factor`` times the learning rate; 0 freezes them."""

    pattern: str
    factor: float
    position: int

    def matches(self, name: str) -> bool:
        """Whether *name* is, or is part of, what the pattern names."""
        return fnmatchcase(name, self.pattern) or fnmatchcase(name, f"{self.pattern}.*")


def rules(text: str) -> list[Rule]:
    """Parse ``pattern=factor, …``.

    Raises:
        LanguageError: with the position of the rule that does not parse.
    """
    found = []
    for piece in re.finditer(r"[^,]+|(?<=,)$|^$", text):
        match = _RULE.match(piece[0])
        if not match:
            raise LanguageError("tune", text, piece.start(), f"expected pattern=factor such as text.head=1, found {piece[0].strip()!r}")
        found.append(Rule(match[1], float(match[2]), piece.start() + match.start(1)))
    return found


def factors(names: Iterable[str], text: str) -> dict[str, float]:
    """Parameter name of open_clip → its factor, by the rules in *text*.

    Raises:
        LanguageError: a rule names nothing, or a parameter is named by no rule.
    """
    parsed = rules(text)
    known = {name: readable(name) for name in names}
    for rule in parsed:
        if not any(rule.matches(name) for name in known.values()):
            parts = sorted({part for name in known.values() for part in _parts(name)})
            raise LanguageError("tune", text, rule.position, f"{rule.pattern!r} names no parameter{nearest(rule.pattern, parts)}")
    chosen = {}
    for name, shown in known.items():
        matching = [rule.factor for rule in parsed if rule.matches(shown)]
        if not matching:
            raise LanguageError("tune", text, len(text), f"no pattern says how fast {shown!r} learns; end with *=0 or *=1")
        chosen[name] = matching[0]
    return chosen


def readable(name: str) -> str:
    """open_clip's parameter *name* as patterns see it."""
    for prefix, head in _HEADS.items():
        if name == prefix or name.startswith(prefix + "."):
            return head + name[len(prefix) :]
    if name in _SHARED:
        return name
    if name.startswith("visual."):
        return "image." + name.removeprefix("visual.")
    return "text." + name.removeprefix("text.")


def groups(model: Any, text: str, learning_rate: float, weight_decay: float) -> tuple[list[dict], list[dict]]:
    """AdamW's parameter groups for *model*, and a table of them for people.

    Vectors and scalars (biases, norms, the temperature) get no weight decay, as CLIP does (Radford et al. 2021, section 2.5).
    Frozen parameters get ``requires_grad = False`` and belong to no group.
    """
    chosen = factors((name for name, _ in model.named_parameters()), text)
    by_group: dict[tuple[str, float], list] = {}
    for name, parameter in model.named_parameters():
        factor = chosen[name]
        parameter.requires_grad_(factor > 0)
        by_group.setdefault((_group(name), factor), []).append(parameter)
    table, optimised = [], []
    for (group, factor), members in by_group.items():
        rate = factor * learning_rate
        table.append({"group": group, "parameters": sum(p.numel() for p in members), "factor": factor, "learning_rate": rate})
        for decay, chosen_members in ((weight_decay, [p for p in members if p.ndim > 1]), (0.0, [p for p in members if p.ndim <= 1])):
            if factor > 0 and chosen_members:
                optimised.append({"params": chosen_members, "lr": rate, "weight_decay": decay})
    return optimised, sorted(table, key=lambda row: row["group"])


def _group(name: str) -> str:
    shown = readable(name)
    tower, _, rest = shown.partition(".")
    return f"{tower}.head" if rest.split(".")[0] == "head" else tower


def _parts(name: str) -> Iterator[str]:
    pieces = name.split(".")
    return (".".join(pieces[: n + 1]) for n in range(len(pieces)))
