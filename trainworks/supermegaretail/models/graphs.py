"""An ONNX graph drawn op by op: from ``features``, float32 (N, F), to one tensor for each output."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trainworks.onnx import OPSET

TREES = 3
"""Version of the operators of trees."""

IR = 10
"""Version of the format; what older runtimes read too."""


class Graph:
    """A graph whose input has the named *columns*. Every method gives the name of a tensor."""

    def __init__(self, columns: Sequence[str]):
        self._columns = tuple(columns)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[TensorProto] = []

    def column(self, name: str) -> str:
        """(N,) the column of that *name*."""
        return self.op("Gather", "features", self.constant(np.array(self._columns.index(name))), axis=1)

    def columns(self, names: Sequence[str]) -> str:
        """(N, K) the columns of those *names*."""
        places = np.array([self._columns.index(name) for name in names], np.int64)
        return self.op("Gather", "features", self.constant(places), axis=1)

    def constant(self, value: Any) -> str:
        """A number or an array; floats become float32."""
        array = np.asarray(value)
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array.astype(np.float32) if array.dtype.kind == "f" else array, name))
        return name

    def exact(self, value: np.ndarray) -> str:
        """An array in double precision."""
        self._constants.append(numpy_helper.from_array(value.astype(np.float64), name := f"constant_{len(self._constants)}"))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The output of one operator of standard ONNX."""
        name = f"tensor_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def insert(self, model: onnx.ModelProto, given: str) -> str:
        """The first output of *model* for the tensor *given* as its only input."""
        graph = model.graph
        prefix = f"model_{len(self._nodes)}."
        renamed = {graph.input[0].name: given, "": ""}
        for constant in graph.initializer:
            copy = TensorProto()
            copy.CopyFrom(constant)
            copy.name = renamed[constant.name] = prefix + constant.name
            self._constants.append(copy)
        for node in graph.node:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            copied.name = ""
            del copied.input[:], copied.output[:]
            copied.input.extend(renamed[name] for name in node.input)
            for name in node.output:
                renamed[name] = prefix + name if name else ""
                copied.output.append(renamed[name])
            self._nodes.append(copied)
        return renamed[graph.output[0].name]

    def model(self, outputs: Mapping[str, str]) -> onnx.ModelProto:
        """The graph with those *outputs*, name → tensor: ``mean`` is (N,), ``quantiles`` (N, Q)."""
        for name, tensor in outputs.items():
            self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        graph = helper.make_graph(
            self._nodes,
            "forecaster",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", len(self._columns)])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"] if name == "mean" else ["rows", "levels"])
                for name in outputs
            ],
            self._constants,
        )
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", TREES)]
        model = helper.make_model(graph, opset_imports=versions, ir_version=IR, producer_name="trainworks")
        onnx.checker.check_model(model)
        return model
