"""How good the forecaster that ships is: its files at the test origin, against the best baseline and the last release.

The test origin is the newest one of the backtest, ``horizon`` periods before the end of the sales: no model was chosen by it.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainworks.errors import DataError, IntegrityError
from trainworks.release import stored
from trainworks.release.scores import Gain, Score, Scores
from trainworks.supermegaretail.evaluation import losses
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.evaluation.losses import Costs
from trainworks.supermegaretail.evaluation.response import response
from trainworks.supermegaretail.evaluation.rows import NUMBERS, TIMES, Rows, of
from trainworks.supermegaretail.evaluation.slices import slices
from trainworks.supermegaretail.evaluation.tried import Tried
from trainworks.supermegaretail.features.design import design
from trainworks.supermegaretail.features.languages import covariates
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.monitoring import profile
from trainworks.supermegaretail.panel.panel import Panel

log = logging.getLogger(__name__)

OBJECTIVE = "pinball loss"
"""The score that comparisons and sweeps turn on."""

RAN = ("config", "commit", "data", "packages", "created")
"""Facts of the release's manifest that the report shows this run beside."""

SCORES = {"pinball": (OBJECTIVE, "units"), "weighted": ("price-weighted pinball loss", "money"), "cost": ("cost of wrong stock", "money")}
"""The measures that have a gain, as other runs are compared by them."""

ERRORS = {"mae": "absolute error of the median", "rmse": "root mean squared error"}

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
"""Quantiles that might be ordered, for the curve of costs."""

AVERAGES = "averages"
"""The folder of choose with the parts of averages."""

FORECASTS, BACKTEST, TABLE = "forecasts.parquet", "backtest.parquet", "scores.parquet"


def evaluate(forecaster: Path, panel: Path, parts: list[Path], recipe: Path, release: str, cost: CostConfig, out: Path) -> None:
    """Write ``metrics.json``, ``forecasts.parquet``, ``backtest.parquet``, ``scores.parquet`` and ``profile.json`` to *out*.

    *parts* are the folders of the backtest, of every model and origin; *recipe* is that of choose, which has those of averages.
    *release* is the version to compare with, a folder or ``s3://`` URI, or ``""``; one that cannot be compared is told as
    ``unreadable``. ``plan`` says how often the plan for the periods ahead of the newest sales has no value. Sets of numbers are those
    of ``losses.summary`` and ``losses.gains``. ``scores`` and ``objective`` are what other runs are compared by, in the hall's form.

    Raises:
        DataError: the backtest has no baseline at the test origin.
    """
    shipped, whole = Forecaster.load(forecaster), Panel.load(panel)
    chosen = json.loads((recipe / "recipe.json").read_text())
    origin = whole.known - 1 - shipped.horizon
    costs = Costs(cost.shortage_cost, cost.overstock_cost)
    worth = whole.series.select(list(whole.keys)).append_column("worth", pa.array(whole.price))
    parts = [*parts, *sorted((recipe / AVERAGES).glob("*"))]
    table = pa.concat_tables([pq.read_table(part / BACKTEST) for part in parts], promote_options="default")
    newest = pc.equal(table["origin"], pa.scalar(whole.starts[origin].item(), table.schema.field("origin").type))
    ours = beside_sales(shipped.forecast(origin=str(whole.starts[origin])), whole, origin, chosen["model"])
    test = {name: of(table.filter(pc.and_(newest, pc.equal(table["model"], name))), worth) for name in {chosen["baseline"]}}
    base = test[chosen["baseline"]]
    if not len(base):
        raise DataError(f"the backtest has no row of {chosen['baseline']} at {whole.starts[origin]}; map it over the newest origin too")
    models = {"shipped": of(ours, worth), "baseline": base}
    last = _last_release(release, models, whole, origin, worth)
    is_baseline = chosen["model"] == chosen["baseline"]
    measured: dict[str, Any] = {
        **_scores(models, costs, f"the best baseline, {chosen['baseline']}").entries(),
        "model": chosen["model"],
        "best_baseline": chosen["baseline"],
        "ships_baseline": is_baseline,
        "origin": str(whole.starts[origin]),
        "horizon": shipped.horizon,
        "period": whole.period,
        "order": {"level": costs.level, "beyond": costs.beyond, "shortage": costs.shortage, "overstock": costs.overstock},
        "prices": {"known": int(np.isfinite(whole.price).sum()), "series": len(whole.price)},
        **{name: losses.summary(rows, costs) for name, rows in models.items() if name != "release"},
        "gains": losses.gains(models["shipped"], models["baseline"], costs),
        "slices": _slices(models, whole, costs),
        "response": response(Tried.load(forecaster)),
        "costs": {"levels": list(LEVELS), **{name: losses.costs_by_level(rows, costs, LEVELS) for name, rows in models.items()}},
    }
    if plan := _plan(shipped, whole):
        measured["plan"] = plan
    if "release" in models:
        measured["over_release"] = losses.gains(models["shipped"], models["release"], costs)
        measured["release"] = losses.summary(models["release"], costs)
    if last:
        measured["release"] = measured.get("release", {}) | last
    (out / "metrics.json").write_text(json.dumps(measured, indent=1) + "\n")
    pq.write_table(ours, out / FORECASTS, compression="zstd")
    pq.write_table(table, out / BACKTEST, compression="zstd")
    pq.write_table(by_model(table, worth, parts), out / TABLE, compression="zstd")
    profile.write(out, profile.profile(whole))


