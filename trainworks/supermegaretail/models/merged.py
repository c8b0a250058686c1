"""The average of fitted models, and the one graph of whatever ships."""

from collections.abc import Sequence

import numpy as np
import onnx

from trainworks.supermegaretail.models.graphs import Graph
from trainworks.supermegaretail.models.protocol import Fitted


class Mean:
    """The mean of the means of fitted *members*, each with the columns that it learned from, all among *columns*."""

    def __init__(self, members: Sequence[tuple[Fitted, Sequence[str]]], columns: Sequence[str]):
        places = {name: place for place, name in enumerate(columns)}
        self._members = [(member, [places[name] for name in own]) for member, own in members]

    def mean(self, values: np.ndarray) -> np.ndarray:
        """See `Fitted`."""
        return np.mean([member.mean(values[:, places]) for member, places in self._members], axis=0)

    def draw(self, graph: Graph) -> str:
        """See `Fitted`."""
        return graph.op("Mean", *(member.draw(graph) for member, _ in self._members))


def graph_of(fitted: Fitted, columns: Sequence[str]) -> onnx.ModelProto:
    """The graph from ``features`` (N, F), whose columns are *columns*, to ``mean``, and to ``quantiles`` if the model gives its own."""
    graph = Graph(columns)
    outputs = {"mean": fitted.draw(graph)}
    if hasattr(fitted, "draw_quantiles"):
        outputs["quantiles"] = fitted.draw_quantiles(graph)
    return graph.model(outputs)
