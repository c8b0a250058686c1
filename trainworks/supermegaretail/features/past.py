"""The level of a series at an origin, and what stands where a series says nothing: a gap, or no history at all."""

from functools import cached_property

import numpy as np

from trainworks.grammar import Call
from trainworks.supermegaretail.features import history
from trainworks.supermegaretail.panel.panel import Panel

LEVEL = 26
"""Periods whose mean is the level of a series."""

POOLS = ("product", "category", "department")
"""A series without history is like the other series of its product, else of its category, else like all."""

LEAST = 1e-3
"""The least scale, as a share of the mean level of all series."""


class Past:
    """What was sold up to each origin: *demand* is (S, known) with NaN where a cell is not demand, and every result (S, O)."""

    def __init__(self, panel: Panel, demand: np.ndarray, origins: np.ndarray):
        self.demand, self.origins = demand, origins
        pools = [panel.series[name].to_pylist() for name in POOLS if name in panel.series.column_names]
        self._pools = [np.unique([str(value) for value in values], return_inverse=True)[1] for values in pools]
        self._pools.append(np.zeros(len(demand), np.intp))

    @cached_property
    def level(self) -> np.ndarray:
        """The mean of the last half year, else of all there is, else of the pool; 0 where nobody sold anything yet."""
        mean = self._mean(LEVEL)
        cells = np.cumsum(~np.isnan(self.demand), axis=1)[:, self.origins]
        total = np.nancumsum(self.demand, axis=1)[:, self.origins]
        whole = np.divide(total, cells, out=np.full(total.shape, np.nan), where=cells > 0)
        return self._pooled(np.where(np.isnan(mean), whole, mean))

    def scale(self) -> np.ndarray:
        """The level, drawn towards that of the pool as by one more period; above 0."""
        periods = self._cells(LEVEL)
        own = np.nan_to_num(self._mean(LEVEL)) * periods
        pool = self._pool_mean(self.level)
        least = np.maximum(LEAST * self.level.mean(axis=0), np.finfo(np.float32).tiny)
        return np.where(self.level.any(axis=0), np.maximum((own + pool) / (periods + 1), least), 1.0)

    def peers(self, periods: int) -> np.ndarray:
        """The mean of the last *periods* over all series of the same product, or of the next pool in which anything was demand."""
        return np.nan_to_num(self._pool_mean(self._mean(periods)))

    def filled(self, column: np.ndarray, feature: str) -> np.ndarray:
        """A *column* of some *feature*: gaps of a series get its level, a series without history its pool's mean of the column."""
        gap = {"trend": np.zeros_like(self.level), "std": np.sqrt(self.level)}.get(feature, self.level)
        with_history = np.isfinite(self.demand).cumsum(axis=1)[:, self.origins] > 0
        return self._pooled(np.where(np.isnan(column) & with_history, gap, column))

    def _mean(self, periods: int) -> np.ndarray:
        return history.columns(Call("mean", (periods,), 0), self.demand, self.origins)[0]

    def _cells(self, periods: int) -> np.ndarray:
        return (~np.isnan(history.windows(self.demand, self.origins, periods))).sum(axis=2)

    def _pooled(self, column: np.ndarray) -> np.ndarray:
        empty = np.isnan(column)
        return np.where(empty, np.nan_to_num(self._pool_mean(column)), column) if empty.any() else column

    def _pool_mean(self, column: np.ndarray) -> np.ndarray:
        """The mean of *column* over the smallest pool of each series that has any value; NaN if none has."""
        known = ~np.isnan(column)
        mean = np.full(column.shape, np.nan)
        for pool in self._pools:
            pools = pool.max(initial=0) + 1
            cell = (pool[:, None] * column.shape[1] + np.arange(column.shape[1])).ravel()
            total = np.bincount(cell, np.where(known, column, 0).ravel(), pools * column.shape[1]).reshape(pools, -1)
            count = np.bincount(cell, known.ravel(), pools * column.shape[1]).reshape(pools, -1)
            of_pool = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
            mean = np.where(np.isnan(mean), of_pool[pool], mean)
        return mean
