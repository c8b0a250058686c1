"""The design matrix: one row for each series, origin and step, one column for each item of a recipe.

Training, backtest and serving call the same :func:`design`; it needs numpy and the panel only. All columns are finite, so that every
kind of model takes them: where a series has no history, its columns are those of its pool (its product, else its category, else all),
which is also what a product that was never sold is forecast from.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from trainworks.grammar import Call
from trainworks.supermegaretail.features import history
from trainworks.supermegaretail.features.known import Known
from trainworks.supermegaretail.features.languages import covariates
from trainworks.supermegaretail.features.past import Past
from trainworks.supermegaretail.features.pools import Gathered, Pools, Shared
from trainworks.supermegaretail.features.recipe import LIFT, SERIES, Recipe, codes, series_names
from trainworks.supermegaretail.panel.grain import start_after
from trainworks.supermegaretail.panel.panel import Panel

MOST_LIFT = 3.0
"""Promotions and prices multiply demand by at most e to this, and divide it by no more."""

ROWS = 2**14
"""About how many rows are filled at once, so that they stay in the processor's cache."""


@dataclass(frozen=True)
class Design:
    """N rows of (series, origin, step), in this order.

    Attributes:
        columns: F names
        values: (N, F) float32, finite
        series: (N,) int32, positions in the panel
        origin: (N,) int32, the last period that is known
        step: (N,) int32, from 1: the target is period origin + step
        target: (N,) float64, what was sold; NaN where the target is not known, or is not demand
        sells: (N,) bool, whether the target is listed and open; the forecast of the others is 0
        fallbacks: covariate → cells for which its plan had no value, so that the last known (of promotions: none) stands there
    """

    columns: tuple[str, ...]
    values: np.ndarray
    series: np.ndarray
    origin: np.ndarray
    step: np.ndarray
    target: np.ndarray
    sells: np.ndarray
    fallbacks: dict[str, int]

    @property
    def scale(self) -> np.ndarray:
        """(N,) float32, above 0: the level of the series, in units, as known at the origin."""
        return self.column("scale")

    def column(self, name: str) -> np.ndarray:
        """(N,) float32, the column of that *name*."""
        return self.values[:, self.columns.index(name)]


def design(
    panel: Panel, origins: Sequence[int], steps: Sequence[int], recipe: Recipe, *, learnable: bool = False, shared: Shared | None = None
) -> Design:
    """The rows of every series of *panel* at all *origins* and *steps*; only those with a target if *learnable*.

    A *panel* that is a shard of another needs what is `Shared` by all of that one's, which `gather` finds.

    Raises:
        DataError: a covariate whose plan is to be refused where it ends has no value for a target.
    """
    at, ahead = np.asarray(origins, np.intp), np.asarray(steps, np.intp)
    shape = (len(panel.sells), len(at), len(ahead))
    known = Known(panel, recipe.fill, forecast=not learnable)
    by_column = {"step": ahead[None, None, :]}
    by_column |= _history(panel, at, ahead, recipe, known, Pools(panel.series, shared))
    by_column |= _calendar(panel, at, ahead)
    by_column |= _covariates(at, ahead, recipe, known)
    by_column |= _statics(panel, recipe)
    if LIFT in recipe.columns:
        by_column[LIFT] = np.clip(_sum_of_effects(panel, recipe, by_column), -MOST_LIFT, MOST_LIFT)
    targets = at[:, None] + ahead
    target = np.where(targets < panel.known, panel.demand[:, np.minimum(targets, panel.known - 1)], np.nan)
    sells = np.where(targets < panel.sells.shape[1], panel.sells[:, np.minimum(targets, panel.sells.shape[1] - 1)], True)
    rows = ~np.isnan(target) if learnable else np.ones(shape, bool)
    values = np.empty((int(rows.sum()), len(recipe.columns)), np.float32)
    first = 0
    for block in _blocks(shape):
        chosen = rows[block]
        part = np.empty((*chosen.shape, len(recipe.columns)), np.float32)
        for place, name in enumerate(recipe.columns):
            column = by_column[name]
            part[..., place] = column[block] if len(column) == shape[0] else column
        last = first + int(chosen.sum())
        values[first:last] = part[chosen]
        first = last
    series, origin, step = (index.astype(np.int32) for index in np.nonzero(rows))
    return Design(
        columns=recipe.columns,
        values=values,
        series=series,
        origin=at.astype(np.int32)[origin],
        step=ahead.astype(np.int32)[step],
        target=target[rows],
        sells=sells[rows],
        fallbacks=dict(known.fallbacks),
    )


