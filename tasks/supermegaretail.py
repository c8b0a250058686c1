"""Supermegaretail's stages as Flyte tasks, in the order of the data."""

from enum import Enum
from pathlib import Path
from typing import NamedTuple, get_type_hints

from flytekit import Deck
from flytekit.types.directory import FlyteDirectory

from tasks.delivery import Delivered, folder, publish, run_name
from tasks.deployment import LARGE, MEDIUM, SMALL, spark
from tasks.stage import HOURS, Artifact, lasting, path, paths, stage, step
from trainworks.config import Section
from trainworks.storage import store
from trainworks.supermegaretail.backtest.knobs import BacktestConfig
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.features.knobs import FeaturesConfig
from trainworks.supermegaretail.models.knobs import FitConfig, Head, Inputs, ModelConfig
from trainworks.supermegaretail.monitoring.knobs import WatchConfig
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.tables.knobs import TablesConfig


class TrainOn(Enum):
    """Where the model that ships is learned; what it makes is the same, so its cache is too."""

    CPU = "cpu"
    SAGEMAKER = "sagemaker"


class Checked(NamedTuple):
    """What the workflow turns on.

    ``panel_on`` and ``train_on`` as a condition compares them, ``timezone`` where the stores are, ``named`` the name of the run.
    """

    panel_on: str
    train_on: str
    timezone: str
    named: str


@step()
def check(
    tables: TablesConfig,
    clean: CleanConfig,
    panel: PanelConfig,
    features: FeaturesConfig,
    backtest: BacktestConfig,
    model: ModelConfig,
    cost: CostConfig,
    gate: GateConfig,
    source: str,
    release_to: str,
    forecasts_to: str,
    train_on: TrainOn,
) -> Checked:
    """Refuse bad knobs, sources, targets and deployments before anything expensive; an empty *forecasts_to* is none."""
    from trainworks.release import releases
    from trainworks.supermegaretail.delivery import forecasts
    from trainworks.supermegaretail.tables import acquire
    from trainworks.supermegaretail.tables.zones import zone
    from trainworks.training import sagemaker

    store.check()
    timezone = zone(clean.timezone, source)
    acquire.check(source, tables.columns, timezone)
    releases.check_target(folder(release_to, "supermegaretail"))
    if forecasts_to:
        forecasts.check_target(lasting("forecasts_to", forecasts_to))
    if train_on is TrainOn.SAGEMAKER:
        sagemaker.Deployment.from_environment()
    return Checked(panel.panel_on, train_on.value, timezone, run_name())


@step(MEDIUM, interruptible=True)
def acquire(source: str, columns: str) -> list[Artifact]:
    """The tables as they come, in slices of time. Never cached: only reading tells whether a source has changed."""
    from trainworks.supermegaretail.tables.acquire import acquire

    return [FlyteDirectory(store.address(folder)) for folder in acquire(source, columns)]


@stage("supermegaretail.cleaning.clean", MEDIUM, many=True, interruptible=True)
def clean(rows: Artifact, cleaning: CleanConfig, out: Path) -> Artifact:
    """One slice's lines: kept, corrected or rejected, each with its reason."""
    from trainworks.supermegaretail.cleaning.clean import clean

    clean(path(rows), cleaning, out)
    return FlyteDirectory(str(out))


@stage("supermegaretail.panel.build", LARGE)
def panel(lines: list[Artifact], panel: PanelConfig, out: Path) -> Artifact:
    """Series × periods, each cell with its state, and what is known beside sales."""
    return _panel(lines, panel, out)


@stage("supermegaretail.panel.build", LARGE, name="panel", **spark("large"))
def panel_on_spark(lines: list[Artifact], panel: PanelConfig, out: Path) -> Artifact:
    """The same where one machine ends: by Spark, on the executors that the cluster was registered with, else on this pod's processors."""
    return _panel(lines, panel, out)


def _panel(lines: list[FlyteDirectory], panel: PanelConfig, out: Path) -> FlyteDirectory:
    from trainworks.supermegaretail.panel.build import build

    build(paths(lines), panel, out)
    return FlyteDirectory(str(out))


class Trials(NamedTuple):
    """What is mapped over: ``models`` and ``origins`` of the same length, a pair for each part of the backtest."""

    models: list[str]
    origins: list[int]


@step()
def trials(panel: Artifact, models: str, horizon: int, origins: int, step: int) -> Trials:
    """Every model that is no average, at every origin, the newest of which is the test."""
    from trainworks.supermegaretail.backtest import origins as origin
    from trainworks.supermegaretail.models.language import models as parsed
    from trainworks.supermegaretail.panel.panel import Panel

    at = origin.origins(Panel.load(path(panel)).known, horizon, step, origins)
    names = [model.name for model in parsed(models) if not model.members]
    return Trials([name for name in names for _ in at], at * len(names))


