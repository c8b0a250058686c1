"""The model that was learned as the files of a forecaster, its graph proved on real rows."""

import json
import shutil
from pathlib import Path

import numpy as np

from trainworks import onnx
from trainworks.supermegaretail.backtest.shipped import FEATURES, GRAPH, PARITY
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.serving import state

FORECASTER = "forecaster.onnx"

TOLERANCE = 1e-5
"""Largest difference between graph and model, as a share of what is expected."""

LEAST = 1e-6
"""The same in units, for means near 0."""

BATCHES = (1, 7, 1000)


def export(model: Path, panel: Path, out: Path) -> None:
    """Write ``forecaster.onnx``, ``features.json``, ``state.parquet`` and ``parity.json`` to *out*.

    Args:
        model: folder of `shipped.ship`.
        panel: folder of the panel, all of which is the state.

    Raises:
        ParityError: the graph differs from the model by more than TOLERANCE.
    """
    with np.load(model / PARITY) as arrays:
        features = arrays["features"]
        expected = {name: arrays[name] for name in arrays.files if name != "features"}
    parity = onnx.check_parity(model / GRAPH, {"features": features}, expected, absolute=LEAST, relative=TOLERANCE, batches=BATCHES)
    shutil.copyfile(model / GRAPH, out / FORECASTER)
    shutil.copyfile(model / FEATURES, out / FEATURES)
    state.write(Panel.load(panel), out / state.FILE)
    (out / "parity.json").write_text(json.dumps(parity | {"rows": len(features)}, indent=1) + "\n")
