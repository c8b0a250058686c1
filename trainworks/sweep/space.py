"""What a sweep tries, as one text: ``learning_rate = log(1e-4, 1e-2); weight_decay = 0 | 0.05 | 0.2``.

Knobs are parted by ``;`` or line ends. Each has a range or choices:

====================  =============================================================================
``uniform(0, 0.2)``   any number from 0 to 0.2; a knob that counts takes whole numbers
``log(1e-4, 1e-2)``   the same, every factor of ten equally likely
``0 | 0.05 | 0.2``    one of these; a text is taken as it is, with its commas; ``| flip`` is nothing or ``flip``
====================  =============================================================================
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from enum import Enum
from typing import Any, get_type_hints

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from trainworks.config import Section
from trainworks.errors import LanguageError
from trainworks.grammar import require

Setting = dict[str, float | int | str]
"""Knob → value, as JSON has it: what one trial sets."""

_RANGE = re.compile(r"(\w+)\s*\(([^,()]*),([^,()]*)\)")


def parse(text: str, base: Section) -> dict[str, BaseDistribution]:
    """Knob of *base* → what is drawn from. Every choice, and both ends of a range, must fit the other knobs of *base* as they are.

    Raises:
        LanguageError: with the position, what was found and what is allowed.
    """
    names = [f.name for f in fields(base)]  # type: ignore[arg-type]
    space: dict[str, BaseDistribution] = {}
    for piece in re.finditer(r"[^;\n]*[^;\s][^;\n]*", text):
        name, equals, values = piece[0].partition("=")
        at = piece.start() + len(name) - len(name.lstrip())
        if not equals:
            raise LanguageError("space", text, at, f"expected a knob such as weight_decay = 0 | 0.05, found {piece[0].strip()!r}")
        require("space", text, at, name.strip(), names)
        if name.strip() in space:
            raise LanguageError("space", text, at, f"{name.strip()} comes twice; put all its choices in one place")
        space[name.strip()] = _Values(text, base, name.strip()).read(piece.start() + len(name) + 1, values)
    if not space:
        raise LanguageError("space", text, 0, f"names no knob; expected knob = choices, with one of {', '.join(names)}")
    return space


def size(space: Mapping[str, BaseDistribution]) -> float:
    """How many different settings *space* has; infinite with a range of a real number."""
    sizes = []
    for values in space.values():
        match values:
            case CategoricalDistribution():
                sizes.append(len(values.choices))
            case IntDistribution():
                sizes.append(values.high - values.low + 1)
            case _:
                return math.inf
    return math.prod(sizes)


def all_settings(space: Mapping[str, BaseDistribution]) -> Iterator[Setting]:
    """Every setting of a *space* of finite `size`, the values of its last knob changing fastest.

    Raises:
        ValueError: it has a range of a real number.
    """
    values: list[Iterable[Any]] = []
    for distribution in space.values():
        match distribution:
            case CategoricalDistribution():
                values.append(distribution.choices)
            case IntDistribution():
                values.append(range(distribution.low, distribution.high + 1))
            case _:
                raise ValueError(f"{distribution} has no end of values")
    return (dict(zip(space, row, strict=True)) for row in itertools.product(*values))


def apply(base: Section, setting: Setting) -> Any:
    """*base* with the knobs of *setting*.

    Raises:
        ValueError: the knobs do not go together.
    """
    kinds = get_type_hints(type(base))
    typed = {name: kinds[name](value) if issubclass(kinds[name], Enum) else value for name, value in setting.items()}
    return replace(base, **typed)  # type: ignore[type-var]


class _Values:
    """Reads the values of one knob of *base* from the whole text of a space."""

    def __init__(self, text: str, base: Section, name: str):
        self.text, self.base, self.name = text, base, name
        self.kind = get_type_hints(type(base))[name]

    def read(self, at: int, values: str) -> BaseDistribution:
        """What *values*, which start at position *at*, stand for."""
        bounds = _RANGE.fullmatch(values.strip())
        if bounds and self.kind in (int, float):
            return self._range(at + len(values) - len(values.lstrip()), bounds)
        choices: list[float | int | str] = []
        for word in values.split("|"):
            position = at + len(word) - len(word.lstrip())
            value = self._value(position, word.strip())
            if value in choices:
                raise LanguageError("space", self.text, position, f"{self.name} has {word.strip()!r} twice")
            choices.append(value)
            at += len(word) + 1
        if len(choices) == 1:
            what = "two choices such as a | b" + (", or a range such as log(1, 100)" if self.kind in (int, float) else "")
            raise LanguageError(
                "space", self.text, position, f"{self.name} has one value, expected {what}; give a fixed value as --{self.name}"
            )
        return CategoricalDistribution(choices)

    def _range(self, at: int, bounds: re.Match) -> BaseDistribution:
        require("space", self.text, at, bounds[1], ["log", "uniform"])
        ends = [at + bounds.start(k) + len(bounds[k]) - len(bounds[k].lstrip()) for k in (2, 3)]
        low, high = (self._value(end, bounds[k].strip()) for k, end in zip((2, 3), ends, strict=True))
        if low >= high:  # type: ignore[operator]
            raise LanguageError("space", self.text, ends[1], f"expected an upper end above {low}, found {high}")
        log = bounds[1] == "log"
        if log and low <= 0:  # type: ignore[operator]
            raise LanguageError("space", self.text, ends[0], f"expected a lower end above 0 for log, found {low}")
        return IntDistribution(low, high, log) if self.kind is int else FloatDistribution(low, high, log)  # type: ignore[arg-type]

    def _value(self, at: int, word: str) -> float | int | str:
        """*word* as JSON has it, after a section was built with it."""
        if issubclass(self.kind, Enum):
            require("space", self.text, at, word, [member.value for member in self.kind])
            value = word
        else:
            try:
                value = self.kind(word)
            except ValueError:
                what = "a whole number" if self.kind is int else "a number"
                raise LanguageError("space", self.text, at, f"expected {what} for {self.name}, found {word!r}") from None
        try:
            apply(self.base, {self.name: value})
        except ValueError as error:
            inside = error.position if isinstance(error, LanguageError) and error.text == word else 0
            raise LanguageError("space", self.text, at + inside, str(error).splitlines()[0]) from error
        return value
