"""The panel: every series in every period, what was sold, and what is known beside it.

Needs numpy and pyarrow only: a service forecasts from the same panel.
"""

import json
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

FACTS, SERIES, CELLS = "panel.json", "series.parquet", "cells.parquet"


class State(IntEnum):
    """What a cell of the panel is; only the first two are demand."""

    SOLD = 0
    ZERO = 1
    NOT_LISTED = 2
    CLOSED = 3
    OUT_OF_STOCK = 4


@dataclass(frozen=True)
class Panel:
    """S series in T consecutive periods, of which the first ``known`` have sales and the others are planned.

    Attributes:
        keys: the grain's keys without time, such as ``("store", "product")``
        period: day, week or month
        series: S rows: the keys as text, then static attributes of product and store, text or float64
        starts: (T,) datetime64[D], the first day of each period
        demand: (S, known) float64, units; NaN where the state is not demand
        state: (S, known) uint8, as `State`
        sells: (S, T) bool, whether the cell is listed and open; planned ones too
        covariates: name → (S, T) float32; NaN where not known
        price: (S,) float64, currency per unit: what a unit of the series is worth; NaN if no price is known
    """

    keys: tuple[str, ...]
    period: str
    series: pa.Table
    starts: np.ndarray
    demand: np.ndarray
    state: np.ndarray
    sells: np.ndarray
    covariates: dict[str, np.ndarray]
    price: np.ndarray

    @property
    def known(self) -> int:
        """The number of periods with sales."""
        return self.demand.shape[1]

    def until(self, origin: int, horizon: int = 0) -> "Panel":
        """The panel as it was at the end of period *origin*, with the plan of the next *horizon* periods."""
        end = origin + 1
        upto = end + horizon
        return replace(
            self,
            starts=self.starts[:upto],
            demand=self.demand[:, :end],
            state=self.state[:, :end],
            sells=self.sells[:, :upto],
            covariates={name: values[:, :upto] for name, values in self.covariates.items()},
        )

    def take(self, series: np.ndarray) -> "Panel":
        """The panel of some *series*: their positions, or a mask."""
        positions = np.flatnonzero(series) if series.dtype == bool else series
        return replace(
            self,
            series=self.series.take(pa.array(positions)),
            demand=self.demand[positions],
            state=self.state[positions],
            sells=self.sells[positions],
            covariates={name: values[positions] for name, values in self.covariates.items()},
            price=self.price[positions],
        )

    def save(self, folder: Path) -> None:
        """Write the panel into *folder*, cells in one row per series and period."""
        count, periods = self.sells.shape
        planned = periods - self.known
        cells = {
            "series": np.repeat(np.arange(count, dtype=np.int32), periods),
            "start": np.tile(self.starts, count),
            "state": pa.array(_padded(self.state, planned, 255).ravel(), mask=_padded(self.state, planned, 255).ravel() == 255),
            "demand": pa.array(_padded(self.demand, planned, np.nan).ravel(), from_pandas=True),
            "sells": self.sells.ravel(),
        }
        cells |= {f"covariate.{name}": pa.array(values.ravel(), from_pandas=True) for name, values in self.covariates.items()}
        parquet.write_table(pa.table(cells), folder / CELLS, compression="zstd")
        parquet.write_table(self.series.append_column("value of a unit", pa.array(self.price, from_pandas=True)), folder / SERIES)
        facts = {"keys": self.keys, "period": self.period, "known": self.known, "starts": [str(start) for start in self.starts]}
        (folder / FACTS).write_text(json.dumps(facts))

    @staticmethod
    def count(folder: Path) -> int:
        """The number of series of the panel that was saved in *folder*."""
        return parquet.read_metadata(folder / SERIES).num_rows

    @classmethod
    def load(cls, folder: Path, first: int = 0, count: int | None = None) -> "Panel":
        """The panel that was saved in *folder*, or at most *count* of its series from the *first* on, without reading the others."""
        facts = json.loads((folder / FACTS).read_text())
        whole = parquet.read_table(folder / SERIES)
        series = whole.slice(first, count)
        some = (pc.field("series") >= first) & (pc.field("series") < first + len(series))
        cells = parquet.read_table(folder / CELLS, filters=some if len(series) < len(whole) else None)
        shape = (len(series), len(facts["starts"]))
        known = facts["known"]

        def cell(name: str) -> np.ndarray:
            return cells[name].to_numpy().reshape(shape)

        return cls(
            keys=tuple(facts["keys"]),
            period=facts["period"],
            series=series.drop_columns("value of a unit"),
            starts=np.array(facts["starts"], "datetime64[D]"),
            demand=cell("demand")[:, :known].astype(np.float64),
            state=cell("state")[:, :known].astype(np.uint8),
            sells=cell("sells").astype(bool),
            covariates={name[10:]: cell(name).astype(np.float32) for name in cells.column_names if name.startswith("covariate.")},
            price=series["value of a unit"].to_numpy().astype(np.float64),
        )


def _padded(values: np.ndarray, planned: int, fill: float) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, planned)), constant_values=fill)
