"""Supermegaretail: from tables of sales to a released forecaster, and from a release to forecasts, and to the next release.

pyflyte run workflows/supermegaretail.py supermegaretail
pyflyte run workflows/supermegaretail.py forecast --release artifacts/supermegaretail --source … --forecasts_to …
pyflyte run workflows/supermegaretail.py watch --release artifacts/supermegaretail --source … --forecasts …
"""

from functools import partial

from flytekit import conditional, map_task, workflow

from tasks import supermegaretail as tasks
from tasks.knobs import as_dict, flat
from trainworks.supermegaretail.backtest.knobs import BacktestConfig
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.features.knobs import FeaturesConfig
from trainworks.supermegaretail.models.knobs import ModelConfig
from trainworks.supermegaretail.monitoring.knobs import WatchConfig
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.tables.knobs import TablesConfig

SECTIONS = {
    "tables": TablesConfig,
    "cleaning": CleanConfig,
    "panels": PanelConfig,
    "features": FeaturesConfig,
    "backtest": BacktestConfig,
    "model": ModelConfig,
    "cost": CostConfig,
    "gate": GateConfig,
}


def panel_by_engine(panel_on, lines, panels: dict):
    """The panel by the engine that *panel_on* names."""
    return (
        conditional("panel_on")
        .if_(panel_on == "spark")
        .then(tasks.panel_on_spark(lines=lines, **panels).with_overrides(node_name="on-spark"))
        .else_()
        .then(tasks.panel(lines=lines, **panels).with_overrides(node_name="on-one-machine"))
    ).with_overrides(node_name="panel")


def _trained(of: dict[str, dict], source: str, release_to: str, train_on: tasks.TrainOn, forecasts_to: str = ""):
    """From tables to a release, by the knobs *of* each section: what was delivered, and the panel that it was made from."""
    knobs = {name: value for section in of.values() for name, value in section.items()}
    places = {"source": source, "release_to": release_to, "forecasts_to": forecasts_to}
    checked = tasks.check(**knobs, **places, train_on=train_on).with_overrides(node_name="check")
    rows = tasks.acquire(source=source, **of["tables"]).with_overrides(node_name="acquire")
    lines = map_task(partial(tasks.clean, **of["cleaning"] | {"timezone": checked.timezone}))(rows=rows).with_overrides(node_name="clean")
    panel = panel_by_engine(checked.panel_on, lines, of["panels"])
    # Bad knobs must stop the run before a table is read. It takes one output: all of them together order nothing on a cluster.
    checked.timezone >> rows
    return _learned(of, panel, lines, source, release_to, checked.named, partial(_fit_by, checked.train_on)), panel


def _fit(**inputs):
    """The model that ships, learned in a pod."""
    return tasks.fit(**inputs).with_overrides(node_name="fit")


def _fit_by(train_on, **inputs):
    """The same where *train_on* says."""
    return (
        conditional("train_on")
        .if_(train_on == tasks.TrainOn.SAGEMAKER.value)
        .then(tasks.fit_on_sagemaker(**inputs).with_overrides(node_name="on-sagemaker"))
        .else_()
        .then(tasks.fit(**inputs).with_overrides(node_name="on-cpu"))
    ).with_overrides(node_name="fit")