def beside_sales(forecasts: pa.Table, panel: Panel, origin: int, model: str) -> pa.Table:
    """*forecasts* of *panel*'s series, in its order, in the form of ``backtest.parquet``: with what was sold where that is demand."""
    count = len(forecasts) // len(panel.series)
    actual = panel.demand[:, origin + 1 : origin + 1 + count].ravel()
    names = {"origin": pa.array(np.full(len(forecasts), panel.starts[origin])), "model": pa.array([model] * len(forecasts))}
    for name, values in (names | {"actual": pa.array(actual, from_pandas=True)}).items():
        forecasts = forecasts.append_column(name, values)
    return forecasts.select([*panel.keys, *TIMES, "model", *NUMBERS])


def by_model(table: pa.Table, worth: pa.Table, parts: list[Path]) -> pa.Table:
    """Model × origin: rows, pinball loss, its price-weighted one, MAE of the median, RMSE and bias of the mean, and CPU seconds."""
    seconds = {}
    for part in parts:
        noted = json.loads((part / "seconds.json").read_text())
        seconds[noted["model"], noted["origin"]] = noted["seconds"]
    lines = []
    for (model, origin), rows in _each(table, worth):
        loss_N = losses.pinball(rows.actual, rows.quantiles).mean(1)
        error_N = rows.mean - rows.actual
        sold = rows.actual.sum()
        lines.append(
            {
                "model": model,
                "origin": origin,
                "rows": len(rows),
                "pinball": float(loss_N.mean()),
                "weighted": float((rows.worth * loss_N).mean()),
                "mae": float(np.abs(rows.quantiles[:, 2] - rows.actual).mean()),
                "rmse": float(np.sqrt((error_N**2).mean())),
                "bias": float(error_N.sum() / sold) if sold else None,
                "seconds": seconds.get((model, origin)),
            }
        )
    return pa.Table.from_pylist(lines)


def _each(table: pa.Table, worth: pa.Table):
    for pair in table.group_by(["model", "origin"], use_threads=False).aggregate([]).to_pylist():
        origin = pa.scalar(pair["origin"], table.schema.field("origin").type)
        rows = of(table.filter(pc.and_(pc.equal(table["model"], pair["model"]), pc.equal(table["origin"], origin))), worth)
        if len(rows):
            yield (pair["model"], str(pair["origin"])[:10]), rows


def _plan(shipped: Forecaster, panel: Panel) -> dict[str, Any]:
    """How much of the plan for the periods after the newest sales is there; nothing if the forecaster reads none.

    ``cells`` that may sell, and covariate → how many of them are ``missing`` in it, so that the last known stands there; or what is
    ``refused``, as declared.
    """
    if not any(known.when != "past" for known in covariates(shipped.recipe.covariates)):
        return {}
    last = panel.known - 1
    try:
        rows = design(panel.until(last, shipped.horizon), [last], range(1, shipped.horizon + 1), shipped.recipe)
    except DataError as error:
        return {"refused": str(error)}
    return {"cells": int(rows.sells.sum()), "missing": {name: count for name, count in rows.fallbacks.items() if count}}


def _last_release(uri: str, models: dict[str, Rows], panel: Panel, origin: int, worth: pa.Table) -> dict[str, Any]:
    """Add the release at *uri* to *models*; gives what is said of it."""
    if not uri:
        return {}
    version = uri.rpartition("/")[2]
    try:
        bundle = stored.locate(uri)
        forecasts = Forecaster.load(uri).of(panel, origin)
    except (IntegrityError, DataError) as error:
        log.warning("no comparison with the last release: %s", error)
        return {"version": version, "unreadable": str(error)}
    models["release"] = of(beside_sales(forecasts, panel, origin, "release"), worth)
    return {"version": version, "ran": {name: bundle.facts[name] for name in RAN if name in bundle.facts}}


def _scores(models: Mapping[str, Rows], costs: Costs, over: str) -> Scores:
    reached, gained = losses.summary(models["shipped"], costs), losses.gains(models["shipped"], models["baseline"], costs)
    scores = []
    for measure, (name, unit) in SCORES.items():
        gain = Gain(over, gained[measure]["value"], tuple(gained[measure]["interval"]))
        scores.append(_score(name, reached[measure], unit, gain))
    scores += [_score(name, reached[measure], "units") for measure, name in ERRORS.items()]
    scores += [_score(OBJECTIVE, value, "units", group=name) for name, value in reached["by_quantile"].items()]
    return Scores(OBJECTIVE, tuple(scores))


def _score(name: str, measured: Mapping[str, Any], unit: str, gain: Gain | None = None, group: str = "") -> Score:
    return Score(name, measured["value"], tuple(measured["interval"]), "lower", unit, group, gain)


def _slices(models: Mapping[str, Rows], panel: Panel, costs: Costs) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows, pinball losses of both, bias and cost, and gains, of each part of the forecasts."""
    parted = slices(models["shipped"], panel)
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for name, masks in parted.items():
        result[name] = {}
        for part, mask in masks.items():
            ours = models["shipped"].take(mask)
            mine = losses.summary(ours, costs)
            result[name][part] = {
                "rows": len(ours),
                **{measure: mine[measure] for measure in ("pinball", "bias", "cost")},
                "gains": losses.gains(ours, models["baseline"], costs),
            }
    return result
