"""Baselines: each forecasts a column of the design, or the best of a few. A release must be better than the best of them."""

from collections.abc import Sequence

import numpy as np

from trainworks.supermegaretail.models.graphs import Graph
from trainworks.supermegaretail.models.protocol import Family, Fitted, Task
from trainworks.supermegaretail.quantiles import QUANTILES


class Naive(Family):
    """The last period again."""

    baseline = True
    features = "lag(1)"

    def fit(self, task: Task) -> Fitted:
        """Nothing to learn."""
        return Column(task.recipe.columns, "lag(1)")


class SeasonalNaive(Family):
    """The same period of the last season again; the last period while the history is shorter than a season."""

    baseline = True

    def __init__(self, season: int = 0):
        self.features = f"lag(1) + season({season})" if season else "lag(1) + season"

    def fit(self, task: Task) -> Fitted:
        """Nothing to learn."""
        seasons = [name for name in task.recipe.columns if name.startswith("season(")]
        return Column(task.recipe.columns, seasons[0] if seasons else "lag(1)")


class MovingAverage(Family):
    """The mean of the last periods: as many as forecast best, or those that are given."""

    baseline = True
    among: tuple[int, ...] = (4, 8, 13, 26, 52)

    def __init__(self, *periods: int):
        self._columns = [f"mean({each})" for each in periods or self.among]
        self.features = " + ".join(self._columns)

    def fit(self, task: Task) -> Fitted:
        """Choose the periods."""
        return best(task, self._columns)


class ExponentialSmoothing(Family):
    """A mean whose weights fall by a share with every period: that which forecasts best, or the one that is given."""

    baseline = True
    among: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5)

    def __init__(self, *shares: float):
        self._columns = [f"ewm({each})" for each in shares or self.among]
        self.features = " + ".join(self._columns)

    def fit(self, task: Task) -> Fitted:
        """Choose the share."""
        return best(task, self._columns)


class Empirical(Family):
    """The quantiles of the last periods themselves; their mean is the mean."""

    baseline = True

    def __init__(self, periods: int = 52):
        self._periods = periods
        self.features = f"mean({periods}) + quantile({periods})"

    def fit(self, task: Task) -> Fitted:
        """Nothing to learn."""
        levels = [f"quantile({self._periods}, {level})" for level in QUANTILES]
        return Quantiles(task.recipe.columns, f"mean({self._periods})", levels)


class Column:
    """A column of the design as a model."""

    def __init__(self, columns: Sequence[str], name: str):
        self._columns, self.name = tuple(columns), name

    def mean(self, values: np.ndarray) -> np.ndarray:
        """See `Fitted`."""
        return np.maximum(values[:, self._columns.index(self.name)], 0)

    def draw(self, graph: Graph) -> str:
        """See `Fitted`."""
        return graph.op("Relu", graph.column(self.name))


class Quantiles(Column):
    """A column as the mean, and one for each quantile."""

    def __init__(self, columns: Sequence[str], name: str, levels: Sequence[str]):
        super().__init__(columns, name)
        self._levels = list(levels)

    def quantiles(self, values: np.ndarray) -> np.ndarray:
        """See `OwnQuantiles`."""
        return values[:, [self._columns.index(name) for name in self._levels]]

    def draw_quantiles(self, graph: Graph) -> str:
        """See `OwnQuantiles`."""
        return graph.columns(self._levels)


def best(task: Task, names: Sequence[str]) -> Column:
    """The column with the least deviance of counts over the rows, each series weighing as its sales."""
    return min((Column(task.recipe.columns, name) for name in names), key=lambda model: deviance(task, model.mean(task.design.values)))


def deviance(task: Task, mean: np.ndarray) -> float:
    """Half the Poisson deviance of the rows' targets from *mean*, up to what depends on the targets alone."""
    mean = np.maximum(mean.astype(np.float64), 1e-3 * task.design.scale)
    return float((mean - task.design.target * np.log(mean)).mean())
