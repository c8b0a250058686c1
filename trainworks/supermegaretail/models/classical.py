"""Classical methods by statsforecast, each series for itself: compared on a stated sample. They have no graph, so none ships."""

from typing import Any, ClassVar

import numpy as np

from trainworks.supermegaretail.features.recipe import SERIES, codes, series_names
from trainworks.supermegaretail.models.graphs import Graph
from trainworks.supermegaretail.models.protocol import Family, Fitted, Task

SAMPLE = 100
"""Series that are fitted, those with code 1, 2 … evenly over all; the others are forecast by smoothing, so that every row has a mean."""

SMOOTHED = "ewm(0.2)"


class _Classical(Family):
    features = SMOOTHED
    ships = False
    model: ClassVar[str]

    def __init__(self, sample: int = SAMPLE):
        self._sample = sample

    def fit(self, task: Task) -> Fitted:
        """Fit each series of the sample to the end of what is known."""
        from statsforecast import models

        code = codes(series_names(task.panel), task.recipe.levels[SERIES])
        season = {"day": 7, "week": 1, "month": 12}[task.recipe.period]
        chosen = np.unique(np.linspace(0, len(code) - 1, min(self._sample, len(code))).astype(int))
        table = np.full((len(task.recipe.levels[SERIES]) + 1, task.recipe.horizon), np.nan)
        for position in chosen:
            demand = task.panel.demand[position]
            known = demand[np.isfinite(demand)]
            if code[position] and len(known) > 3:
                model = getattr(models, self.model)(season_length=season)
                table[code[position]] = model.forecast(y=known, h=task.recipe.horizon)["mean"]
        return Table(task.recipe.columns, table)


class Arima(_Classical):
    """ARIMA with orders by AICc."""

    model = "AutoARIMA"


class Ets(_Classical):
    """Exponential smoothing with error, trend and season by AICc."""

    model = "AutoETS"


class Table:
    """A mean for each code of a series and step; a series without one is smoothed."""

    def __init__(self, columns: Any, table: np.ndarray):
        self._columns, self._table = tuple(columns), table

    def mean(self, values: np.ndarray) -> np.ndarray:
        """See `Fitted`."""
        series, step, smoothed = (values[:, self._columns.index(name)] for name in (SERIES, "step", SMOOTHED))
        mean = self._table[series.astype(int), step.astype(int) - 1]
        return np.maximum(np.where(np.isnan(mean), smoothed, mean), 0)

    def draw(self, graph: Graph) -> str:
        """Never: its numbers are those of one origin."""
        raise NotImplementedError("models of statsforecast have no graph: none is shipped")
