"""The recipe of a design matrix: which columns, in which order, and all that was learned for them from the past."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from trainworks.grammar import Call
from trainworks.supermegaretail.features import history
from trainworks.supermegaretail.features.languages import PLANNED, Covariate, covariates, features
from trainworks.supermegaretail.panel.panel import Panel

if TYPE_CHECKING:
    from trainworks.supermegaretail.features.design import Design

SEASON = {"day": 7, "week": 52, "month": 12}
YEAR = {"day": 365, "week": 52, "month": 12}
SERIES = "series"
LIFT = "lift"
BETWEEN_KEYS = "\x1f"

NEVER_EMPTY = ("step", "scale")
"""Columns of every design."""


@dataclass(frozen=True)
class Recipe:
    """How rows of (series, origin, step) become columns, the same in training, backtest and serving.

    Attributes:
        features: the text of the knob
        covariates: the text of the knob
        horizon: the greatest step
        period: day, week or month
        keys: the grain's keys without time
        columns: the columns in their order
        levels: text attribute → its levels in the order of what they sold; the code of a level is its place, counted from 1, and that of
            any other is 0
        fill: covariate column → the value where none is known
        numbers: numeric attribute → the value where none is known
        center, spread: by column, what brings it to mean 0 and deviation 1; empty if no model asks for it
        lift: covariate column → change of log demand when it grows by 1, by code of the series; ``lift`` is their sum at the target,
            which base_ewm, base_mean and base_lag take away of the past
    """

    features: str
    covariates: str
    horizon: int
    period: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    fill: dict[str, float]
    numbers: dict[str, float]
    center: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    lift: dict[str, list[float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What ``json.dumps`` takes, and :meth:`from_json` takes back."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Recipe":
        """The recipe that was written by :meth:`to_json`."""
        lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list | tuple)}
        return cls(**{**content, **lists, "levels": {name: tuple(levels) for name, levels in content["levels"].items()}})

    def scaled(self, design: "Design") -> "Recipe":
        """The recipe with center and spread of the rows of *design*; the spread of a constant column is 1."""
        spread = design.values.std(axis=0, dtype=np.float64)
        center = design.values.mean(axis=0, dtype=np.float64)
        return replace(self, center=tuple(center.tolist()), spread=tuple(np.where(spread > 1e-9, spread, 1.0).tolist()))

    def lifted(self, lift: dict[str, list[float]]) -> "Recipe":
        """The recipe that takes *lift*, if there is any, out of the past, and has it at the target as a column of its own."""
        return replace(self, lift=lift, columns=(*self.columns, LIFT)) if lift else self

    def calls(self) -> list[Call]:
        """The features, ``season`` with the season of the period."""
        return [_with_season(call, self.period) for call in features(self.features)]


def learn(panel: Panel, features_text: str, covariates_text: str, horizon: int) -> Recipe:
    """The recipe for *panel*, whose sales are all known: `Panel.until` the origin of a training.

    Columns that cannot differ in what is known are left out: a kind of promotion that never ran, a season longer than the history.
    So is an event that all series had once: its effect cannot be told from what else happened then.
    """
    cells = np.isfinite(panel.demand).sum(axis=1)
    seen = cells > 0
    sold = np.nansum(panel.demand, axis=1) / np.maximum(cells, 1)
    levels = {SERIES: _levels(series_names(panel), seen, sold)}
    numbers = {}
    distinct_products = len(set(panel.series["product"].to_pylist())) if "product" in panel.series.column_names else 0
    for name in panel.series.column_names:
        column = panel.series[name]
        if _is_text(column):
            known = _levels(column.to_pylist(), seen, sold)
            if len(known) > 1 and (name in panel.keys or len(known) < distinct_products):
                levels[name] = known
        else:
            values = column.to_numpy().astype(np.float64)[seen]
            if _varies(values):
                numbers[name] = float(np.nanmean(values))
    declared = covariates(covariates_text)
    calls = [_with_season(call, panel.period) for call in features(features_text)]
    varying = {name: values for name, values in panel.covariates.items() if _tells(values[:, : panel.known])}
    chosen = [name for covariate in declared for name in names_of(covariate, varying)]
    fill = {name: float(np.nanmean(varying[name][:, : panel.known], dtype=np.float64)) for name in chosen if name in varying}
    columns = [*NEVER_EMPTY, *(name for call in calls for name in _columns(call, panel, declared, chosen)), *chosen, *levels, *numbers]
    return Recipe(features_text, covariates_text, horizon, panel.period, panel.keys, tuple(columns), levels, fill, numbers)


def names_of(covariate: Covariate, known: dict[str, np.ndarray]) -> list[str]:
    """The columns of a covariate among those *known*: itself and its kinds, ``promotion.display``; a price also from what was paid."""
    if covariate.name == "price":
        return ["price"] if "price" in known or "paid" in known else []
    return [name for name in known if name == covariate.name or name.startswith(covariate.name + ".")]


def series_names(panel: Panel) -> list[str]:
    """One text for each series, from its keys."""
    return [BETWEEN_KEYS.join(keys) for keys in zip(*(panel.series[key].to_pylist() for key in panel.keys), strict=True)]


def codes(values: Sequence[str | None], levels: tuple[str, ...]) -> np.ndarray:
    """The code of each value: its place among the *levels*, counted from 1, or 0."""
    places = {level: place for place, level in enumerate(levels, 1)}
    return np.array([places.get(value, 0) if value is not None else 0 for value in values], dtype=np.int64)


def _columns(call: Call, panel: Panel, declared: list[Covariate], chosen: list[str]) -> list[str]:
    known = panel.known
    if call.name == "season":
        return [f"season({call.args[0]})"] if int(call.args[0]) <= known else []
    if call.name == "calendar":
        yearly = [f"year.{wave}{times}" for times in (1, 2) for wave in ("sin", "cos")] if known >= YEAR[panel.period] else []
        return yearly + ([f"weekday.{day}" for day in range(7)] if panel.period == "day" else [])
    if call.name == "past":
        planned = [covariate.name for covariate in declared if covariate.name in PLANNED and covariate.name in chosen]
        return [f"{name}.past({call.args[0]})" for name in planned]
    if call.name == "peers" and "product" in panel.keys and len(panel.keys) == 1:
        return []
    return history.names(call)


def _with_season(call: Call, period: str) -> Call:
    return Call("season", (SEASON[period],), call.position) if call.name == "season" and not call.args else call


def _levels(values: Sequence[str | None], seen: np.ndarray, sold: np.ndarray) -> tuple[str, ...]:
    """The levels of series that were seen, in the order of what these sold in the mean: codes that are near sell alike."""
    of_level: dict[str, list[float]] = {}
    for value, was_seen, mean in zip(values, seen.tolist(), sold.tolist(), strict=True):
        if was_seen and value is not None:
            of_level.setdefault(value, []).append(mean)
    return tuple(sorted(of_level, key=lambda level: (sum(of_level[level]) / len(of_level[level]), level)))


def _is_text(column: pa.ChunkedArray) -> bool:
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_dictionary(column.type)


def _tells(values_ST: np.ndarray) -> bool:
    """Whether a covariate differs between series, or comes more than once, so that something can be learned from it."""
    if not _varies(values_ST):
        return False
    of_all = values_ST[0]
    if not np.array_equal(values_ST, np.broadcast_to(of_all, values_ST.shape), equal_nan=True):
        return True
    happens = np.nan_to_num(of_all) != np.nan_to_num(np.nanmedian(of_all))
    return happens.mean() > 0.5 or int((happens & ~np.append(False, happens[:-1])).sum()) > 1


def _varies(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return known.size > 0 and bool(known.min() < known.max())
