"""What promotions, prices and events do to demand: a log-linear regression for each series, drawn towards those like it.

Demand is Poisson with mean exp(level + effects · covariates), each series with a level of its own, as in SCAN*PRO (van Heerde, Leeflang
and Wittink, 2002), and sums over cells count zeros as well. Effects are first those of all series together; then those of each category,
product and series in turn start from the ones before, and move away from them as far as their own sales ask for.
"""

from collections.abc import Iterator

import numpy as np

from trainworks.supermegaretail.features.known import Known
from trainworks.supermegaretail.features.languages import covariates
from trainworks.supermegaretail.features.recipe import SERIES, Recipe, codes, names_of, series_names
from trainworks.supermegaretail.panel.panel import Panel

POOLS = ("department", "category", "product")
"""From the widest to the narrowest: whose effects those of a series are drawn to."""

VARIANCE = 0.1
"""Of an effect around that of its pool, on the log scale."""

MOST = 20
"""The most effects that are learned: those of the covariates that are there most often."""

RECENT = 156
"""The newest periods that effects are learned from."""

STEPS = 8
"""Newton steps of the widest pool; the narrower ones start near their end and take half."""

MOST_LOG = 4.0


def effects(panel: Panel, recipe: Recipe, monotone: dict[str, int], history: int = RECENT) -> dict[str, list[float]]:
    """Covariate column → effect on log demand by code of the series, 0 being one that is not known: `Recipe.lift`.

    They are learned from the newest *history* periods. Only what is known of the period to forecast has an effect. An effect has the sign
    that *monotone* gives its covariate, or is 0.
    """
    known = Known(panel, recipe.fill)
    signs = {}
    for covariate in covariates(recipe.covariates):
        if covariate.when != "past":
            for name in names_of(covariate, panel.covariates):
                if name in recipe.columns:
                    signs[name] = monotone.get(covariate.name, 0)
    first = max(0, panel.known - min(RECENT, history))
    columns = {name: known.in_history(name)[:, first:] for name in signs}
    names = sorted(columns, key=lambda name: -np.count_nonzero(columns[name]))[:MOST]
    names = [name for name in names if np.ptp(columns[name], axis=1).any()]
    if not names:
        return {}
    demand = panel.demand[:, first:]
    cells = ~np.isnan(demand)
    lowest = np.array([0.0 if signs[name] > 0 else -MOST_LOG for name in names])
    highest = np.array([0.0 if signs[name] < 0 else MOST_LOG for name in names])
    spread = np.array([np.abs(columns[name]).max() for name in names])
    # In units of its largest value, so that one variance suits all; a price's is its logarithm already.
    spread = np.where(np.array(names) == "price", 1.0, np.maximum(spread, 1e-9))
    regression = _Regression(np.where(cells, demand, 0), cells, np.stack([columns[name] for name in names], axis=2) / spread)
    pooled, of_series = regression.fit(list(_pools(panel)), lowest, highest)
    code = codes(series_names(panel), recipe.levels[SERIES])
    table = np.tile(pooled, (len(recipe.levels[SERIES]) + 1, 1))
    table[code[code > 0]] = of_series[code > 0]
    return {name: np.round(table[:, place] / spread[place], 6).tolist() for place, name in enumerate(names)}


def _pools(panel: Panel) -> Iterator[np.ndarray]:
    """Codes (S,) of the series' pools, from the widest to the series themselves; one that equals the next is left out."""
    count = len(panel.sells)
    for name in POOLS:
        if name in panel.series.column_names:
            code = np.unique([str(value) for value in panel.series[name].to_pylist()], return_inverse=True)[1]
            if 0 < code.max(initial=0) < count - 1:
                yield code
    yield np.arange(count)


class _Regression:
    """S series in T periods with K covariates: demand (S, T), cells that count (S, T), covariates (S, T, K)."""

    def __init__(self, demand: np.ndarray, cells: np.ndarray, covariates_STK: np.ndarray):
        self.demand, self.cells, self.covariates = demand, cells, covariates_STK
        self.dispersion = np.ones(len(demand))

    def fit(self, pools: list[np.ndarray], lowest: np.ndarray, highest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Effects of all together (K,), and of each series (S, K)."""
        everyone = np.zeros(len(self.demand), np.intp)
        effect = np.zeros((len(self.demand), self.covariates.shape[2]))
        effect = self._pool(everyone, effect, 1.0, lowest, highest, STEPS)
        pooled = effect[0].copy()
        for pool in pools:
            effect = self._pool(pool, effect, VARIANCE, lowest, highest, STEPS // 2)
        return pooled, effect

    def _pool(
        self, pool: np.ndarray, prior: np.ndarray, variance: float, lowest: np.ndarray, highest: np.ndarray, steps: int
    ) -> np.ndarray:
        """The effects (S, K) with the greatest posterior, the same for all series of a pool, by Newton's method."""
        count, (_, _, effects_) = pool.max() + 1, self.covariates.shape
        members = np.unique(pool, return_index=True)[1]
        center = prior[members]
        effect = center.copy()
        for _ in range(steps):
            slope_SK, curvature_SKK = self._derivatives(effect[pool])
            slope, curvature = np.zeros((count, effects_)), np.zeros((count, effects_, effects_))
            np.add.at(slope, pool, slope_SK)
            np.add.at(curvature, pool, curvature_SKK)
            slope -= (effect - center) / variance
            step = np.linalg.solve(curvature + np.eye(effects_) / variance, slope[:, :, None])[:, :, 0]
            effect = np.clip(effect + np.clip(step, -1, 1), lowest, highest)
        return effect[pool]

    def _derivatives(self, effect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slope (S, K) and negative curvature (S, K, K) of the log likelihood, divided by each series' dispersion.

        The level of a series is the one that fits best for its effects, so that both are of the covariates' deviations.
        """
        eta = np.matmul(self.covariates, effect[:, :, None])[:, :, 0]
        factor = np.where(self.cells, np.exp(np.clip(eta, -MOST_LOG, MOST_LOG)), 0)
        mean = factor * (self.demand.sum(axis=1) / np.maximum(factor.sum(axis=1), 1e-12))[:, None]
        error = self.demand - mean
        squares = np.divide(error**2, mean, out=np.zeros_like(mean), where=mean > 1e-9).sum(axis=1)
        self.dispersion = np.maximum(squares / np.maximum(self.cells.sum(axis=1) - 1, 1), 1)
        weight = mean / self.dispersion[:, None]
        weighted = weight[:, :, None] * self.covariates
        slope = np.matmul((error / self.dispersion[:, None])[:, None, :], self.covariates)[:, 0]
        total, sums = weight.sum(axis=1), weighted.sum(axis=1)
        outer = sums[:, :, None] * sums[:, None, :] / np.maximum(total, 1e-12)[:, None, None]
        return slope, np.matmul(weighted.transpose(0, 2, 1), self.covariates) - outer
