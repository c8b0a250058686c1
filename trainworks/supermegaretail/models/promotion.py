"""Forecasts from what promotions and prices do: a smoothed level without them, times their effect on the target (`effects`)."""

from collections.abc import Sequence

import numpy as np

from trainworks.supermegaretail.models.baselines import deviance
from trainworks.supermegaretail.models.graphs import Graph
from trainworks.supermegaretail.models.protocol import Family, Fitted, Level, Task


class LiftSmoothing(Family):
    """Exponential smoothing of the sales without their promotions, times the effect of those planned."""

    inputs = "plan"
    among: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5)

    def __init__(self, *shares: float):
        self._columns = [f"base_ewm({each})" for each in shares or self.among]
        self.features = " + ".join(self._columns)

    def fit(self, task: Task) -> Fitted:
        """Choose the share that forecasts best."""
        alone = (LiftedSum(task.recipe.columns, [name], [1.0]) for name in self._columns)
        return min(alone, key=lambda model: deviance(task, model.mean(task.design.values)))


class PromotionRegression(Family):
    """A log-linear regression on price and promotions, each series with its own level.

    The level at the origin is a sum of means over longer and shorter pasts, with the weights that forecast best.
    """

    inputs = "plan"
    levels = ("scale", "base_ewm(0.05)", "base_ewm(0.1)", "base_ewm(0.2)", "base_ewm(0.5)", "base_mean(52)")
    features = " + ".join(levels[1:])

    def fit(self, task: Task) -> Fitted:
        """Least squares over the rows, in units of their level, with weights that are not negative."""
        from scipy.optimize import nnls

        names = [name for name in self.levels if name in task.recipe.columns]
        lift = Level(task.recipe.columns).lift(task.design.values)
        parts = np.stack([task.design.column(name) for name in names], axis=1).astype(np.float64) * lift[:, None]
        # Counts have a variance that grows with their mean.
        weight = 1 / np.sqrt(np.maximum(parts.mean(axis=1), 1e-3 * task.design.scale))
        weights = nnls(parts * weight[:, None], task.design.target * weight)[0]
        return LiftedSum(task.recipe.columns, names, weights)


class LiftedSum:
    """Columns times weights, times the lift of the target."""

    def __init__(self, columns: Sequence[str], names: Sequence[str], weights: Sequence[float] | np.ndarray):
        self._level, self._names = Level(columns), list(names)
        self._weights = np.array(weights, np.float32)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """See `Fitted`."""
        places = [self._level.columns.index(name) for name in self._names]
        return (values[:, places] * self._weights).sum(axis=1) * self._level.lift(values)

    def draw(self, graph: Graph) -> str:
        """See `Fitted`."""
        weighted = graph.op("Mul", graph.columns(self._names), graph.constant(self._weights))
        return self._level.draw_lifted(graph, graph.op("ReduceSum", weighted, graph.constant(np.array([1])), keepdims=0))