@stage("supermegaretail.backtest.backtest", MEDIUM, many=True, interruptible=True)
def backtest(model: str, origin: int, panel: Artifact, inputs: Inputs, head: Head, out: Path) -> Artifact:
    """What one model forecasts from one origin, when it learned what was known then."""
    from trainworks.supermegaretail.backtest.backtest import backtest

    backtest(path(panel), model, origin, inputs, head.value, out)
    return FlyteDirectory(str(out))


@stage("supermegaretail.backtest.choose", MEDIUM)
def choose(panel: Artifact, parts: list[Artifact], models: str, head: Head, horizon: int, out: Path) -> Artifact:
    """The model that loses least at all origins but the newest."""
    from trainworks.supermegaretail.backtest.choose import choose

    choose(path(panel), paths(parts), models, head.value, horizon, out)
    return FlyteDirectory(str(out))


@step()
def winner(chosen: Artifact, models: str) -> str:
    """The chosen model, with its members if it is an average: all that fit depends on of what was tried."""
    from trainworks.supermegaretail.backtest.choose import winner

    return winner(path(chosen), models)


@stage("supermegaretail.backtest.shipped", LARGE)
def fit(panel: Artifact, knobs: FitConfig, out: Path) -> Artifact:
    """The last of *models*, learned on all that is known at the test origin."""
    from trainworks.supermegaretail.backtest.shipped import ship

    ship(path(panel), knobs.models, knobs, knobs.head.value, out)
    return FlyteDirectory(str(out))


@stage("supermegaretail.backtest.shipped", SMALL, name="fit")
def fit_on_sagemaker(panel: Artifact, knobs: FitConfig, out: Path) -> Artifact:
    """The same as a SageMaker job, which this task starts and waits for."""
    from trainworks.supermegaretail.backtest.job import PROGRAM

    PROGRAM.submit({"panel": path(panel)}, knobs, out, HOURS)
    return FlyteDirectory(str(out))


@stage("supermegaretail.delivery.export", MEDIUM)
def export(model: Artifact, panel: Artifact, out: Path) -> Artifact:
    """The forecaster as its files, its graph proved equal to the model."""
    from trainworks.supermegaretail.delivery.export import export

    export(path(model), path(panel), out)
    return FlyteDirectory(str(out))


@step()
def last_release(forecaster: Artifact, release_to: str) -> str:
    """The released version to compare with, named by its content. Never cached: somebody may have released since."""
    from trainworks.release.predecessor import predecessor
    from trainworks.supermegaretail.facts import MODEL

    return predecessor(folder(release_to, "supermegaretail"), path(forecaster), MODEL)


@stage("supermegaretail.evaluation.evaluate", LARGE)
def evaluate(
    forecaster: Artifact, panel: Artifact, parts: list[Artifact], chosen: Artifact, release: str, cost: CostConfig, out: Path
) -> Artifact:
    """What wrong stock costs by the files that ship, beside the best baseline and the last release."""
    from trainworks.supermegaretail.evaluation.evaluate import evaluate

    evaluate(path(forecaster), path(panel), paths(parts), path(chosen), release, cost, out)
    return FlyteDirectory(str(out))


@stage("supermegaretail.evaluation.behaviour", MEDIUM)
def behave(forecaster: Artifact, out: Path) -> Artifact:
    """What the forecaster that ships must do whatever it is asked: a rate per check, with its worst failures."""
    from trainworks.supermegaretail.evaluation.behaviour import behave

    behave(path(forecaster), out)
    return FlyteDirectory(str(out))


@stage("supermegaretail.report.page", MEDIUM)
def report(
    panel: Artifact,
    chosen: Artifact,
    forecaster: Artifact,
    metrics: Artifact,
    behaviour: Artifact,
    lines: list[Artifact],
    parts: list[Artifact],
    source: str,
    named: str,
    tables: TablesConfig,
    clean: CleanConfig,
    panels: PanelConfig,
    features: FeaturesConfig,
    backtest: BacktestConfig,
    model: ModelConfig,
    cost: CostConfig,
    gate: GateConfig,
    out: Path,
) -> Artifact:
    """The page a person reads before shipping, and the verdict of the gates."""
    from trainworks.supermegaretail.report.page import report
    from trainworks.supermegaretail.run import Run

    run = Run(path(panel), path(chosen), path(forecaster), path(metrics), path(behaviour))
    report(run, paths(lines), paths(parts), source, (tables, clean, panels, features, backtest, model, cost), gate, out, named)
    return FlyteDirectory(str(out))


@stage("supermegaretail.delivery.package", MEDIUM)
def package(
    panel: Artifact,
    chosen: Artifact,
    forecaster: Artifact,
    metrics: Artifact,
    behaviour: Artifact,
    lines: list[Artifact],
    report: Artifact,
    out: Path,
) -> Artifact:
    """The bundle a service loads."""
    from trainworks.supermegaretail.delivery.package import package
    from trainworks.supermegaretail.run import Run

    run = Run(path(panel), path(chosen), path(forecaster), path(metrics), path(behaviour))
    package(run, paths(lines), path(report), out)
    return FlyteDirectory(str(out))


