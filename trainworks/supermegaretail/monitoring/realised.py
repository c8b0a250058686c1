"""What was forecast beside what was then sold, and beside what the baseline would have forecast of the same cells.

The baseline is the one that the release was measured against. It learns anew at each origin what was known then, as in the backtest:
a fraction of a second for each, and it cannot grow old. So a loss that grows for both is a hard time, one that grows against it an old
model.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainworks import facts
from trainworks.errors import DataError, IntegrityError
from trainworks.release.stored import StoredBundle
from trainworks.supermegaretail.backtest.backtest import forecast
from trainworks.supermegaretail.backtest.knobs import BacktestConfig
from trainworks.supermegaretail.delivery import forecasts
from trainworks.supermegaretail.evaluation import losses
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.evaluation.rows import NUMBERS, TIMES, Rows, keys, of, paired
from trainworks.supermegaretail.features.knobs import FeaturesConfig
from trainworks.supermegaretail.models.knobs import Inputs, ModelConfig
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel

BACKTEST, BASELINE, FEATURES = "backtest.parquet", "baseline.json", "features.json"

COMPARED, NOT_YET, BEFORE = "compared", "not sold yet", "of periods before those looked at"
NO_DEMAND, UNKNOWN = "no demand: closed, not listed or out of stock", "of series that the sales have not"


@dataclass(frozen=True)
class Realised:
    """What the current release forecast of the newest periods.

    Attributes:
        ours, baseline: the forecasts of the same cells in the same order, with what was sold
        cells: what became of each cell that was forecast → how many
        others: another release's version → origins from which it forecast the same periods; they are left out
        table: every forecast of the release, also those of cells without demand: keys, origin, start, mean, pooled, series (its position in
            the panel or -1), target (its period)
    """

    ours: Rows
    baseline: Rows
    cells: dict[str, int]
    others: dict[str, list[str]]
    table: pa.Table

    @property
    def starts(self) -> list[np.datetime64]:
        """The first days of the periods with a cell to compare."""
        return list(np.unique(self.ours.table["start"].to_numpy().astype("datetime64[D]")))


def realised(to: str, bundle: StoredBundle, panel: Panel, recent: int) -> Realised:
    """Compare what *bundle* forecast, below the folder *to*, with the newest *recent* periods of *panel*.

    Raises:
        DataError: forecasts of another grain than the panel.
        IntegrityError: the bundle does not say what it was measured against.
    """
    config = knobs_of(bundle)
    first = max(panel.known - recent, 1)
    tables, ahead = [], 0
    others: dict[str, list[str]] = {}
    for origin, place in forecasts.written(to).items():
        if np.datetime64(origin) > panel.starts[panel.known - 1]:
            ahead += len(forecasts.read(place))
            continue
        at = _origin(origin, place, panel)
        if at + config["horizon"] < first:
            continue
        table = forecasts.read(place)
        _require_grain(table, place, panel)
        version = (table.schema.metadata or {}).get(b"release", b"?").decode()
        if version == bundle.version:
            tables.append(_located(table.replace_schema_metadata(None), at, panel))
        elif at < panel.known - 1:
            others.setdefault(version, []).append(origin)
    whole = pa.concat_tables(tables) if tables else _located(_empty(panel), 0, panel)
    series, target = whole["series"].to_numpy(), whole["target"].to_numpy()
    demand = panel.demand[series, np.minimum(target, panel.known - 1)]
    reasons = [target >= panel.known, target < first, series < 0, np.isnan(demand)]
    became = np.select(reasons, [NOT_YET, BEFORE, UNKNOWN, NO_DEMAND], COMPARED)
    cells = {name: int((became == name).sum()) for name in (COMPARED, NOT_YET, NO_DEMAND, UNKNOWN, BEFORE)}
    cells[NOT_YET] += ahead
    worth = panel.series.select(list(panel.keys)).append_column("worth", pa.array(panel.price))
    ours = whole.append_column("actual", pa.array(demand)).filter(pa.array(became == COMPARED)).select([*panel.keys, *TIMES, *NUMBERS])
    return Realised(*_beside_baseline(of(ours, worth), bundle, panel, worth), cells, others, whole)


def knobs_of(bundle: StoredBundle) -> dict[str, Any]:
    """The knobs that *bundle* was trained with; those that are younger than it have their defaults."""
    return facts.defaults(PanelConfig(), FeaturesConfig(), BacktestConfig(), ModelConfig(), CostConfig()) | bundle.facts["config"]


def _beside_baseline(ours: Rows, bundle: StoredBundle, panel: Panel, worth: pa.Table) -> tuple[Rows, Rows]:
    """*ours* and the same cells by the baseline of *bundle*."""
    known = bundle.json(BASELINE)
    if known is None:
        raise IntegrityError(f"{bundle.uri}: has no {BASELINE}, so there is nothing to compare its forecasts with; train it again")
    if not len(ours):
        return ours, ours
    config = knobs_of(bundle)
    inputs = Inputs(**{name: config[name] for name in ("features", "covariates", "history", "monotone", "horizon", "seed")})
    origins = np.searchsorted(panel.starts, np.unique(ours.table["origin"].to_numpy().astype("datetime64[D]")))
    parts = [forecast(panel, known["model"], int(origin), inputs, config["head"]).rows for origin in origins]
    return paired(ours, of(pa.concat_tables(parts), worth))


def gain(ours: Rows, baseline: Rows, start: np.datetime64, costs: losses.Costs) -> dict[str, Any]:
    """Of the cells of one period: ``start``, ``cells``, ``series``, both mean losses, the ``gain`` of ours and its 95 % ``interval``."""
    mask = ours.table["start"].to_numpy().astype("datetime64[D]") == start
    mine, theirs = ours.take(mask), baseline.take(mask)
    share = losses.gains(mine, theirs, costs)["pinball_share"]
    loss, other = (float(losses.pinball(rows.actual, rows.quantiles).mean()) for rows in (mine, theirs))
    number = {"cells": len(mine), "series": len(np.unique(mine.series)), "loss": loss, "baseline": other}
    return {"start": str(start), **number, "gain": share["value"], "interval": share["interval"]}


def promised(bundle: StoredBundle) -> np.ndarray:
    """The gains of *bundle*'s model over its baseline in the periods of its backtest, one for each origin and period after it.

    Raises:
        IntegrityError: the bundle has no backtest.
    """
    content = bundle.read(BACKTEST)
    features, baseline = bundle.json(FEATURES), bundle.json(BASELINE)
    if content is None or features is None or baseline is None:
        raise IntegrityError(
            f"{bundle.uri}: lacks one of {BACKTEST}, {FEATURES} and {BASELINE}, which say what it promised; train it again"
        )
    table = pq.read_table(io.BytesIO(content))
    rows = [of(table.filter(pc.equal(table["model"], name))) for name in (features["model"], baseline["model"])]
    ours, theirs = paired(*rows)
    period = np.unique(np.stack([ours.table[name].to_numpy().astype(np.int64) for name in TIMES]), axis=1, return_inverse=True)[1]
    mine, other = (np.bincount(period.ravel(), losses.pinball(each.actual, each.quantiles).mean(1)) for each in (ours, theirs))
    return 1 - mine[other > 0] / other[other > 0]


def _origin(origin: str, place: str, panel: Panel) -> int:
    """The position of *origin* among the starts of *panel*'s periods."""
    at = int(np.searchsorted(panel.starts, np.datetime64(origin)))
    if at == len(panel.starts) or panel.starts[at] != np.datetime64(origin):
        raise DataError(f"{place}: no {panel.period} of the sales begins on {origin}; these forecasts are of another grain or calendar")
    return at


