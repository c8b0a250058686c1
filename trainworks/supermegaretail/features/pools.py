"""What stands where a series says nothing: the mean of those like it, of its product, else its category, its department, else of all.

A panel that is looked at in shards of series has the same pools as a whole one: `Gathered` sees every shard, and gives what is `Shared`.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

POOLS = ("product", "category", "department")
"""A series without history is like the other series of its product, else of its category, else like all."""

LEVEL = "level"
"""The column that the others' gaps are filled with; `Pools.mean` of it is asked for first."""


@dataclass(frozen=True)
class Shared:
    """What each shard of a panel must know of all of them, at O origins.

    Attributes:
        levels: of each kind of pool, from the narrowest to all series, the sorted names of its pools
        means: column → of each kind of pool (pools, O) the mean over the series in it; NaN where none has a value
        over_all: level → (O,) its mean over all series
    """

    levels: list[np.ndarray]
    means: dict[str, list[np.ndarray]]
    over_all: dict[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON, every number as it is."""
        means = {name: [[[_json(mean) for mean in pool] for pool in kind] for kind in kinds] for name, kinds in self.means.items()}
        return {
            "levels": [level.tolist() for level in self.levels],
            "means": means,
            "over_all": {name: [_json(mean) for mean in means] for name, means in self.over_all.items()},
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(
            levels=[np.array(level, str) for level in content["levels"]],
            means={name: [np.array(kind, float) for kind in kinds] for name, kinds in content["means"].items()},
            over_all={name: np.array(means, float) for name, means in content["over_all"].items()},
        )


def _json(mean: float) -> float | None:
    return None if np.isnan(mean) else float(mean)


class Pools:
    """The pools that the S rows of a table of *series* lie in; with what is *shared* where the table is a shard of another."""

    def __init__(self, series: pa.Table, shared: Shared | None = None):
        values = [np.array([str(value) for value in series[name].to_pylist()]) for name in POOLS if name in series.column_names]
        named = [np.unique(each, return_inverse=True) for each in [*values, np.zeros(len(series), "U1")]]
        self.levels, self._pool = ([each[at] for each in named] for at in (0, 1))
        self._means: dict[str, list[np.ndarray]] = {}
        self._over_all: dict[str, np.ndarray] = {}
        if shared:
            self._pool = [
                np.searchsorted(every, own)[pool] for every, own, pool in zip(shared.levels, self.levels, self._pool, strict=True)
            ]
            self.levels, self._means, self._over_all = shared.levels, shared.means, shared.over_all

    def mean(self, name: str, column: np.ndarray) -> np.ndarray:
        """The mean of the *column* (S, O) of that *name* over the smallest pool of each series that has any value; NaN if none has."""
        mean = np.full(column.shape, np.nan)
        for pool, of_pool in zip(self._pool, self._means.get(name) or self.by_pool(column), strict=True):
            mean = np.where(np.isnan(mean), of_pool[pool], mean)
        return mean

    def filled(self, name: str, column: np.ndarray) -> np.ndarray:
        """The *column* (S, O) with its `mean` in each gap; 0 where there is none."""
        empty = np.isnan(column)
        return np.where(empty, np.nan_to_num(self.mean(name, column)), column) if empty.any() else column

    def over_all(self, name: str, column: np.ndarray) -> np.ndarray:
        """The mean (O,) of the *column* (S, O), which has no gap, over all series."""
        return self._over_all[name] if name in self._over_all else column.mean(axis=0)

    def by_pool(self, column: np.ndarray) -> list[np.ndarray]:
        """Of each kind of pool the mean (pools, O) of the *column* (S, O) over the series in it; NaN where none has a value."""
        known = ~np.isnan(column)
        means = []
        for pool, levels in zip(self._pool, self.levels, strict=True):
            cell = (pool[:, None] * column.shape[1] + np.arange(column.shape[1])).ravel()
            total = np.bincount(cell, np.where(known, column, 0).ravel(), len(levels) * column.shape[1]).reshape(len(levels), -1)
            count = np.bincount(cell, known.ravel(), len(levels) * column.shape[1]).reshape(len(levels), -1)
            means.append(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
        return means


class Gathered(Pools):
    """Takes the place of `Pools` while the shards of a panel are looked at, one after another; what it answers then stands for nothing."""

    def __init__(self) -> None:
        self._columns: dict[str, list[np.ndarray]] = {}

    def mean(self, name: str, column: np.ndarray) -> np.ndarray:
        """Keep the *column* of a shard."""
        self._columns.setdefault(name, []).append(column)
        return column

    def filled(self, name: str, column: np.ndarray) -> np.ndarray:
        """Keep the *column* of a shard, gaps or not."""
        return self.mean(name, column)

    def over_all(self, name: str, column: np.ndarray) -> np.ndarray:
        """Nothing that lasts."""
        return column.mean(axis=0)

    def shared(self, series: pa.Table) -> Shared:
        """What they share, of the *series* of all shards in their order."""
        pools = Pools(series)
        columns = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        levels = {name: pools.filled(name, column) for name, column in columns.items() if name.endswith(LEVEL)}
        columns["scale"] = levels[LEVEL]  # is drawn towards the level whose gaps are filled
        return Shared(
            levels=pools.levels,
            means={name: pools.by_pool(column) for name, column in columns.items()},
            over_all={name: level.mean(axis=0) for name, level in levels.items()},
        )
