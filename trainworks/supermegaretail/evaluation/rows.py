"""Forecasts beside what was sold, as arrays: the rows of ``backtest.parquet``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainworks.errors import DataError
from trainworks.supermegaretail.quantiles import COLUMNS

NUMBERS = ("mean", *COLUMNS, "actual")
TIMES = ("origin", "start")


@dataclass(frozen=True)
class Rows:
    """N forecasts of one model with what was sold, in order of series, origin and start.

    Attributes:
        table: the columns of ``backtest.parquet``: keys of the series as text, ``origin`` and ``start`` as days, ``mean``,
            ``q0.015`` … ``q0.99`` and ``actual`` in units
        worth: (N,) float64, what a unit of the row's series is worth
        step: (N,) how many periods after its origin the row is, from 1
    """

    table: pa.Table
    worth: np.ndarray
    step: np.ndarray

    @property
    def keys(self) -> list[str]:
        """The columns that name a series."""
        return keys(self.table)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def actual(self) -> np.ndarray:
        """(N,) units sold."""
        return self.table["actual"].to_numpy()

    @cached_property
    def mean(self) -> np.ndarray:
        """(N,) units expected."""
        return self.table["mean"].to_numpy()

    @cached_property
    def quantiles(self) -> np.ndarray:
        """(N, Q) units."""
        return np.stack([self.table[name].to_numpy() for name in COLUMNS], 1)

    @cached_property
    def series(self) -> np.ndarray:
        """(N,) the number of the row's series, from 0."""
        return codes(self.table, self.keys)

    def take(self, chosen: np.ndarray) -> "Rows":
        """The rows that the mask or the positions *chosen* name."""
        positions = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return replace(self, table=self.table.take(pa.array(positions)), worth=self.worth[positions], step=self.step[positions])


def keys(table: pa.Table) -> list[str]:
    """The columns of *table* that name a series: those that are neither times, numbers, nor the model."""
    return [name for name in table.column_names if name not in (*TIMES, *NUMBERS, "model", "pooled")]


def of(table: pa.Table, worth: pa.Table | None = None) -> Rows:
    """The rows of *table* that have an actual, sorted; a cell that was no demand says nothing of a forecast.

    *worth* has the keys and ``worth``, the price of each series. A series whose price is not known is worth the median of the
    others, and 1 where none is known: losses are then in units.

    Raises:
        DataError: a forecast is not a number.
    """
    names = keys(table)
    table = table.append_column("step", pa.array(_steps(table)))
    table = table.filter(pc.and_(pc.is_valid(table["actual"]), pc.invert(pc.is_nan(table["actual"]))))
    if worth is None:
        table = table.append_column("worth", pa.array(np.full(len(table), np.nan)))
    else:
        table = table.join(worth.select([*names, "worth"]), names)
    table = table.sort_by([(name, "ascending") for name in (*names, *TIMES)]).combine_chunks()
    price = table["worth"].to_numpy().astype(float)
    known = price[np.isfinite(price) & (price > 0)]
    usual = float(np.median(known)) if len(known) else 1.0
    worths = np.where(np.isfinite(price) & (price > 0), price, usual)
    rows = Rows(table.drop_columns(["worth", "step"]), worths, table["step"].to_numpy())
    if len(rows) and not (np.isfinite(rows.quantiles).all() and np.isfinite(rows.mean).all()):
        raise DataError("a forecast is not a number; every cell that may sell must have a finite mean and finite quantiles")
    return rows


def _steps(table: pa.Table) -> np.ndarray:
    """(N,) periods from the first that is forecast from the row's origin, the first being 1: periods closed everywhere count."""
    origin, place = (np.unique(table[name].to_numpy(), return_inverse=True)[1] for name in TIMES)
    first = np.full(origin.max(initial=-1) + 1, len(table))
    np.minimum.at(first, origin, place)
    return place - first[origin] + 1


def paired(one: Rows, other: Rows) -> tuple[Rows, Rows]:
    """The rows of both that forecast the same cell from the same origin, in the same order."""
    names = [*one.keys, *TIMES]
    both = pa.concat_tables([one.table.select(names), other.table.select(names).cast(one.table.select(names).schema)])
    cell = codes(both, names)
    ours, theirs = cell[: len(one)], cell[len(one) :]
    _, at_one, at_other = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
    order = np.argsort(at_one)
    return one.take(at_one[order]), other.take(at_other[order])


def codes(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """(N,) a number from 0 for each distinct combination of the columns *names*."""
    combined = np.zeros(len(table), np.int64)
    for name in names:
        values = table[name].combine_chunks().dictionary_encode()
        code = values.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        combined = np.unique(combined * len(values.dictionary) + code, return_inverse=True)[1]
    return combined