def _require_grain(table: pa.Table, place: str, panel: Panel) -> None:
    have = keys(table)
    if sorted(have) != sorted(panel.keys):
        raise DataError(f"{place}: forecasts of {', '.join(have)}, and sales of {', '.join(panel.keys)}; compare those of one grain")
    strange = np.setdiff1d(table["start"].to_numpy().astype("datetime64[D]"), panel.starts)
    if len(strange) and strange.min() <= panel.starts[-1]:
        raise DataError(f"{place}: forecasts of {strange[0]}, on which no {panel.period} begins; these are of another grain or calendar")


def _located(table: pa.Table, origin: int, panel: Panel) -> pa.Table:
    """*table* with its ``origin``, and where each row lies in *panel*: ``series``, -1 if it is not there, and ``target``."""
    position = {name: k for k, name in enumerate(zip(*(panel.series[key].to_pylist() for key in panel.keys), strict=True))}
    series = [position.get(name, -1) for name in zip(*(table[key].to_pylist() for key in panel.keys), strict=True)]
    target = np.searchsorted(panel.starts, table["start"].to_numpy().astype("datetime64[D]"))
    columns: Mapping[str, Any] = {
        "origin": np.full(len(table), panel.starts[origin]),
        "series": np.array(series, np.int64),
        "target": target.astype(np.int64),
    }
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


def _empty(panel: Panel) -> pa.Table:
    """No forecast."""
    kinds = {key: pa.string() for key in panel.keys} | {"start": pa.date32()}
    numbers = {name: pa.float64() for name in NUMBERS if name != "actual"}
    return pa.schema(list((kinds | numbers | {"pooled": pa.bool_()}).items())).empty_table()