def _learned(of: dict[str, dict], panel, lines, source: str, release_to: str, named: str, fit=_fit):
    """From a panel to a release, by what *fit* makes of the winner: what was delivered."""
    knobs = {name: value for section in of.values() for name, value in section.items()}
    periods = {name: knobs[name] for name in ("horizon", "origins", "step")}
    trials = tasks.trials(panel=panel, models=knobs["models"], **periods).with_overrides(node_name="trials")
    inputs = {name: knobs[name] for name in ("features", "covariates", "history", "monotone", "horizon", "head", "targets", "seed")}
    try_out = map_task(partial(tasks.backtest, panel=panel, **inputs))
    parts = try_out(model=trials.models, origin=trials.origins).with_overrides(node_name="backtest")
    tried = {"panel": panel, **{name: knobs[name] for name in ("models", "head", "horizon")}}
    chosen = tasks.choose(parts=parts, **tried).with_overrides(node_name="choose")

    winner = tasks.winner(chosen=chosen, models=knobs["models"]).with_overrides(node_name="winner")
    fitted = fit(panel=panel, models=winner, **inputs)
    forecaster = tasks.export(model=fitted, panel=panel).with_overrides(node_name="export")
    last = tasks.last_release(forecaster=forecaster, release_to=release_to).with_overrides(node_name="last-release")
    measured = {"forecaster": forecaster, "panel": panel, "parts": parts, "chosen": chosen}
    metrics = tasks.evaluate(**measured, release=last, **of["cost"]).with_overrides(node_name="evaluate")
    behaviour = tasks.behave(forecaster=forecaster).with_overrides(node_name="behave")

    run = {"panel": panel, "chosen": chosen, "forecaster": forecaster, "metrics": metrics, "behaviour": behaviour, "lines": lines}
    report = tasks.report(**run, parts=parts, source=source, named=named, **knobs).with_overrides(node_name="report")
    bundle = tasks.package(**run, report=report).with_overrides(node_name="package")
    return tasks.release(bundle=bundle, release_to=release_to).with_overrides(node_name="release")


@workflow
@flat(as_dict, **SECTIONS)
def supermegaretail(
    tables: dict,
    cleaning: dict,
    panels: dict,
    features: dict,
    backtest: dict,
    model: dict,
    cost: dict,
    gate: dict,
    source: str = "sample",
    release_to: str = "artifacts/supermegaretail",
    train_on: tasks.TrainOn = tasks.TrainOn.CPU,
) -> tasks.Delivered:
    """Forecast the demand of every product in every store; deliver a forecaster, what it costs to be wrong, and a report.

    Args:
        source: sample, a folder, or an s3:// prefix with tables named by file or sub-folder; sales are needed
        release_to: folder of releases, whose pointer moves if every gate holds. An experiment file that names none, as "" does, leaves
            a candidate in artifacts/supermegaretail
        train_on: where a cluster learns the model that ships; sagemaker starts a job of it wherever this runs
    """
    of = {"tables": tables, "cleaning": cleaning, "panels": panels, "features": features}
    delivered, _ = _trained(of | {"backtest": backtest, "model": model, "cost": cost, "gate": gate}, source, release_to, train_on)
    return delivered


def _read_as(known, source: str):
    """The panel of *source*, read with the knobs of a release, and the lines that it is made of."""
    rows = tasks.acquire(source=source, columns=known.columns).with_overrides(node_name="acquire")
    cleaning = {"timezone": known.timezone, "returns": known.returns}
    lines = map_task(partial(tasks.clean, **cleaning))(rows=rows).with_overrides(node_name="clean")
    panels = {name: getattr(known, name) for name in ("grain", "keep", "covariates", "horizon", "panel_on")}
    return panel_by_engine(known.panel_on, lines, panels), lines


def forecasting(release: str, panel, forecasts_to: str):
    """The forecasts of *panel* by the current version of *release*: what its shards share, and the place of the file."""
    gathered = tasks.gather(release=release, panel=panel, forecasts_to=forecasts_to).with_overrides(node_name="gather")
    shards = map_task(partial(tasks.forecast, panel=panel, shared=gathered.shared))
    parts = shards(first=gathered.firsts).with_overrides(node_name="forecast")
    place = tasks.publish_forecasts(parts=parts, shared=gathered.shared, forecasts_to=forecasts_to).with_overrides(node_name="publish")
    return gathered.firsts, place


@workflow
def forecast(release: str, source: str, forecasts_to: str) -> str:
    """Forecast every series from the newest period of the source; gives the place of ``origin=2026-11-23/forecasts.parquet``.

    The release says how the tables are read and what a series is. The same origin again is the same file.

    Args:
        release: a release, whose current version forecasts, or a bundle: a folder or s3://
        source: the tables with all sales until now, and what is planned after them
        forecasts_to: folder or s3:// prefix that forecasts are written below
    """
    known = tasks.settings(release=release, forecasts_to=forecasts_to).with_overrides(node_name="settings")
    panel, _ = _read_as(known, source)
    _, place = forecasting(known.version, panel, forecasts_to)
    return place


