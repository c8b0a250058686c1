"""The parser that Trainworks' little languages share: calls in a row, weighted sums, ordered rules."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from trainworks.errors import LanguageError

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(([^()]*)\))?\s*")
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


@dataclass(frozen=True)
class Call:
    """``name(args…)`` with its position in the text."""

    name: str
    args: tuple[float | str, ...]
    position: int


def calls(knob: str, text: str, allowed: Iterable[str]) -> list[Call]:
    """Parse ``shortest(224) > center_crop(224)``: calls in a row, each name one of *allowed*.

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
        steps.append(Call(match[1], _arguments(knob, text, match), position))
        at = match.end()
        if at == len(text):
            return steps
        if text[at] != ">":
            raise LanguageError(knob, text, at, f"expected '>' between two steps, found {text[at]!r}")
        at += 1


def require(knob: str, text: str, position: int, name: str, allowed: Iterable[str]) -> None:
    """Refuse a *name* that is not *allowed*, naming the nearest that is."""
    allowed = list(allowed)
    if name not in allowed:
        raise LanguageError(knob, text, position, f"unknown {name!r}, expected one of {', '.join(allowed)}{nearest(name, allowed)}")


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The end of an error message: the *allowed* name that *name* was probably meant to be, if any."""
    near = difflib.get_close_matches(name, list(allowed), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _arguments(knob: str, text: str, match: re.Match) -> tuple[float | str, ...]:
    if match[2] is None:
        return ()
    values: list[float | str] = []
    for piece in re.finditer(r"[^,]+", match[2]):
        word = piece[0].strip()
        if _NUMBER.fullmatch(word):
            values.append(float(word) if "." in word else int(word))
        elif re.fullmatch(r"[A-Za-z_]\w*", word):
            values.append(word)
        else:
            raise LanguageError(knob, text, match.start(2) + piece.start(), f"expected a number or a word, found {word[:40]!r}")
    return tuple(values)
