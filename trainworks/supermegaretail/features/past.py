"""The level of a series at an origin, and what stands where a series says nothing: a gap, or no history at all."""

from functools import cached_property

import numpy as np

from trainworks.grammar import Call
from trainworks.supermegaretail.features import history
from trainworks.supermegaretail.features.pools import LEVEL, Pools

HALF_A_YEAR = 26
"""Periods whose mean is the level of a series."""

LEAST = 1e-3
"""The least scale, as a share of the mean level of all series."""


class Past:
    """What was sold up to each origin: *demand* is (S, known) with NaN where a cell is not demand, and every result (S, O).

    *of* tells the level of one kind of demand from another's.
    """

    def __init__(self, pools: Pools, demand: np.ndarray, origins: np.ndarray, of: str = ""):
        self.demand, self.origins = demand, origins
        self._pools, self._level = pools, of + LEVEL

    @cached_property
    def level(self) -> np.ndarray:
        """The mean of the last half year, else of all there is, else of the pool; 0 where nobody sold anything yet."""
        mean = self._mean(HALF_A_YEAR)
        cells = np.cumsum(~np.isnan(self.demand), axis=1)[:, self.origins]
        total = np.nancumsum(self.demand, axis=1)[:, self.origins]
        whole = np.divide(total, cells, out=np.full(total.shape, np.nan), where=cells > 0)
        return self._pools.filled(self._level, np.where(np.isnan(mean), whole, mean))

    def scale(self) -> np.ndarray:
        """The level, drawn towards that of the pool as by one more period; above 0."""
        periods = self._cells(HALF_A_YEAR)
        own = np.nan_to_num(self._mean(HALF_A_YEAR)) * periods
        pool = self._pools.mean("scale", self.level)
        over_all = self._pools.over_all(self._level, self.level)
        least = np.maximum(LEAST * over_all, np.finfo(np.float32).tiny)
        return np.where(over_all > 0, np.maximum((own + pool) / (periods + 1), least), 1.0)

    def peers(self, periods: int) -> np.ndarray:
        """The mean of the last *periods* over all series of the same product, or of the next pool in which anything was demand."""
        return np.nan_to_num(self._pools.mean(f"peers({periods})", self._mean(periods)))

    def filled(self, name: str, column: np.ndarray, feature: str) -> np.ndarray:
        """The *column* called *name* of some *feature*: gaps of a series get its level, a series without history its pool's mean of it."""
        gap = {"trend": np.zeros_like(self.level), "std": np.sqrt(self.level)}.get(feature, self.level)
        with_history = np.isfinite(self.demand).cumsum(axis=1)[:, self.origins] > 0
        return self._pools.filled(name, np.where(np.isnan(column) & with_history, gap, column))

    def _mean(self, periods: int) -> np.ndarray:
        return history.columns(Call("mean", (periods,), 0), self.demand, self.origins)[0]

    def _cells(self, periods: int) -> np.ndarray:
        return (~np.isnan(history.windows(self.demand, self.origins, periods))).sum(axis=2)