@step(enable_deck=True, deck_fields=())
def release(bundle: Artifact, release_to: str) -> Delivered:
    """Publish the bundle; where a release is asked for, the pointer moves if every gate holds. Never cached: others may have released."""
    from trainworks.release import registry

    registry.keep()
    return publish(bundle, release_to, "supermegaretail", "Supermegaretail")


SECTIONS: tuple[type[Section], ...] = (
    *(TablesConfig, CleanConfig, PanelConfig, FeaturesConfig, BacktestConfig, ModelConfig),
    *(CostConfig, GateConfig),
)
KNOBS = {name: kind for section in SECTIONS for name, kind in get_type_hints(section).items() if name != "name"}

Settings = NamedTuple("Settings", [("version", str), *KNOBS.items()])  # type: ignore[misc]
"""What newer sales are read with, and a model is trained anew: the knobs of a release, whose ``version`` is named by its content."""


@step()
def settings(release: str, forecasts_to: str, history: int = FeaturesConfig.history) -> Settings:
    """The current version of *release* and its knobs, to learn from *history* periods at most.

    Never cached: somebody may have released since.
    """
    from trainworks import facts
    from trainworks.release import stored
    from trainworks.supermegaretail.backtest.origins import within
    from trainworks.supermegaretail.delivery import forecasts
    from trainworks.supermegaretail.tables.zones import zone

    store.check()
    forecasts.check_target(lasting("forecasts_to", forecasts_to))
    bundle = stored.locate(lasting("release", release))
    known = facts.defaults(*(section() for section in SECTIONS)) | bundle.facts["config"]
    known |= {"timezone": zone(known["timezone"], known["source"])}
    if history < known["history"]:
        known |= {"history": history, "origins": within(history, known["step"], known["origins"])}
    return Settings(bundle.uri, *(kind(known[name]) for name, kind in KNOBS.items()))  # type: ignore[call-arg]


class Gathered(NamedTuple):
    """What is mapped over: ``firsts``, the first series of each shard, none if the origin is forecast; and what they have ``shared``."""

    firsts: list[int]
    shared: Artifact


@step(MEDIUM)
def gather(release: str, panel: Artifact, forecasts_to: str) -> Gathered:
    """The shards of the panel, each to be forecast by the current version. Never cached: somebody may have released or forecast since."""
    from trainworks.supermegaretail.delivery.forecasts import gather

    firsts: list[int] = []
    places = lasting("release", release), path(panel), lasting("forecasts_to", forecasts_to)
    shared = store.keep("gather", lambda out: firsts.extend(gather(*places, out)))
    return Gathered(firsts, FlyteDirectory(store.address(shared)))


@stage("supermegaretail.delivery.forecasts", MEDIUM, many=True, interruptible=True)
def forecast(first: int, panel: Artifact, shared: Artifact, out: Path) -> Artifact:
    """The forecasts of one shard of the series."""
    from trainworks.supermegaretail.delivery.forecasts import forecast

    forecast(first, path(panel), path(shared), out)
    return FlyteDirectory(str(out))


@step(MEDIUM)
def publish_forecasts(parts: list[Artifact], shared: Artifact, forecasts_to: str) -> str:
    """The forecasts of the newest origin, whole or not at all; those that are there stay as they are."""
    from trainworks.supermegaretail.delivery.forecasts import publish

    return publish(paths(parts), path(shared), lasting("forecasts_to", forecasts_to))


class Watched(NamedTuple):
    """What a watch ends with: ``ok``, ``warn`` or ``retrain``, and where the page and ``alert.json`` are."""

    verdict: str
    report: str
    alert: str


@step(LARGE, enable_deck=True, deck_fields=())
def watch(release: str, panel: Artifact, forecasts_to: str, knobs: WatchConfig) -> Watched:
    """What was forecast beside what was sold. Never cached: somebody may have forecast or retrained since."""
    from trainworks.supermegaretail.monitoring.watch import watch

    watched = watch(release, path(panel), lasting("forecasts_to", forecasts_to), knobs)
    Deck("Watch", watched.page)
    return Watched(watched.verdict, watched.report, watched.alert)


@step()
def go_on(release: str, report: str) -> Delivered:
    """What is delivered where nothing is trained: the release that there is."""
    return Delivered(release, report, False, "nothing was trained", True)


@step()
def conclude(verdict: str, forecasts_to: str, released: bool, why: str) -> str:
    """Note how a retraining ended; fails once if its gates did, so that who is notified of failures hears of it."""
    from trainworks.supermegaretail.monitoring.watch import RETRAIN, concluded

    if verdict == RETRAIN:
        concluded(lasting("forecasts_to", forecasts_to), released, why)
    return verdict
