"""The parser that Trainworks' little languages share: calls in a row or a sum, names with a tag, pairs."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from trainworks.errors import LanguageError

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(([^()]*)\))?\s*")
_TAGGED = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:@\s*([A-Za-z_]\w*)\s*(?:\(([^()]*)\))?)?\s*")
_PAIR = re.compile(r"\s*([A-Za-z_]\w*)\s*:\s*([^,:]*[^,:\s])\s*")
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


@dataclass(frozen=True)
class Call:
    """``name(args…)`` with its position in the text."""

    name: str
    args: tuple[float | str, ...]
    position: int


@dataclass(frozen=True)
class Tagged:
    """``name@tag(args…)`` with its position in the text."""

    name: str
    tag: Call
    position: int


@dataclass(frozen=True)
class Pair:
    """``name: value`` with the position of each."""

    name: str
    value: str
    position: int
    value_position: int


def calls(knob: str, text: str, allowed: Iterable[str], between: str = ">") -> list[Call]:
    """Parse ``shortest(224) > center_crop(224)``: calls in a row, each name one of *allowed*, *between* two of them a sign such as ``+``.

    Arguments are numbers or bare words.

    Raises:
        LanguageError: with the position, what was found and what is allowed.
    """
    steps, at = [], 0
    while True:
        match = _CALL.match(text, at)
        if not match:
            raise LanguageError(knob, text, at, f"expected a step such as {' or '.join(sorted(allowed))}, found {text[at : at + 12]!r}")
        position = match.start(1)
        require(knob, text, position, match[1], allowed)
        steps.append(Call(match[1], _arguments(knob, text, match, 2), position))
        at = match.end()
        if at == len(text):
            return steps
        at = _after(knob, text, at, between, "steps" if between == ">" else "terms")


def tagged(knob: str, text: str, tags: Iterable[str]) -> list[Tagged]:
    """Parse ``river@past(1) + moon@always``: a sum of names, each with one of *tags*.

    Raises:
        LanguageError: with the position, what was found and what is allowed.
    """
    terms, at = [], 0
    while True:
        match = _TAGGED.match(text, at)
        if not match:
            raise LanguageError(knob, text, at, f"expected a name such as weather@past(1), found {text[at : at + 12]!r}")
        if match[2] is None:
            raise LanguageError(knob, text, match.end(1), f"expected @ and one of {', '.join(tags)} after {match[1]!r}")
        require(knob, text, match.start(2), match[2], tags)
        terms.append(Tagged(match[1], Call(match[2], _arguments(knob, text, match, 3), match.start(2)), match.start(1)))
        at = match.end()
        if at == len(text):
            return terms
        at = _after(knob, text, at, "+", "terms")


def pairs(knob: str, text: str) -> list[Pair]:
    """Parse ``date: day sold, kind: type``: names that are not repeated, each with a value that has neither comma nor colon.

    Raises:
        LanguageError: with the position, what was expected and what was found.
    """
    found: list[Pair] = []
    at = 0
    while True:
        match = _PAIR.match(text, at)
        if not match:
            raise LanguageError(knob, text, at, f"expected a pair such as name: value, found {text[at : at + 12]!r}")
        if any(match[1] == pair.name for pair in found):
            raise LanguageError(knob, text, match.start(1), f"{match[1]!r} stands here a second time")
        found.append(Pair(match[1], match[2], match.start(1), match.start(2)))
        at = match.end()
        if at == len(text):
            return found
        at = _after(knob, text, at, ",", "pairs")


def _after(knob: str, text: str, at: int, sign: str, things: str) -> int:
    if text[at] != sign:
        raise LanguageError(knob, text, at, f"expected {sign!r} between two {things}, found {text[at]!r}")
    return at + 1


def require(knob: str, text: str, position: int, name: str, allowed: Iterable[str]) -> None:
    """Refuse a *name* that is not *allowed*, naming the nearest that is."""
    allowed = list(allowed)
    if name not in allowed:
        raise LanguageError(knob, text, position, f"unknown {name!r}, expected one of {', '.join(allowed)}{nearest(name, allowed)}")


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The end of an error message: the *allowed* name that *name* was probably meant to be, if any."""
    near = difflib.get_close_matches(name, list(allowed), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _arguments(knob: str, text: str, match: re.Match, group: int) -> tuple[float | str, ...]:
    if match[group] is None:
        return ()
    values: list[float | str] = []
    for piece in re.finditer(r"[^,]+", match[group]):
        word = piece[0].strip()
        if _NUMBER.fullmatch(word):
            values.append(float(word) if "." in word else int(word))
        elif re.fullmatch(r"[A-Za-z_]\w*", word):
            values.append(word)
        else:
            raise LanguageError(knob, text, match.start(group) + piece.start(), f"expected a number or a word, found {word[:40]!r}")
    return tuple(values)
