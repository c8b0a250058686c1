"""The ``grain`` and ``keep`` little languages, and the periods that a grain divides time into."""

import re

import numpy as np

from trainworks.errors import LanguageError
from trainworks.grammar import calls, nearest

PERIODS = ("day", "week", "month")
DAYS = {"day": 1, "week": 7}


def grain(text: str) -> tuple[tuple[str, ...], str]:
    """Parse ``store, product, week`` into the keys of a series and its period.

    Raises:
        LanguageError: with the position and what is expected.
    """
    names = list(re.finditer(r"[^,]+", text))
    for match in names:
        if not re.fullmatch(r"\s*[A-Za-z_]\w*\s*", match[0]):
            raise LanguageError("grain", text, match.start(), f"expected a name such as store, product or week, found {match[0]!r}")
    words = [match[0].strip() for match in names]
    if not words or words[-1] not in PERIODS:
        last = words[-1] if words else ""
        position = names[-1].start() if names else 0
        expected = f"expected it to end with {', '.join(PERIODS[:-1])} or {PERIODS[-1]}"
        raise LanguageError("grain", text, position, f"{expected}, found {last!r}{nearest(last, PERIODS)}")
    keys = tuple(words[:-1])
    if not keys:
        raise LanguageError("grain", text, 0, "expected keys in front of the period, as in store, product, week")
    for place, key in enumerate(keys):
        if key in keys[:place] or key in PERIODS:
            raise LanguageError("grain", text, names[place].start(), f"{key!r} stands here a second time, or is a period")
    return keys, words[-1]


def kept(text: str, keys: tuple[str, ...]) -> dict[str, int]:
    """Parse ``product(300) + store(30)`` into how many of each are kept; ``series(1000)`` counts series; empty keeps all.

    Raises:
        LanguageError: with the position and what is expected.
    """
    counts: dict[str, int] = {}
    for call in calls("keep", text, ("series", *keys), "+") if text.strip() else []:
        if len(call.args) != 1 or not isinstance(call.args[0], int) or call.args[0] < 1:
            raise LanguageError("keep", text, call.position, f"expected a number of them, as in {call.name}(300)")
        counts[call.name] = call.args[0]
    return counts


def start_of(day: np.ndarray, period: str, anchor: np.datetime64) -> np.ndarray:
    """The first day of the period that each *day* lies in; weeks begin on the weekday of *anchor*."""
    if period == "month":
        return day.astype("datetime64[M]").astype("datetime64[D]")
    return day - (day - anchor).astype(np.int64) % DAYS[period] * np.timedelta64(1, "D")


def start_after(start: np.datetime64, period: str, count: np.ndarray | int) -> np.ndarray:
    """The first day of the period that begins *count* periods after the one that begins at *start*; before it if negative."""
    if period == "month":
        return (start.astype("datetime64[M]") + count).astype("datetime64[D]")
    return start + np.asarray(count) * np.timedelta64(DAYS[period], "D")
