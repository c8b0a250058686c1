"""What a gate may ask of a run, and the ``gates`` little language that asks: ``recall >= 0.25, forgetting <= 0.05 waived``."""

import re
from typing import NamedTuple

from trainworks.errors import LanguageError
from trainworks.grammar import require
from trainworks.release.gates import Must


class Measure(NamedTuple):
    """Which way a measure must go, what it means, and the *least* bound that makes sense; the greatest is 1."""

    must: Must
    meaning: str
    least: float = 0.0


class Asked(NamedTuple):
    """A bound that is asked of a measure; *waived* does not hold a release back."""

    name: str
    bound: float
    waived: bool


BEHAVIOUR: dict[str, str] = {
    "consistency": "share of inputs embedded the same alone, in a batch, in another order and in another process",
    "flip": "share of test pictures whose mirror image keeps most of its first answers",
    "rotation": "share of test pictures that, turned by a few degrees, keep most of their first answers",
    "reencoding": "share of test pictures that, saved anew as JPEG, keep most of their first answers",
    "rescaling": "share of test pictures that, made smaller or larger, keep most of their first answers",
    "border": "share of test pictures that, with a white border, keep most of their first answers",
    "case": "share of queries that, in upper or lower case, keep most of their first answers",
    "tag_order": "share of tag queries that, in another order, keep most of their first answers",
    "plural": "share of queries that, with a word in singular or plural, keep most of their first answers",
    "synonyms": "share of queries that, with a word by its synonym, keep most of their first answers",
    "noise": "share of test pictures that, with noise added, keep most of their first answers",
    "blur": "share of test pictures that, blurred, keep most of their first answers",
    "typos": "share of queries that, with a typo, keep most of their first answers",
    "contrast": "share of texts that score higher for their own picture than with an attribute swapped, such as 'blue car' for 'red car'",
    "monotonicity": "share of queries whose right picture scores no lower with one more true tag",
    "int8_agreement": "share of queries whose 8-bit embedding keeps most of the first answers of the fp32 one",
}
"""Behaviour check → what its rate, 0 to 1, is the share of."""

MEASURES: dict[str, Measure] = {
    "recall": Measure("at least", "text-to-image R@10 on the test gallery"),
    "gain": Measure("at least", "R@10 gained over the untouched backbone", least=-1),
    "regression": Measure("at most", "R@10 lost against the current release, with 95 % confidence", least=-1),
    "forgetting": Measure("at most", "R@10 that the worst kind of query lost against the untouched backbone", least=-1),
    "parity": Measure("at most", "largest absolute difference between the torch and the ONNX encoders"),
    "int8_loss": Measure("at most", "R@10 that the worse 8-bit encoder in the bundle loses against fp32", least=-1),
    "rejected": Measure("at most", "share of the catalogue's pictures that prepare rejected"),
    **{name: Measure("at least", meaning) for name, meaning in BEHAVIOUR.items()},
}
"""Measure → what a gate on it means. Recalls and rates are shares, 0 to 1."""

_SIGNS: dict[Must, str] = {"at least": ">=", "at most": "<="}
_GATE = re.compile(r"\s*([A-Za-z_]\w*)\s*([<>=!]*)\s*(\S*)\s*(.*?)\s*")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)


def parse(text: str) -> list[Asked]:
    """Read ``recall >= 0.25, forgetting <= 0.05 waived``: comparisons of measures with numbers, in the order of *text*.

    Raises:
        LanguageError: an unknown or repeated measure, a comparison that is no comparison or points the wrong way, a number
            that is none or out of range, another word than ``waived``, or nothing at all, which is not a gate that holds.
    """
    if not text.strip():
        raise LanguageError(
            "gates", text, 0, "no gate at all must not look like all that hold; to release whatever comes: gain >= 0 waived"
        )
    found: dict[str, Asked] = {}
    at = 0
    for piece in text.split(","):
        asked = _asked(text, at, piece)
        if asked.name in found:
            raise LanguageError("gates", text, text.index(asked.name, at), f"{asked.name!r} stands here a second time; give it one bound")
        found[asked.name] = asked
        at += len(piece) + 1
    return list(found.values())


def _asked(text: str, at: int, piece: str) -> Asked:
    match = _GATE.fullmatch(piece)
    if not match:
        start = at + len(piece) - len(piece.lstrip())
        raise LanguageError("gates", text, start, f"expected a gate such as recall >= 0.25, found {piece.strip()!r}")
    name, sign, number, word = match.groups()
    at_name, at_sign, at_number, at_word = (at + match.start(group) for group in range(1, 5))
    require("gates", text, at_name, name, MEASURES)
    measure = MEASURES[name]
    expected = _SIGNS[measure.must]
    if sign != expected:
        raise LanguageError(
            "gates", text, at_sign, f"{name} takes {expected}, found {sign!r}: {measure.meaning} must be {measure.must} its bound"
        )
    if not _NUMBER.fullmatch(number) or not measure.least <= float(number) <= 1:
        raise LanguageError("gates", text, at_number, f"{name} takes a number from {measure.least:g} to 1, found {number!r}")
    if word not in ("", "waived"):
        raise LanguageError("gates", text, at_word, f"expected ',' or the word waived after {name} {sign} {number}, found {word!r}")
    return Asked(name, float(number), word == "waived")
