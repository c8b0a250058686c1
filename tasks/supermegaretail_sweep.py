"""Tuning Supermegaretail: each trial is a backtest, judged at all origins but the newest.

A trial runs the stages of :mod:`tasks.supermegaretail` inside its own task, where they are remembered by content: trials share the
panel and every model that their setting does not touch, and the pipeline on the winner's file learns nothing again, unless ``covariates``
were varied: its panel then has those of the winner alone.
"""

from functools import partial
from typing import Any

from flytekit import dynamic
from flytekit.types.directory import FlyteDirectory

from tasks import supermegaretail
from tasks.deployment import CPU, LARGE, SMALL, StagePod, registered_with
from tasks.knobs import as_dict, flat
from tasks.stage import path, step
from tasks.supermegaretail import Checked, TrainOn
from tasks.sweep import Answered, Asked, Sampler, Searched, Swept, leave, next_settings, rounds
from trainworks.supermegaretail.backtest.knobs import BacktestConfig, TrialConfig
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.tables.knobs import TablesConfig


@step()
def check(
    tables: TablesConfig,
    clean: CleanConfig,
    grain: str,
    keep: str,
    horizon: int,
    panel_on: str,
    backtest: BacktestConfig,
    model: TrialConfig,
    source: str,
    space: str,
    sampler: Sampler,
    trials: int,
    parallel: int,
) -> Checked:
    """Refuse bad knobs, spaces and sources before anything expensive."""
    from trainworks.storage import store
    from trainworks.supermegaretail.backtest import trial
    from trainworks.supermegaretail.tables import acquire
    from trainworks.supermegaretail.tables.zones import zone
    from trainworks.sweep import space as spaces
    from trainworks.sweep.trials import require_possible

    store.check()
    PanelConfig(grain, keep, model.covariates, horizon, panel_on)
    timezone = zone(clean.timezone, source)
    acquire.check(source, tables.columns, timezone)
    varied = spaces.parse(space, model)
    require_possible(varied, sampler.value, trials, parallel)
    trial.check(varied, model.covariates)
    return Checked(panel_on, TrainOn.CPU.value, timezone, "")


@step()
def ask(model: TrialConfig, space: str, sampler: Sampler, asked: Asked, answered: Answered, many: int) -> list[str]:
    """The settings of the next round."""
    from trainworks.supermegaretail.backtest.trial import OBJECTIVE

    return next_settings(model, model.seed, space, sampler, OBJECTIVE, asked, answered, many)


@step(LARGE, interruptible=True)
def trial(setting: str, model: TrialConfig, backtest: BacktestConfig, panel: FlyteDirectory, horizon: int) -> str:
    """Backtest with one setting: the loss of the model that would ship, or the error."""
    from trainworks.supermegaretail.backtest.trial import chosen_loss
    from trainworks.sweep import space, trials

    def reach(chosen: dict) -> float:
        return chosen_loss(path(_compared(space.apply(model, chosen), backtest, panel, horizon)[1]))

    return trials.attempt(setting, reach)


# It registers its trials itself, in its pod.
@dynamic(requests=SMALL, container_image=CPU, environment=registered_with(), pod_template=StagePod())
@flat(as_dict, model=TrialConfig, backtest=BacktestConfig)
def search(
    model: dict, backtest: dict, panel: FlyteDirectory, horizon: int, space: str, sampler: Sampler, trials: int, parallel: int
) -> Searched:
    """Rounds of *parallel* trials."""
    next_round = partial(ask, **model, space=space, sampler=sampler)
    return rounds(next_round, partial(trial, panel=panel, horizon=horizon, **model, **backtest), trials, parallel)


@step(LARGE, enable_deck=True, deck_fields=())
def conclude(
    asked: Asked,
    answered: Answered,
    panel: FlyteDirectory,
    tables: TablesConfig,
    clean: CleanConfig,
    grain: str,
    keep: str,
    horizon: int,
    panel_on: str,
    backtest: BacktestConfig,
    model: TrialConfig,
    source: str,
    space: str,
    sampler: Sampler,
) -> Swept:
    """The winner at the test origin; a table, the winner's experiment file, and a page with plots."""
    from trainworks import facts
    from trainworks.supermegaretail.backtest.trial import OBJECTIVE, tested
    from trainworks.sweep import space as spaces
    from trainworks.sweep.trials import best, together

    trials = together(asked, answered)
    winner = spaces.apply(model, trials[best(trials, OBJECTIVE)].setting)
    parts, chosen = _compared(winner, backtest, panel, horizon)
    ships = supermegaretail.winner.task_function(chosen=chosen, models=winner.models)
    fitted = supermegaretail.fit.task_function(panel=panel, models=ships, **_inputs(winner, horizon))
    forecaster = supermegaretail.export.task_function(model=fitted, panel=panel)
    compared = {"forecaster": forecaster, "panel": panel, "parts": parts, "chosen": chosen}
    metrics = supermegaretail.evaluate.task_function(**compared, release="", **vars(CostConfig()))

    panels = PanelConfig(grain, keep, winner.covariates, horizon, panel_on)
    sections = (tables, clean, panels, backtest, winner)
    usual = facts.defaults(*sections)
    file = {"source": source, **{name: value for name, value in facts.knobs(*sections).items() if value != usual[name]}}
    described = {
        "space": space,
        "sampler": sampler.value,
        "trials": len(trials),
        "trials in parallel": len(asked[0]),
        **facts.knobs(tables, clean, panels, backtest, model),
    }
    return leave(trials, spaces.parse(space, model), OBJECTIVE, file, tested(path(metrics)), described)


def _compared(
    model: TrialConfig, backtest: BacktestConfig, panel: FlyteDirectory, horizon: int
) -> tuple[list[FlyteDirectory], FlyteDirectory]:
    """Every model at every origin, and what was chosen, under the names that the pipeline remembers them by."""
    pairs = supermegaretail.trials.task_function(panel=panel, models=model.models, horizon=horizon, **vars(backtest))
    part = partial(supermegaretail.backtest.task_function, panel=panel, **_inputs(model, horizon))
    parts = [part(model=name, origin=origin) for name, origin in zip(*pairs, strict=True)]
    chosen = supermegaretail.choose.task_function(panel=panel, parts=parts, models=model.models, head=model.head, horizon=horizon)
    return parts, chosen


def _inputs(model: TrialConfig, horizon: int) -> dict[str, Any]:
    names = ("features", "covariates", "history", "monotone", "head", "targets", "seed")
    return {"horizon": horizon, **{name: getattr(model, name) for name in names}}
