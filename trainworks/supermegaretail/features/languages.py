"""The little languages of a forecast's inputs: ``features`` of the past, ``covariates`` with when they are known, and ``monotone``."""

from dataclasses import dataclass

from trainworks.errors import LanguageError
from trainworks.grammar import Call, calls, pairs, require, tagged

LONGEST = 1100
"""The most periods that a feature looks back: three years of days."""

WINDOWS = {
    **{"lag": 1, "mean": 1, "std": 2, "sold": 1, "trend": 3, "quantile": 2, "peers": 1},
    **{"base_lag": 1, "base_mean": 1, "season": 2, "past": 1},
}
"""Features of so many periods, and the least number that makes sense."""

SHARES = ("ewm", "base_ewm")
ALONE = ("since_sale", "age", "calendar")
FEATURES = (*WINDOWS, *SHARES, *ALONE)

WHEN = ("plan", "always", "past")
MISSING = ("refuse", "last")
PLANNED = ("promotion", "price")
"""Covariates whose plan may end before the horizon: without a row there is no promotion, and the price stays."""


@dataclass(frozen=True)
class Covariate:
    """A covariate and when it is known.

    Attributes:
        name: promotion, price, holiday, stock, or a table of its own
        when: plan and always know the period that is forecast, past does not
        behind: with past, how many periods before the first forecast one the newest value is from: 1 is the origin
        missing: with plan and always, what becomes of a target period without a value: refuse it, or take the last known
    """

    name: str
    when: str
    behind: int
    missing: str


def features(text: str) -> list[Call]:
    """Parse ``lag(1, 2) + mean(8) + ewm(0.2) + since_sale``; a feature of several windows becomes one call each.

    ``season`` alone is the season of the panel's period. Windows count periods, back from the origin.

    Raises:
        LanguageError: with the position and what is allowed.
    """
    single = []
    for call in calls("features", text, FEATURES, "+"):
        _check_arguments(text, call)
        single += [Call(call.name, (argument,), call.position) for argument in call.args] or [call]
    seen: set[tuple] = set()
    for call in single:
        if (call.name, call.args) in seen:
            raise LanguageError("features", text, call.position, f"{column(call)} stands here a second time")
        seen.add((call.name, call.args))
    return single


def column(call: Call) -> str:
    """The name of a feature of one window: ``lag(4)``."""
    return f"{call.name}({call.args[0]})" if call.args else call.name


def _check_arguments(text: str, call: Call) -> None:
    def refuse(expected: str) -> None:
        raise LanguageError("features", text, call.position, f"expected {expected}, found {call.name}{call.args or ''}")

    if call.name in ALONE:
        if call.args:
            refuse(f"{call.name} without numbers")
    elif call.name in SHARES:
        if not call.args or not all(isinstance(share, int | float) and 0 < share <= 1 for share in call.args):
            refuse(f"{call.name}(0.2), shares above 0 and at most 1")
    else:
        least = WINDOWS[call.name]
        if not call.args and call.name != "season":
            refuse(f"{call.name}({max(least, 4)}), so many periods")
        if not all(isinstance(periods, int) and least <= periods <= LONGEST for periods in call.args):
            refuse(f"whole numbers of periods from {least} to {LONGEST}")


def covariates(text: str) -> list[Covariate]:
    """Parse ``promotion@plan + weather@past(1)``; an empty *text* has none.

    ``@plan`` and ``@always`` know the period that is forecast, ``@past(k)`` ends k - 1 periods before the origin. Where a plan has no
    value, ``@plan(refuse)`` refuses to forecast and ``@plan(last)`` takes the last known; without a word promotion, price and the
    calendar's holidays fall back, every other covariate refuses.

    Raises:
        LanguageError: with the position and what is allowed.
    """
    known: list[Covariate] = []
    for term in tagged("covariates", text, WHEN) if text.strip() else []:
        if any(term.name == other.name for other in known):
            raise LanguageError("covariates", text, term.position, f"{term.name!r} stands here a second time")
        known.append(Covariate(term.name, term.tag.name, *_when(text, term.name, term.tag)))
    return known


def _when(text: str, name: str, tag: Call) -> tuple[int, str]:
    if tag.name == "past":
        periods = tag.args[0] if tag.args else 1
        if len(tag.args) > 1 or not isinstance(periods, int) or not 1 <= periods <= LONGEST:
            raise LanguageError("covariates", text, tag.position, f"expected past(1), periods from 1 to {LONGEST}, found past{tag.args}")
        return periods, "last"
    if len(tag.args) > 1 or not all(word in MISSING for word in tag.args):
        expected = " or ".join(f"{tag.name}({word})" for word in MISSING)
        raise LanguageError("covariates", text, tag.position, f"expected {tag.name}, {expected}, found {tag.name}{tag.args}")
    return 0, str(tag.args[0]) if tag.args else "last" if name in (*PLANNED, "holiday") else "refuse"


def monotone(text: str, known: list[Covariate]) -> dict[str, int]:
    """Parse ``price: down, promotion: up`` into -1 or +1 by covariate, each price, promotion or one of those *known*; it may be empty.

    Raises:
        LanguageError: with the position and what is allowed.
    """
    directions = {"down": -1, "up": 1}
    names = dict.fromkeys((*PLANNED, *(covariate.name for covariate in known)))
    signs = {}
    for pair in pairs("monotone", text) if text.strip() else []:
        require("monotone", text, pair.position, pair.name, names)
        require("monotone", text, pair.value_position, pair.value, directions)
        signs[pair.name] = directions[pair.value]
    return signs