def _blocks(shape: tuple[int, int, int]) -> Iterator[slice]:
    at_once = max(1, ROWS // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], at_once):
        yield slice(start, start + at_once)


def gather(shards: Iterable[Panel], origins: Sequence[int], recipe: Recipe) -> Shared:
    """What all *shards* of a panel, in their order, must know of each other for a `design` of each of them at the same *origins*."""
    gathered, series = Gathered(), []
    for shard in shards:
        _history(shard, np.asarray(origins, np.intp), np.ones(1, np.intp), recipe, Known(shard, recipe.fill), gathered)
        series.append(shard.series)
    return gathered.shared(pa.concat_tables(series))


def _history(panel: Panel, origins: np.ndarray, steps: np.ndarray, recipe: Recipe, known: Known, pools: Pools) -> dict[str, np.ndarray]:
    """Columns of what was sold, (S, O, 1) or (S, O, H)."""
    sold = Past(pools, panel.demand, origins)
    base = sold
    if recipe.lift:
        lift = _sum_of_effects(panel, recipe, {name: known.in_history(name) for name in recipe.lift})
        base = Past(pools, panel.demand * np.exp(-np.clip(lift, -MOST_LIFT, MOST_LIFT)), origins, of="base ")
    columns = {"scale": sold.scale()[:, :, None]}
    for call in recipe.calls():
        past = base if call.name.startswith("base_") else sold
        if call.name == "season":
            season = history.seasonal(past.demand, origins, steps, int(call.args[0]))
            columns[f"season({call.args[0]})"] = np.where(np.isnan(season), past.level[:, :, None], season)
        elif call.name == "peers":
            columns[history.names(call)[0]] = past.peers(int(call.args[0]))[:, :, None]
        elif call.name not in ("calendar", "past"):
            plain = Call(call.name.removeprefix("base_"), call.args, call.position)
            for name, column in zip(history.names(call), history.columns(plain, past.demand, origins), strict=True):
                columns[name] = past.filled(name, column, plain.name)[:, :, None]
    return columns


def _sum_of_effects(panel: Panel, recipe: Recipe, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Log of the effect that *columns* (S, …) of promotions and prices have on demand."""
    code = codes(series_names(panel), recipe.levels[SERIES])
    shape = (-1, *[1] * (next(iter(columns.values())).ndim - 1))
    return sum((np.array(effect)[code].reshape(shape) * columns[name] for name, effect in recipe.lift.items()), start=np.zeros(()))


def _calendar(panel: Panel, origins: np.ndarray, steps: np.ndarray) -> dict[str, np.ndarray]:
    """Where in year and week the target starts, (1, O, H)."""
    starts = start_after(panel.starts[-1], panel.period, origins[:, None] + steps - (len(panel.starts) - 1))
    year = starts.astype("datetime64[Y]")
    of_year = (starts - year.astype("datetime64[D]")).astype(np.float64) / 365.25 * 2 * np.pi
    columns = {f"year.sin{times}": np.sin(times * of_year) for times in (1, 2)}
    columns |= {f"year.cos{times}": np.cos(times * of_year) for times in (1, 2)}
    weekday = (starts.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    columns |= {f"weekday.{day}": weekday == day for day in range(7)}
    return {name: column[None] for name, column in columns.items()}


def _covariates(origins: np.ndarray, steps: np.ndarray, recipe: Recipe, known: Known) -> dict[str, np.ndarray]:
    """Columns of covariates, (S, O, H), and of promotion and price before the origin, (S, O, 1)."""
    columns = {}
    for covariate in covariates(recipe.covariates):
        for name in [name for name in recipe.columns if name == covariate.name or name.startswith(covariate.name + ".")]:
            if ".past(" in name:
                columns[name] = known.before(covariate.name, origins, int(name.split("(")[1][:-1]))[:, :, None]
            else:
                columns[name] = known.at_targets(name, covariate, origins, steps)
    return columns


def _statics(panel: Panel, recipe: Recipe) -> dict[str, np.ndarray]:
    """Codes and numbers of what does not change, (S, 1, 1); what the panel does not have is unknown."""
    columns: dict[str, np.ndarray] = {}
    present = panel.series.column_names
    for name, levels in recipe.levels.items():
        if name == SERIES:
            columns[name] = codes(series_names(panel), levels)
        else:
            columns[name] = codes(panel.series[name].to_pylist(), levels) if name in present else np.zeros(len(panel.sells))
    for name in recipe.numbers:
        numbers = panel.series[name].to_numpy().astype(np.float64) if name in present else np.full(len(panel.sells), np.nan)
        columns[name] = np.where(np.isfinite(numbers), numbers, recipe.numbers[name])
    return {name: column[:, None, None] for name, column in columns.items()}
