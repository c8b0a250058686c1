"""A support vector machine: epsilon-insensitive regression with a radial kernel, on a stated sample of rows."""

from typing import Any

import numpy as np

from trainworks.supermegaretail.models.graphs import Graph
from trainworks.supermegaretail.models.protocol import LEVEL, Family, Fitted, Level, Task
from trainworks.supermegaretail.models.trees import IN_UNITS

SAMPLE = 3000
"""Rows that it learns from: its cost grows with their square, and so does that of its forecasts with the support vectors."""

FAR = 5.0
MOST_RATIO = 20.0


class Svm(Family):
    """Learns the root of the ratio of demand to level times lift, whose noise is alike for small and large sales."""

    inputs = "all"
    random = True
    features = LEVEL

    def fit(self, task: Task) -> Fitted:
        """Learn from SAMPLE rows, drawn by their level; what its mean lacks over all rows is a factor."""
        from sklearn.svm import SVR

        level = Level(task.recipe.columns)
        names = [name for name in task.recipe.columns if name not in task.recipe.levels]
        model = Machine(level, names)
        expected = level.expected(task.design.values).astype(np.float64)
        ratio = np.minimum(task.design.target / expected, MOST_RATIO)
        rng = np.random.default_rng(task.seed)
        sample = rng.choice(len(ratio), min(SAMPLE, len(ratio)), replace=False, p=expected / expected.sum())
        raw = model.raw(task.design.values[sample])
        spread = raw.std(axis=0)
        model.center, model.spread = raw.mean(axis=0), np.where(spread > 1e-6, spread, 1).astype(np.float32)
        model.machine = SVR(C=1.0, epsilon=0.1, gamma=0.5 / raw.shape[1]).fit(
            model.inputs(task.design.values[sample]), np.sqrt(ratio[sample])
        )
        given = model.mean(task.design.values[sample])
        model.factor = np.float32(task.design.target[sample].sum() / max(given.sum(), 1e-9))
        return model


class Machine:
    """A fitted `Svm`."""

    factor = np.float32(1)
    machine: Any

    def __init__(self, level: Level, names: list[str]):
        self._level, self._names = level, names
        self._in_units = np.array([name.startswith(IN_UNITS) for name in names], np.float32)
        self.center = np.zeros(len(names), np.float32)
        self.spread = np.ones(len(names), np.float32)

    def raw(self, values: np.ndarray) -> np.ndarray:
        """(N, K) float32: columns in units by the level, the others as they are."""
        divisor = self._level.level(values)[:, None] * self._in_units + (1 - self._in_units)
        return values[:, [self._level.columns.index(name) for name in self._names]] / divisor

    def inputs(self, values: np.ndarray) -> np.ndarray:
        """(N, K) float32, standardised."""
        return np.clip((self.raw(values) - self.center) / self.spread, -FAR, FAR)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """See `Fitted`."""
        root = np.maximum(self.machine.predict(self.inputs(values)), 0)
        return root**2 * self.factor * self._level.expected(values)

    def draw(self, graph: Graph) -> str:
        """See `Fitted`."""
        level = self._level.draw_level(graph)
        column = graph.op("Unsqueeze", level, graph.constant(np.array([1])))
        divisor = graph.op("Add", graph.op("Mul", column, graph.constant(self._in_units)), graph.constant(1 - self._in_units))
        raw = graph.op("Div", graph.columns(self._names), divisor)
        inputs = graph.op("Div", graph.op("Sub", raw, graph.constant(self.center)), graph.constant(self.spread))
        inputs = graph.op("Clip", inputs, graph.constant(np.float32(-FAR)), graph.constant(np.float32(FAR)))
        kernel = self._kernel(graph, inputs)
        root = graph.op("Relu", graph.op("Add", kernel, graph.constant(np.float32(self.machine.intercept_[0]))))
        square = graph.op("Mul", graph.op("Mul", root, root), graph.constant(self.factor))
        return graph.op("Mul", square, self._level.draw_lifted(graph, level))

    def _kernel(self, graph: Graph, inputs: str) -> str:
        """(N,) Σ weight · exp(-gamma |x - v|²) over the support vectors v, by |x|² - 2 x·v + |v|² in double precision."""
        vectors = self.machine.support_vectors_
        double = graph.op("Cast", inputs, to=11)
        square = graph.op("ReduceSumSquare", double, graph.constant(np.array([1])), keepdims=1)
        cross = graph.op("MatMul", double, graph.exact(-2 * vectors.T))
        distance = graph.op("Add", graph.op("Add", square, cross), graph.exact((vectors**2).sum(axis=1)))
        near = graph.op("Exp", graph.op("Mul", distance, graph.exact(np.array(-self.machine._gamma))))
        return graph.op(
            "Squeeze",
            graph.op("Cast", graph.op("MatMul", near, graph.exact(self.machine.dual_coef_.T)), to=1),
            graph.constant(np.array([1])),
        )
