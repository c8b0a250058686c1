"""What a gate may ask of a run, and the ``gates`` little language that asks: ``speed >= 0.25, loss <= 0.05 waived``.

A room names its measures in a table; here they are read, and judged by what the room measured.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from trainworks.errors import LanguageError
from trainworks.grammar import require
from trainworks.release.gates import Gate, Must, verdict


class Measure(NamedTuple):
    """Which way a measure must go, what it means, the *least* and *most* that a bound on it may be, its *unit* for ``gates.in_words``."""

    must: Must
    meaning: str
    least: float = 0.0
    most: float = 1.0
    unit: str = ""


class Asked(NamedTuple):
    """A bound that is asked of a measure; *waived* does not hold a release back."""

    name: str
    bound: float
    waived: bool


Measures = Mapping[str, Measure]
"""Name → measure, in the order in which they are listed to a person."""

_SIGNS: dict[Must, str] = {"at least": ">=", "at most": "<="}
_GATE = re.compile(r"\s*([A-Za-z_]\w*)\s*([<>=!]*)\s*(\S*)\s*(.*?)\s*")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)


def parse(text: str, measures: Measures) -> list[Asked]:
    """Read ``speed >= 0.25, loss <= 0.05 waived``: comparisons of *measures* with numbers, in the order of *text*.

    Raises:
        LanguageError: an unknown or repeated measure, a comparison that is no comparison or points the wrong way, a number
            that is none or out of range, another word than ``waived``, or nothing at all, which is not a gate that holds.
    """
    if not text.strip():
        words = f"no gate at all must not look like all that hold; to release whatever comes: {_example(measures)} waived"
        raise LanguageError("gates", text, 0, words)
    gates: dict[str, Asked] = {}
    at = 0
    for piece in text.split(","):
        asked = _asked(text, at, piece, measures)
        if asked.name in gates:
            raise LanguageError("gates", text, text.index(asked.name, at), f"{asked.name!r} stands here a second time; give it one bound")
        gates[asked.name] = asked
        at += len(piece) + 1
    return list(gates.values())


def judge(text: str, measures: Measures, measured: Callable[[str], tuple[float, str]]) -> dict[str, Any]:
    """The verdict of ``gates.verdict`` by the gates of *text*.

    *measured* gives the value of the measure of a name, and what else there is to say of it. NaN stands for what could not be
    measured, and fails; an infinite value on the right side holds every bound.

    Raises:
        LanguageError: as `parse`.
    """
    rows = []
    for name, bound, waived in parse(text, measures):
        value, note = measured(name)
        value = round(value, 12)  # 0.42 - 0.37 is a little less than 0.05, which is enough
        rows.append(Gate(name, value, bound, measures[name].meaning, measures[name].must, waived, note, measures[name].unit))
    return verdict(rows)


def _asked(text: str, at: int, piece: str, measures: Measures) -> Asked:
    """The gate that *piece*, which begins at position *at* of *text*, asks for."""
    match = _GATE.fullmatch(piece)
    if not match:
        start = at + len(piece) - len(piece.lstrip())
        raise LanguageError("gates", text, start, f"expected a gate such as {_example(measures)}, found {piece.strip()!r}")
    name, sign, number, word = match.groups()
    at_name, at_sign, at_number, at_word = (at + match.start(group) for group in range(1, 5))
    require("gates", text, at_name, name, measures)
    measure = measures[name]
    expected = _SIGNS[measure.must]
    if sign != expected:
        words = f"{name} takes {expected}, found {sign!r}: {measure.meaning} must be {measure.must} its bound"
        raise LanguageError("gates", text, at_sign, words)
    if not _NUMBER.fullmatch(number) or not measure.least <= float(number) <= measure.most:
        words = f"{name} takes a number from {measure.least:g} to {measure.most:g}, found {number!r}"
        raise LanguageError("gates", text, at_number, words)
    if word not in ("", "waived"):
        raise LanguageError("gates", text, at_word, f"expected ',' or the word waived after {name} {sign} {number}, found {word!r}")
    return Asked(name, float(number), word == "waived")


def _example(measures: Measures) -> str:
    name, measure = next(iter(measures.items()))
    return f"{name} {_SIGNS[measure.must]} 0.25"
