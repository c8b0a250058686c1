"""A part of the backtest: what one model forecast at one origin. A folder with

- ``backtest.parquet``: the keys of the series, ``origin``, ``start``, ``model``, ``mean``, ``q0.015`` … ``q0.99``, ``actual`` (null where
  the cell is no demand);
- ``residuals.parquet``: rows that the model was asked for at earlier origins: ``mean``, ``sold``, ``series`` (code), ``period``;
- ``seconds.json``: ``model``, ``origin``, ``seconds`` of CPU, and the ``head`` of its quantiles.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from trainworks.supermegaretail.backtest.learning import Residuals
from trainworks.supermegaretail.features.design import Design
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.quantiles import COLUMNS

ROWS, RESIDUALS, SECONDS = "backtest.parquet", "residuals.parquet", "seconds.json"


@dataclass(frozen=True)
class Part:
    """What is in the folder; ``count`` of the residuals is the number of codes."""

    rows: pa.Table
    residuals: Residuals
    facts: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the part into *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        parquet.write_table(self.rows, folder / ROWS, compression="zstd")
        of = self.residuals
        columns = {"mean": of.mean.astype(np.float32), "sold": of.sold, "series": of.series.astype(np.int32), "period": of.period}
        table = pa.table(columns).replace_schema_metadata({"count": str(of.count)})
        parquet.write_table(table, folder / RESIDUALS, compression="zstd")
        (folder / SECONDS).write_text(json.dumps(self.facts) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Part":
        """The part in *folder*."""
        table = parquet.read_table(folder / RESIDUALS)
        columns = {name: table[name].to_numpy() for name in ("mean", "sold", "series", "period")}
        residuals = Residuals(**columns, count=int(table.schema.metadata[b"count"]))
        return cls(parquet.read_table(folder / ROWS), residuals, json.loads((folder / SECONDS).read_text()))


def rows(panel: Panel, made: Design, model: str, mean: np.ndarray, quantiles: np.ndarray) -> pa.Table:
    """The rows of ``backtest.parquet`` for the rows of *made*, all of one origin; a cell that does not sell is 0."""
    series = pa.array(made.series)
    target = made.origin + made.step
    came = np.minimum(target, panel.known - 1)
    quantiles = np.where(made.sells[:, None], quantiles, 0)
    return pa.table(
        {
            **{key: panel.series[key].take(series) for key in panel.keys},
            "origin": pa.array(panel.starts[made.origin]),
            "start": pa.array(panel.starts[target]),
            "model": pa.array([model] * len(series)),
            "mean": np.where(made.sells, mean, 0),
            **{name: quantiles[:, place] for place, name in enumerate(COLUMNS)},
            "actual": pa.array(np.where(target < panel.known, panel.demand[made.series, came], np.nan), from_pandas=True),
        }
    )


def average(name: str, members: Sequence[Part], head: str, horizon: int, codes: np.ndarray) -> Part:
    """The part of the average of *members*, all at one origin: means and residuals are averaged, the head is learned anew.

    *codes* (N,) are the series' codes of the rows.
    """
    mean = np.mean([part.rows["mean"].to_numpy() for part in members], axis=0)
    residuals = replace(members[0].residuals, mean=np.mean([part.residuals.mean for part in members], axis=0))
    made = residuals.head(head, horizon)
    quantiles = np.where(mean[:, None] > 0, made.quantiles(mean, codes), 0)
    table = members[0].rows
    columns = {"model": pa.array([name] * len(table)), "mean": pa.array(mean)}
    columns |= {column: pa.array(quantiles[:, place]) for place, column in enumerate(COLUMNS)}
    for column, values in columns.items():
        table = table.set_column(table.column_names.index(column), column, values)
    seconds = sum(part.facts["seconds"] for part in members)
    return Part(table, residuals, {**members[0].facts, "model": name, "seconds": seconds, "head": made.to_json()["kind"]})
