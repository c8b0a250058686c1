"""The steps from decoded pixels to the image encoder's input as an ONNX graph, so that a service has only to decode."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
"""The first with an antialiased Resize."""

FILE = "image_pixels.onnx"
INPUT, OUTPUT = "rgb", "pixels"

_MODES = {"cubic": "cubic", "triangle": "linear"}
"""Kernel → mode of ONNX's Resize, which knows no Lanczos."""


def possible(steps: Sequence[Mapping[str, Any]]) -> bool:
    """Whether ONNX has the kernels of the *steps* of ``inference.json``."""
    return all(step["kernel"] in _MODES for step in steps if step["step"] == "resize")


def write(steps: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write what comes after decoding of the picture's *steps*: uint8 RGB ``(height, width, 3)`` → float32 ``(1, 3, side, side)``."""
    made = _Graph()
    picture = made.add("Unsqueeze", made.add("Transpose", INPUT, perm=[2, 0, 1]), made.constant([0]))
    height, width = (made.add("Slice", made.add("Shape", INPUT), made.constant([axis]), made.constant([axis + 1])) for axis in (0, 1))
    side = 0
    for step in steps:
        match step["step"]:
            case "resize":
                height, width = made.resized(step, height, width)
                picture = made.resize(step, picture, height, width)
            case "crop":
                side = step["side"]
                tops, ends = made.middle(side, height, width)
                picture = made.add("Slice", picture, tops, ends, made.constant([2, 3]))
                height = width = made.constant([side])
            case "pad":
                side = step["side"]
                picture = made.padded(step, picture, height, width)
                height = width = made.constant([side])
            case "normalise":
                offset, scale = (255 * np.array(step[name], np.float32).reshape(1, 3, 1, 1) for name in ("mean", "std"))
                values = made.add("Cast", picture, to=TensorProto.FLOAT)
                picture = made.add("Div", made.add("Sub", values, made.constant(offset)), made.constant(scale))
    side = side or next(step["width"] for step in steps if "width" in step)
    square = made.add("Reshape", picture, made.constant([1, 3, side, side]))
    made.nodes.append(helper.make_node("Identity", [square], [OUTPUT]))
    given = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["height", "width", 3])
    gives = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, 3, side, side])
    used = {name for node in made.nodes for name in node.input}
    graph = helper.make_graph(made.nodes, "image_pixels", [given], [gives], [each for each in made.constants if each.name in used])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


class _Graph:
    """Nodes and constants, named in the order in which they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        array = np.array(value, np.int64) if isinstance(value, list) else value
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def resized(self, step: Mapping[str, Any], height: str, width: str) -> tuple[str, str]:
        """Both sides after the resize of *step*."""
        if "width" in step:
            return self.constant([step["height"]]), self.constant([step["width"]])
        shorter = "shorter_side" in step
        one, side = self.add("Min" if shorter else "Max", height, width), step["shorter_side" if shorter else "longer_side"]
        products = [self.add("Mul", length, self.constant([side])) for length in (height, width)]
        if step["rounding"] == "down":
            return self.add("Div", products[0], one), self.add("Div", products[1], one)
        exact = [self.add("Cast", number, to=TensorProto.DOUBLE) for number in (*products, one)]
        rounded = [self.add("Round", self.add("Div", product, exact[2])) for product in exact[:2]]
        first, second = (self.add("Max", self.add("Cast", number, to=TensorProto.INT64), self.constant([1])) for number in rounded)
        return first, second

    def resize(self, step: Mapping[str, Any], picture: str, height: str, width: str) -> str:
        sizes = self.add("Concat", self.constant([1, 3]), height, width, axis=0)
        cubic = {"cubic_coeff_a": step["a"]} if step["kernel"] == "cubic" else {}
        how = {"mode": _MODES[step["kernel"]], "antialias": 1, "exclude_outside": 1, "coordinate_transformation_mode": "half_pixel"}
        return self.add("Resize", picture, "", "", sizes, **how, **cubic)

    def middle(self, side: int, height: str, width: str) -> tuple[str, str]:
        """Where the square of *side* in the middle begins and ends, down and across."""
        spare = self.add("Sub", self.add("Concat", height, width, axis=0), self.constant([side]))
        half = self.add("Mul", self.add("Cast", spare, to=TensorProto.DOUBLE), self.constant(np.array([0.5])))
        begins = self.add("Cast", self.add("Round", half), to=TensorProto.INT64)
        return begins, self.add("Add", begins, self.constant([side]))

    def padded(self, step: Mapping[str, Any], picture: str, height: str, width: str) -> str:
        spare = self.add("Sub", self.constant([step["side"]]), self.add("Concat", height, width, axis=0))
        begins = self.add("Div", spare, self.constant([2]))
        pads = self.add("Concat", self.constant([0, 0]), begins, self.constant([0, 0]), self.add("Sub", spare, begins), axis=0)
        (colour,) = set(step["colour"])  # white, black and grey are alike in all channels
        return self.add("Pad", picture, pads, self.constant(np.array(colour, np.uint8)))
