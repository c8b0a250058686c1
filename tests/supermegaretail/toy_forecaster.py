"""A forecaster that needs no training: exponential smoothing, twice as much on offer, and less where the price is higher."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from trainworks.storage import manifest
from trainworks.supermegaretail.features.recipe import SERIES, learn
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.quantiles import QUANTILES
from trainworks.supermegaretail.serving import state

FEATURES, COVARIATES = "ewm(0.2)", "promotion@plan + price@plan"
DISPERSION = 0.05


def write(panel: Panel, out: Path, horizon: int = 4, promotion: float = 0.48, price: float = -1.0) -> Path:
    """The folder that export would leave, with its manifest: demand times e^*promotion* on offer, times the price index to *price*."""
    out.mkdir(parents=True, exist_ok=True)
    recipe = learn(panel.until(panel.known - 1 - horizon), FEATURES, COVARIATES, horizon)
    place = {name: recipe.columns.index(name) for name in ("ewm(0.2)", "promotion", "price")}
    effect = np.zeros((len(recipe.columns), 1), np.float32)
    effect[[place["promotion"], place["price"]], 0] = promotion, price
    nodes = [
        helper.make_node("Gather", ["features", "which"], ["level"], axis=1),
        helper.make_node("MatMul", ["features", "effect"], ["log"]),
        helper.make_node("Exp", ["log"], ["times"]),
        helper.make_node("Mul", ["level", "times"], ["product"]),
        helper.make_node("Squeeze", ["product", "one"], ["mean"]),
    ]
    constants = [
        helper.make_tensor("which", TensorProto.INT64, [1], [place["ewm(0.2)"]]),
        helper.make_tensor("effect", TensorProto.FLOAT, effect.shape, effect.ravel()),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", len(recipe.columns)])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["rows"])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), out / "forecaster.onnx")
    head = {"kind": "negative_binomial", "dispersion": [DISPERSION] * (len(recipe.levels[SERIES]) + 1)}
    content = {"schema": 1, "model": "toy", "recipe": recipe.to_json(), "head": head, "quantiles": QUANTILES, "zone": "UTC"}
    (out / "features.json").write_text(json.dumps(content))
    (out / "parity.json").write_text(json.dumps({"max_share": 0.0, "relative_tolerance": 1e-5, "rows": 8}))
    state.write(panel, out / state.FILE)
    manifest.write(out)
    return out
