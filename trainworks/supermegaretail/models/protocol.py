"""What every model is: a family that says which columns it needs, and what it becomes once it is fitted.

A further model is a file with a `Family` and its line in `language.FAMILIES`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from trainworks.supermegaretail.features.design import Design
from trainworks.supermegaretail.features.recipe import LIFT, Recipe
from trainworks.supermegaretail.panel.panel import Panel

if TYPE_CHECKING:
    from trainworks.supermegaretail.models.graphs import Graph


@dataclass(frozen=True)
class Task:
    """What a model learns from.

    Attributes:
        design: rows whose target is known at the origin, and is demand
        recipe: that of the design
        panel: all that is known at the origin; for what cannot be learned from rows
        monotone: covariate → -1 where demand falls with it, +1 where it grows
        seed: of every random choice
    """

    design: Design
    recipe: Recipe
    panel: Panel
    monotone: Mapping[str, int]
    seed: int


class Fitted(Protocol):
    """A model that has learned."""

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Units expected, float (N,), for rows of the design's columns, float32 (N, F)."""
        ...

    def draw(self, graph: "Graph") -> str:
        """Add to *graph* what computes the mean; gives its tensor. A model that does not ship cannot be drawn."""
        ...


class OwnQuantiles(Fitted, Protocol):
    """A fitted model that gives quantiles itself."""

    def quantiles(self, values: np.ndarray) -> np.ndarray:
        """Quantiles (N, Q) in units."""
        ...

    def draw_quantiles(self, graph: "Graph") -> str:
        """As `draw`, for quantiles."""
        ...


class Family(ABC):
    """A kind of model, with its numbers: ``moving_average(8)`` is ``MovingAverage(8)``.

    Attributes:
        features: the columns that it needs
        inputs: what it gets beside them: "" nothing, "plan" the covariates, "all" the features of the knob too
        baseline: whether a release must be better than it
        ships: whether it becomes a graph
        random: whether its seed matters
    """

    features: str
    inputs: ClassVar[str] = ""
    baseline: ClassVar[bool] = False
    ships: ClassVar[bool] = True
    random: ClassVar[bool] = False

    @abstractmethod
    def fit(self, task: Task) -> Fitted:
        """Learn from the rows of *task*."""


LEVEL = "base_ewm(0.1)"
OWN_SHARE = 0.8


class Level:
    """What a series sells without promotions, and with those of the target: the yardstick of models that learn a ratio to it."""

    features = LEVEL

    def __init__(self, columns: Sequence[str]):
        self.columns = tuple(columns)
        self._lifted = LIFT in columns

    def column(self, values: np.ndarray, name: str) -> np.ndarray:
        """(N,) float32."""
        return values[:, self.columns.index(name)]

    def level(self, values: np.ndarray) -> np.ndarray:
        """(N,) float32, above 0: smoothed sales, drawn towards the scale, in which a series without any is like its pool."""
        return np.float32(OWN_SHARE) * self.column(values, LEVEL) + np.float32(1 - OWN_SHARE) * self.column(values, "scale")

    def lift(self, values: np.ndarray) -> np.ndarray:
        """(N,) float32: what promotions and price multiply the level by at the target."""
        return np.exp(self.column(values, LIFT)) if self._lifted else np.ones(len(values), np.float32)

    def expected(self, values: np.ndarray) -> np.ndarray:
        """(N,) float32, above 0: level times lift."""
        return self.level(values) * self.lift(values)

    def draw_level(self, graph: "Graph") -> str:
        """The tensor of `level`."""
        own = graph.op("Mul", graph.constant(np.float32(OWN_SHARE)), graph.column(LEVEL))
        return graph.op("Add", own, graph.op("Mul", graph.constant(np.float32(1 - OWN_SHARE)), graph.column("scale")))

    def draw_lifted(self, graph: "Graph", level: str) -> str:
        """The tensor *level* times `lift`."""
        return graph.op("Mul", level, graph.op("Exp", graph.column(LIFT))) if self._lifted else level
