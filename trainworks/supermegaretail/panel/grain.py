"""The ``grain`` little language, ``store, product, week``, and the periods that it divides time into."""

import numpy as np

PERIODS = ("day", "week", "month")
DAYS = {"day": 1, "week": 7}


def start_after(start: np.datetime64, period: str, count: np.ndarray | int) -> np.ndarray:
    """The first day of the period that begins *count* periods after the one that begins at *start*; before it if negative."""
    if period == "month":
        return (start.astype("datetime64[M]") + count).astype("datetime64[D]")
    return start + np.asarray(count) * np.timedelta64(DAYS[period], "D")
