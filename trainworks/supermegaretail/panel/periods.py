"""The periods of a panel, as the dates of its sales say: which day they begin on, and which of them are whole."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from trainworks.errors import DataError
from trainworks.supermegaretail.panel.grain import start_after, start_of

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONDAY = np.datetime64("1970-01-05")
MOSTLY = 0.95
"""The share of a table's dates that decides what its dates are."""

FINER = {"day": 0, "week": 1, "month": 2}
LEAST_DAYS = {"day": 1, "week": 7, "month": 28}


@dataclass(frozen=True)
class Periods:
    """Consecutive periods with sales, whole ones only.

    Attributes:
        period: day, week or month
        starts: (known,) datetime64[D]
        refused: store → why its lines are left out
        dropped: lines in incomplete first and last periods
        missing: positions of periods between others in which nobody sold anything
        finest: day, week or month, what the dates of sales tell apart
        off: (7,) bool, weekdays from Monday on which hardly anything is ever sold; none of weeks and months
    """

    period: str
    starts: np.ndarray
    refused: dict[str, str]
    dropped: int
    missing: tuple[int, ...]
    finest: str
    off: np.ndarray

    def is_off(self, first_days: np.ndarray) -> np.ndarray:
        """Which of the days are such weekdays."""
        return self.off[_weekday(first_days.astype("datetime64[D]"))]

    def first_days(self, planned: int) -> np.ndarray:
        """The first days of all periods, *planned* ones after those with sales too, and of the one after them."""
        return start_after(self.starts[0], self.period, np.arange(len(self.starts) + planned + 1))


def periods(period: str, sales: pa.Table, planned_starts: np.ndarray, closed: np.ndarray) -> Periods:
    """The periods of *sales*, one row for each store and day with the number of lines.

    Weeks begin on the weekday of weekly sales; of daily ones on the day on which promotions and prices begin (*planned_starts*, days),
    if nearly all do, else on Mondays. *closed* are days on which no store is open.

    Raises:
        DataError: no sales, a grain finer than their dates, or fewer than three whole periods.
    """
    if not len(sales):
        raise DataError("sales: no line is left; expected dates, products and quantities")
    store = np.array(sales["store"].to_pylist(), dtype=object)
    day = sales["day"].to_numpy().astype("datetime64[D]")
    lines = sales["lines"].to_numpy()
    finest, weekday = _finest(store, day)
    refused = _other_weekdays(store, day, weekday) if finest == "week" and weekday is not None else {}
    kept = ~np.isin(store, list(refused))
    day, lines = day[kept], lines[kept]
    if FINER[period] < FINER[finest]:
        raise DataError(f"grain = … {period}: sales come by the {finest}; take {finest} or a coarser period")
    if weekday is None:
        weekday = _common_weekday(planned_starts)
    anchor = MONDAY + (0 if weekday is None else weekday)
    starts_of_lines = start_of(day, period, anchor)
    first, last = starts_of_lines.min(), starts_of_lines.max()
    if FINER[finest] < FINER[period]:
        length = 7 if finest == "week" else 1
        usual = _usual_weekdays(day)
        if _is_missing(first, day.min(), usual, closed, length):
            first = start_after(first, period, 1)
        if _is_missing(day.max() + length, start_after(last, period, 1), usual, closed, length):
            last = start_after(last, period, -1)
    inside = (starts_of_lines >= first) & (starts_of_lines <= last)
    count = len(np.unique(starts_of_lines[inside]))
    if count < 3:
        raise DataError(
            f"sales: {count} whole {period}s, from {day.min()} to {day.max()}; expected at least 3, and many more to learn from"
        )
    starts = start_after(first, period, np.arange(int((last - first).astype(np.int64)) // LEAST_DAYS[period] + 1))
    starts = starts[starts <= last]
    counts = np.bincount(_weekday(np.unique(day)), minlength=7)
    off = (counts * 20 < counts.max()) & (period == "day")
    missing = tuple(np.flatnonzero(~np.isin(starts, starts_of_lines) & ~off[_weekday(starts)]).tolist())
    return Periods(period, starts, refused, int(lines[~inside].sum()), missing, finest, off)


def length_of_rows(first_days: np.ndarray, rows: np.ndarray, time: Periods) -> str:
    """What a row without an end lasts, by the *first_days* of such rows and how many *rows* begin on each: period, week or day."""
    begins = start_of(first_days, time.period, time.starts[0]) == first_days
    if rows[begins].sum() >= MOSTLY * max(1, rows.sum()):
        return "period"
    return "week" if _common_weekday(np.repeat(first_days, np.minimum(rows, 100))) is not None else "day"


def _finest(store: np.ndarray, day: np.ndarray) -> tuple[str, int | None]:
    """What the dates tell apart, and the weekday of weekly ones (0 is Monday): nearly all stores must agree that they are no days."""
    weekly: list[int] = []
    monthly = others = 0
    for dates in _by_store(store, day).values():
        gaps = np.diff(dates).astype(np.int64)
        if len(dates) < 3:
            continue
        if gaps.min() >= 28 and len(set((dates - dates.astype("datetime64[M]")).astype(np.int64).tolist())) <= 4:
            monthly += 1
        elif (gaps % 7 == 0).all():
            weekly.append(int((dates[0] - MONDAY).astype(np.int64)) % 7)
        else:
            others += 1
    if monthly > others + len(weekly):
        return "month", None
    if len(weekly) > others + monthly:
        return "week", int(np.bincount(weekly).argmax())
    return "day", None


def _by_store(store: np.ndarray, day: np.ndarray) -> dict[str, np.ndarray]:
    order = np.lexsort((day, store.astype(str)))
    names, first = np.unique(store[order].astype(str), return_index=True)
    return dict(zip(names.tolist(), np.split(day[order], first[1:]), strict=True))


def _other_weekdays(store: np.ndarray, day: np.ndarray, weekday: int) -> dict[str, str]:
    refused = {}
    for name, dates in _by_store(store, day).items():
        others = np.unique((dates - MONDAY).astype(np.int64) % 7)
        if (others != weekday).any():
            days = ", ".join(WEEKDAYS[other] for other in others)
            refused[name] = f"its periods begin on {days}, those of the others on {WEEKDAYS[weekday]}"
    return refused


def _weekday(days: np.ndarray) -> np.ndarray:
    return (days - MONDAY).astype(np.int64) % 7


def _common_weekday(days: np.ndarray) -> int | None:
    if not len(days):
        return None
    counts = np.bincount((days.astype("datetime64[D]") - MONDAY).astype(np.int64) % 7, minlength=7)
    return int(counts.argmax()) if counts.max() >= MOSTLY * counts.sum() and len(np.unique(days)) > 2 else None


def _usual_weekdays(day: np.ndarray) -> np.ndarray:
    """(7,) bool: weekdays on which at least half as many days have sales as on the busiest one."""
    counts = np.bincount((np.unique(day) - MONDAY).astype(np.int64) % 7, minlength=7)
    return counts * 2 >= counts.max()


def _is_missing(first: np.ndarray, end: np.ndarray, usual: np.ndarray, closed: np.ndarray, length: int) -> bool:
    """Whether sales of a day on which stores are usually open are missing from *first* to the day before *end*."""
    days = np.arange(int(first.astype(np.int64)), int(end.astype(np.int64)))
    if length > 1:
        return len(days) >= length
    return bool((usual[(days - MONDAY.astype(np.int64)) % 7] & ~np.isin(days, closed.astype(np.int64))).any())
