"""Trees: one, a forest, and gradient boosting, all by LightGBM.

Each learns the ratio of demand to level times lift (`Level`), from what was sold as a ratio to the level as well, so that what one series
teaches holds for all others, whatever they sell. Rows weigh as their level: the loss is that of units. Trees never see a difference
that the graph could round otherwise: a quotient is the same float32 everywhere.
"""

import re
from typing import Any, ClassVar

import numpy as np

from trainworks.supermegaretail.features.recipe import LIFT, SERIES
from trainworks.supermegaretail.models.graphs import Graph
from trainworks.supermegaretail.models.protocol import LEVEL, Family, Fitted, Level, Task

IN_UNITS = ("scale", "lag", "mean", "ewm", "base_", "std", "trend", "season", "peers", "quantile")
"""Columns in units, which are read as a ratio to the level."""

CONVERTED = 15
"""The newest operators that onnxmltools writes; the few that trees take have not changed since."""

COMMON = {"num_threads": 1, "verbose": -1, "deterministic": True, "force_row_wise": True, "max_bin": 63, "lambda_l2": 1.0}


class _Trees(Family):
    inputs = "all"
    random = True
    features = f"{LEVEL} + base_ewm(0.05) + base_ewm(0.2) + base_ewm(0.5) + base_lag(1, 2)"
    trees: int
    parameters: ClassVar[dict[str, Any]]

    def fit(self, task: Task) -> Fitted:
        """Grow the trees on the rows of *task*."""
        import lightgbm

        level = Level(task.recipe.columns)
        names = [name for name in task.recipe.columns if name != SERIES]
        model = RatioTrees(level, names)
        expected = level.expected(task.design.values).astype(np.float64)
        signs = [_sign(name, task.monotone) for name in names]
        data = lightgbm.Dataset(
            model.inputs(task.design.values), task.design.target / expected, weight=expected / expected.mean(), free_raw_data=False
        )
        parameters = {**COMMON, **self.parameters, "seed": task.seed, "monotone_constraints": [*signs, 0]}
        model.booster = lightgbm.train(parameters, data, self.trees)
        return model


class Boosting(_Trees):
    """Gradient boosting of trees: the mean of a Tweedie distribution, counts with many zeros."""

    trees = 100
    parameters: ClassVar[dict[str, Any]] = {
        "objective": "tweedie",
        "tweedie_variance_power": 1.2,
        "learning_rate": 0.08,
        "num_leaves": 31,
        "min_data_in_leaf": 50,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
    }


class RandomForest(_Trees):
    """The mean of many trees, each grown on a part of the rows and columns."""

    trees = 60
    parameters: ClassVar[dict[str, Any]] = {
        "objective": "regression",
        "boosting": "rf",
        "num_leaves": 127,
        "min_data_in_leaf": 30,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.6,
        "bagging_freq": 1,
    }


class DecisionTree(_Trees):
    """One tree."""

    trees = 1
    random = False
    parameters: ClassVar[dict[str, Any]] = {"objective": "regression", "learning_rate": 1.0, "num_leaves": 63, "min_data_in_leaf": 100}


class RatioTrees:
    """Trees that give a ratio to level times lift."""

    booster: Any

    def __init__(self, level: Level, names: list[str]):
        self._level, self._names = level, names
        self._in_units = np.array([name.startswith(IN_UNITS) for name in names], np.float32)

    def inputs(self, values: np.ndarray) -> np.ndarray:
        """What the trees see, float32 (N, K + 1): columns in units by the level, the others as they are, and the level."""
        level = self._level.level(values)[:, None]
        places = [self._level.columns.index(name) for name in self._names]
        divisor = level * self._in_units + (1 - self._in_units)
        return np.concatenate([values[:, places] / divisor, level], axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """See `Fitted`."""
        return np.maximum(self.booster.predict(self.inputs(values), num_threads=1), 0) * self._level.expected(values)

    def draw(self, graph: Graph) -> str:
        """See `Fitted`."""
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        level = self._level.draw_level(graph)
        column = graph.op("Unsqueeze", level, graph.constant(np.array([1])))
        divisor = graph.op("Mul", column, graph.constant(self._in_units))
        divisor = graph.op("Add", divisor, graph.constant(1 - self._in_units))
        inputs = graph.op("Concat", graph.op("Div", graph.columns(self._names), divisor), column, axis=1)
        kind = [("inputs", FloatTensorType([None, len(self._names) + 1]))]
        trees = convert_lightgbm(_rounded_down(self.booster), initial_types=kind, target_opset=CONVERTED, zipmap=False)
        ratio = graph.op("Relu", graph.op("Squeeze", graph.insert(trees, inputs), graph.constant(np.array([1]))))
        if self.booster.params.get("boosting") == "rf":  # of which onnxmltools writes the sum
            ratio = graph.op("Div", ratio, graph.constant(np.float32(self.booster.num_trees())))
        return graph.op("Mul", ratio, self._level.draw_lifted(graph, level))


def _rounded_down(booster: Any) -> Any:
    """*booster* with each threshold at the float32 below it: inputs are float32, so that the same ones lie above.

    A graph's thresholds are float32. The nearest may be an input that lies above the threshold: prices differ by rounding alone.
    """
    import lightgbm

    def rounded(line: re.Match[str]) -> str:
        exact = np.array(line[1].split(), np.float64)
        nearest = exact.astype(np.float32)
        below = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
        return "threshold=" + " ".join(map(repr, below.astype(np.float64).tolist()))

    text = re.sub(r"^threshold=(.*)$", rounded, booster.model_to_string(), flags=re.MULTILINE)
    return lightgbm.Booster(model_str=re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE))


def _sign(name: str, monotone: Any) -> int:
    """The direction of a column of the target: ``promotion.display`` has that of promotion, the lift always grows."""
    if ".past(" in name:
        return 0
    return 1 if name == LIFT else monotone.get(name.split(".")[0], 0)