@workflow
@flat(as_dict, **SECTIONS)
def weekly(
    tables: dict,
    cleaning: dict,
    panels: dict,
    features: dict,
    backtest: dict,
    model: dict,
    cost: dict,
    gate: dict,
    source: str = "sample",
    release_to: str = "artifacts/supermegaretail",
    forecasts_to: str = "artifacts/forecasts",
    train_on: tasks.TrainOn = tasks.TrainOn.CPU,
) -> str:
    """Train anew on all sales, release what holds its gates, and forecast with what is then current.

    Args:
        source: as for supermegaretail
        release_to: folder that holds the released versions and the pointer to the current one
        forecasts_to: folder or s3:// prefix that forecasts are written below
        train_on: as for supermegaretail
    """
    of = {"tables": tables, "cleaning": cleaning, "panels": panels, "features": features}
    of |= {"backtest": backtest, "model": model, "cost": cost, "gate": gate}
    delivered, panel = _trained(of, source, release_to, train_on, forecasts_to)
    gathered, place = forecasting(release_to, panel, forecasts_to)
    delivered.bundle >> gathered
    return place


@workflow
@flat(as_dict, **SECTIONS)
def retrain(
    tables: dict,
    cleaning: dict,
    panels: dict,
    features: dict,
    backtest: dict,
    model: dict,
    cost: dict,
    gate: dict,
    panel: tasks.Artifact,
    lines: list[tasks.Artifact],
    source: str,
    release_to: str,
) -> tasks.Delivered:
    """The part of watch that trains: from its panel to a release. No condition is within, for flytekit runs none in another's case.

    Args:
        panel: of all sales until now
        lines: what it was made of
        source: where they came from
        release_to: folder that holds the released versions and the pointer to the current one
    """
    of = {"tables": tables, "cleaning": cleaning, "panels": panels, "features": features}
    of |= {"backtest": backtest, "model": model, "cost": cost, "gate": gate}
    return _learned(of, panel, lines, source, release_to, "")


@workflow
@flat(as_dict, watching=WatchConfig)
def watch(
    watching: dict,
    source: str = "sample",
    release: str = "artifacts/supermegaretail",
    forecasts: str = "artifacts/forecasts",
) -> tasks.Watched:
    """Compare what a release forecast with what was then sold: ok, warn or retrain, a page and ``alert.json`` below the forecasts.

    On retrain it is trained anew with its own knobs, and released if its gates hold; if they do not the old release stays, and this fails.

    Args:
        source: the tables with all sales until now, and what was and is planned
        release: folder that holds the released versions and the pointer to the current one, which forecast
        forecasts: folder or s3:// prefix that forecasts were written below
    """
    read = {"release": release, "forecasts_to": forecasts, "history": watching["history"]}
    known = tasks.settings(**read).with_overrides(node_name="settings")
    panel, lines = _read_as(known, source)
    seen = tasks.watch(release=known.version, panel=panel, forecasts_to=forecasts, **watching).with_overrides(node_name="watch")
    knobs = {name: getattr(known, name) for name in tasks.KNOBS}
    delivered = (
        conditional("retrain")
        .if_(seen.verdict == "retrain")
        .then(retrain(**knobs, panel=panel, lines=lines, source=source, release_to=release).with_overrides(node_name="train"))
        .else_()
        .then(tasks.go_on(release=known.version, report=seen.report).with_overrides(node_name="go-on"))
    ).with_overrides(node_name="retrain")
    ended = {"released": delivered.released, "why": delivered.why}
    verdict = tasks.conclude(verdict=seen.verdict, forecasts_to=forecasts, **ended).with_overrides(node_name="conclude")
    return tasks.Watched(verdict, seen.report, seen.alert)
