"""A bundle's examples: inputs, and what they must give. A service in another language checks itself by them too.

``examples/features.parquet`` has rows of inputs by column, ``examples/outputs.parquet`` what follows from each by graph and head, and
``examples/forecasts.parquet`` what :meth:`Forecaster.forecast` gives for the first series. ``examples/examples.json`` has the tolerance.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from trainworks.supermegaretail.features.design import Design, design
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.quantiles import COLUMNS

FOLDER = "examples"
SERIES = 16
"""Series that there are examples of, the first ones."""

TOLERANCE = 1e-4
"""Relative difference that another machine's floats may make."""

Compared = tuple[str, float, float]
"""What was compared, the largest relative difference, and the one allowed."""


def files(forecaster: Path, out: Path) -> dict[str, Path]:
    """Write the examples of the *forecaster* in that folder to *out*; gives name in a bundle → file."""
    loaded = Forecaster.load(forecaster)
    rows = _rows(loaded)
    parquet.write_table(pa.table(dict(zip(rows.columns, rows.values.T, strict=True))), out / "features.parquet")
    parquet.write_table(pa.table(_outputs(loaded, rows)), out / "outputs.parquet")
    parquet.write_table(_forecasts(loaded), out / "forecasts.parquet")
    (out / "examples.json").write_text(json.dumps({"relative_tolerance": TOLERANCE, "series": SERIES}) + "\n")
    return {f"{FOLDER}/{name}": out / name for name in ("features.parquet", "outputs.parquet", "forecasts.parquet", "examples.json")}


def check(bundle: Path) -> list[Compared]:
    """Run the examples of the verified *bundle*: one that is no finite number, or of another shape, differs without bound."""
    loaded, folder = Forecaster.load(bundle), bundle / FOLDER
    allowed = json.loads((folder / "examples.json").read_text())["relative_tolerance"]
    features = parquet.read_table(folder / "features.parquet").select(loaded.recipe.columns)
    rows = _rows(loaded)
    given = np.stack([features[name].to_numpy() for name in loaded.recipe.columns], 1).astype(np.float32)
    now = {
        "features": dict(zip(rows.columns, rows.values.T, strict=True)),
        "outputs": _outputs(loaded, _with_values(rows, given)),
        "forecasts": {name: _forecasts(loaded)[name].to_numpy() for name in ("mean", *COLUMNS)},
    }
    then = {name: parquet.read_table(folder / f"{name}.parquet") for name in now}
    return [(name, _largest(then[name], columns), allowed) for name, columns in now.items()]


def _rows(forecaster: Forecaster) -> Design:
    panel = forecaster.panel
    origin = panel.known - 1 - forecaster.horizon
    whole = design(panel.until(origin, forecaster.horizon), [origin], range(1, forecaster.horizon + 1), forecaster.recipe)
    return _with_values(whole, whole.values[: SERIES * forecaster.horizon])


def _with_values(rows: Design, values: np.ndarray) -> Design:
    count = len(values)
    arrays = {name: getattr(rows, name)[:count] for name in ("series", "origin", "step", "target", "sells")}
    return Design(columns=rows.columns, values=values, fallbacks=rows.fallbacks, **arrays)


def _outputs(forecaster: Forecaster, rows: Design) -> dict[str, np.ndarray]:
    mean, quantiles = forecaster.rows(rows)
    return {"mean": mean, **{name: quantiles[:, k] for k, name in enumerate(COLUMNS)}}


def _forecasts(forecaster: Forecaster) -> pa.Table:
    origin = forecaster.panel.known - 1 - forecaster.horizon
    return forecaster.forecast(origin=str(forecaster.panel.starts[origin])).slice(0, SERIES * forecaster.horizon)


def _largest(then: pa.Table, now: dict[str, np.ndarray]) -> float:
    """The largest difference between columns of numbers, as a share of the largest number of its column."""
    worst = 0.0
    for name, values in now.items():
        expected = then[name].to_numpy()
        if expected.shape != values.shape or not np.isfinite(values).all():
            return float("inf")
        worst = max(worst, float((np.abs(values - expected) / max(np.abs(expected).max(initial=0), 1e-9)).max(initial=0)))
    return worst
