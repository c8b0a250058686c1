"""Two runs case by case: how much better one is where both were asked the same.

A room may leave ``cases.json`` in its bundle: ``{"score": the objective's name, "cases": {id: value}}``, where a case has the same id in
every run and the mean of the values is the score.
"""

from typing import Any

import numpy as np

from trainworks import intervals
from trainworks.release.scores import Score

FILE = "cases.json"

FEWEST = 50
"""Shared cases below which a difference decides nothing."""


def difference(score: Score, before: Any, after: Any) -> tuple[float, tuple[float, float], int] | None:
    """How much more of *score* the run *after* reaches than *before*, where that lies with 95 % confidence, and on how many shared cases.

    None where one of them has no cases of this score, or they share none.
    """
    both = [content["cases"] for content in (before, after) if content and content["score"] == score.name]
    shared = sorted(set.intersection(*map(set, both))) if len(both) == 2 else []
    if not shared:
        return None
    gained = np.array([[both[1][case] - both[0][case]] for case in shared], float)
    [ends] = intervals.paired(gained) if score.unit == "share" else intervals.bootstrap(gained)
    return float(gained.mean()), (ends[0], ends[1]), len(shared)
