"""A simulated year: a retailer drawn from a seed is forecast and watched week by week, and trained anew when the watch asks for it.

``python -m benchmarks.watching [--seeds 1 2 3] [--happens calm shift]`` prints, for each kind of year, after how many
weeks the watch noticed what happened, how often it asked for a retraining that nothing called for, and what was saved of the baseline's
loss before, while the old release went on, and with the new one. Every stage is the pipeline's own; the weeks are cut out of one panel,
for no cell depends on a later one.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainworks.errors import ReleaseError
from trainworks.release import releases
from trainworks.report.terminal import table
from trainworks.storage import manifest
from trainworks.supermegaretail import simulated
from trainworks.supermegaretail.backtest.backtest import backtest
from trainworks.supermegaretail.backtest.choose import all_parts, choose, winner
from trainworks.supermegaretail.backtest.knobs import BacktestConfig
from trainworks.supermegaretail.backtest.origins import origins, within
from trainworks.supermegaretail.backtest.shipped import ship
from trainworks.supermegaretail.cleaning.clean import clean
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.delivery import forecasts
from trainworks.supermegaretail.delivery.export import export
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.delivery.package import package
from trainworks.supermegaretail.evaluation.behaviour import behave
from trainworks.supermegaretail.evaluation.evaluate import evaluate
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.features.knobs import FeaturesConfig
from trainworks.supermegaretail.models.knobs import Inputs, ModelConfig
from trainworks.supermegaretail.models.language import models
from trainworks.supermegaretail.monitoring.knobs import WatchConfig
from trainworks.supermegaretail.monitoring.watch import OK, RETRAIN, concluded, recall, watch
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.report.page import report
from trainworks.supermegaretail.run import Run
from trainworks.supermegaretail.tables.acquire import acquire
from trainworks.supermegaretail.tables.knobs import TablesConfig

log = logging.getLogger(__name__)

HISTORY, YEAR, LATE = 104, 52, 2
"""Weeks of sales before the first release; weeks that are watched; weeks that a missing delivery comes late."""

WHEN = {"prices": 10, "missing": 20, "shift": 30, "closing": 40}
"""Week of the year, from 0, in which what happens does."""

SIGNS = {"prices": {"prices"}, "missing": {"missing sales"}, "shift": {"loss"}, "closing": {"missing sales", "dead series"}}
"""What each event is seen by."""

NAMES = (*SIGNS, "asked", "false", "warned", "released", "kept", "before", "old", "new")

MODELS = "exponential_smoothing + promotion_regression + boosting + average(promotion_regression, boosting)"


@dataclass(frozen=True)
class Retailer:
    """A drawn retailer's clean lines, and its panel; ``late``: the same while the missing delivery had not come."""

    lines: list[Path]
    whole: Panel
    late: Panel

    def at(self, week: int, horizon: int, missing: int | None) -> Panel:
        """The panel as it was known when that period had ended."""
        is_late = missing is not None and missing <= week < missing + LATE
        return (self.late if is_late else self.whole).until(week, horizon)


def retailer(home: Path, happens: Sequence[str], stores: int = 4, products: int = 15, history: int = HISTORY, seed: int = 1) -> Retailer:
    """Draw it, and read its tables as the pipeline does; stages' outputs go below *home*."""
    when = {name: history + WHEN[name] for name in happens}
    events = simulated.Events(**{name: at for name, at in when.items() if name != "missing"})
    drawn = simulated.draw(stores, products, history + YEAR, seed=seed, events=events)
    whole = _read(simulated.write(drawn, home / "source"), home / "whole")
    if "missing" not in when:
        return Retailer(*whole, whole[1])
    late = simulated.write(drawn, home / "late-source", missing=[(drawn.keys[0][0], when["missing"])])
    return Retailer(*whole, _read(late, home / "late")[1])


def _read(source: Path, home: Path) -> tuple[list[Path], Panel]:
    lines = []
    for number, rows in enumerate(acquire(str(source), "")):
        lines.append(home / f"lines-{number}")
        lines[-1].mkdir(parents=True)
        clean(rows, CleanConfig(), lines[-1])
    (home / "panel").mkdir()
    build(lines, PanelConfig(), home / "panel")
    return lines, Panel.load(home / "panel")


def train(
    lines: Sequence[Path],
    panel: Panel,
    to: str,
    home: Path,
    tried: str = MODELS,
    gates: str = GateConfig().gates,
    count: int = BacktestConfig().origins,
    history: int = FeaturesConfig().history,
) -> releases.Released:
    """From a panel to a release, stage by stage as the workflow has them, in folders of *home*."""
    names = ("panel", "recipe", "model", "forecaster", "metrics", "behaviour", "report", "bundle")
    made = {name: home / name for name in names}
    for folder in made.values():
        folder.mkdir(parents=True)
    panel.save(made["panel"])
    (made["panel"] / "ledger.json").write_text('{"left_out": {}, "warnings": []}')
    sections = (PanelConfig(), FeaturesConfig(history=history), BacktestConfig(count), ModelConfig(models=tried), CostConfig())
    knobs = {name: value for section in sections for name, value in asdict(section).items()}
    inputs = Inputs(**{name: knobs[name] for name in ("features", "covariates", "history", "monotone", "horizon", "seed")})
    head = knobs["head"].value
    parts: list[Path] = []
    for origin in origins(panel.known, knobs["horizon"], knobs["step"], knobs["origins"]):
        for model in (model for model in models(tried) if not model.members):
            parts.append(home / f"part-{len(parts)}")
            backtest(made["panel"], model.name, origin, inputs, head, parts[-1])
    choose(made["panel"], parts, tried, head, knobs["horizon"], made["recipe"])
    ship(made["panel"], winner(made["recipe"], tried), inputs, head, made["model"])
    export(made["model"], made["panel"], made["forecaster"])
    for folder in (made["panel"], made["recipe"], made["forecaster"], *parts):
        manifest.write(folder)
    evaluate(made["forecaster"], made["panel"], parts, made["recipe"], _current(to), CostConfig(), made["metrics"])
    behave(made["forecaster"], made["behaviour"])
    for name in ("metrics", "behaviour"):
        manifest.write(made[name])
    run = Run(*(made[name] for name in ("panel", "recipe", "forecaster", "metrics", "behaviour")))
    parts = all_parts(parts, made["recipe"])
    report(run, lines, parts, "simulated", (TablesConfig(), CleanConfig(), *sections), GateConfig(gates), made["report"])
    manifest.write(made["report"])
    package(run, lines, made["report"], made["bundle"])
    return releases.release(made["bundle"], to)


def _current(to: str) -> str:
    pointer = releases.current(to)
    return f"{to}/versions/{pointer.version}" if pointer else ""


@dataclass(frozen=True)
class Week:
    """What the watch said in a week of the year, from 0; ``seen`` are the signs that warned or explain something, ``released`` is whether
    a retraining was, None without one."""

    week: int
    verdict: str
    seen: tuple[str, ...]
    released: bool | None


def year(
    home: Path, happens: Sequence[str], knobs: WatchConfig, seed: int, gates: str = GateConfig().gates
) -> tuple[list[Week], dict[str, Any]]:
    """Watch a retailer for a year: what was said each week, and the last ``alert.json``."""
    drawn, to, forecasts_to = retailer(home, happens, seed=seed), str(home / "release"), str(home / "forecasts")
    horizon = PanelConfig().horizon
    missing = HISTORY + WHEN["missing"] if "missing" in happens else None
    first = train(drawn.lines, drawn.whole.until(HISTORY - 1, horizon), to, home / "train-0", gates=gates)
    assert first.moved, first.why
    said = []
    for week in range(-1, YEAR):
        panel = home / f"week-{week}"
        panel.mkdir()
        drawn.at(HISTORY + week, horizon, missing).save(panel)
        if week >= 0:
            said.append(_watched(home, week, panel, drawn, to, forecasts_to, knobs, gates))
        forecasts.write(to, panel, forecasts_to)
    return said, _alert(forecasts_to)


def _alert(to: str) -> dict[str, Any]:
    alert = recall(to)
    assert alert, "it was watched"
    return alert


def _watched(home: Path, week: int, panel: Path, drawn: Retailer, to: str, forecasts_to: str, knobs: WatchConfig, gates: str) -> Week:
    watched = watch(to, panel, forecasts_to, knobs)
    alert = _alert(forecasts_to)
    seen = tuple({*alert["reasons"], *(sign["sign"] for sign in alert["signs"] if sign["explains"])})
    if watched.verdict != RETRAIN:
        return Week(week, watched.verdict, seen, None)
    count = within(knobs.history, BacktestConfig().step, BacktestConfig().origins)
    made = train(drawn.lines, Panel.load(panel), to, home / f"train-{week + 1}", gates=gates, count=count, history=knobs.history)
    try:
        concluded(forecasts_to, made.moved, made.why)
    except ReleaseError as kept:
        log.warning("week %s: %s", week, kept)
    return Week(week, watched.verdict, seen, made.moved)


def told(happens: Sequence[str], said: Sequence[Week], periods: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a year came to.

    Of each event the weeks until its sign was seen, 1 being the week itself; ``asked``: the same until a retraining was asked for after
    the shift; ``false``: retrainings asked for before anything happened; ``warned``: weeks with a warning before anything happened.
    ``released`` and ``kept``: retrainings by their gates. ``before``, ``old`` and ``new``: what was saved of the baseline's loss, as a
    mean of weeks, by the first release before the shift and after it, and by the last one.
    """
    first, shift = min((WHEN[name] for name in happens), default=YEAR), WHEN["shift"] if "shift" in happens else YEAR
    delays = {}
    for name, signs in SIGNS.items():
        weeks = [each.week for each in said if name in happens and each.week >= WHEN[name] and signs & {*each.seen}]
        delays[name] = weeks[0] - WHEN[name] + 1 if weeks else None
    asked = [each.week for each in said if each.verdict == RETRAIN]
    versions = list(dict.fromkeys(each["release"] for each in periods))
    starts = sorted({each["start"] for each in periods})

    def saved(version: str, weeks: Sequence[str]) -> float | None:
        gains = [each["gain"] for each in periods if each["release"] == version and each["start"] in weeks]
        return float(np.mean(gains)) if gains else None

    return delays | {
        "asked": next((week - shift + 1 for week in asked if week >= shift), None),
        "false": sum(week < first for week in asked),
        "warned": sum(each.verdict != OK for each in said if each.week < first),
        "released": sum(each.released is True for each in said),
        "kept": sum(each.released is False for each in said),
        "before": saved(versions[0], starts[:shift]),
        "old": saved(versions[0], starts[shift:]),
        "new": saved(versions[-1], starts[shift:]) if len(versions) > 1 else None,
    }


def main(words: Sequence[str] | None = None) -> None:
    """Simulate the chosen years, and print a row for each."""
    kinds = ("calm", *WHEN, "everything")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="a retailer for each")
    parser.add_argument("--happens", nargs="+", choices=kinds, default=kinds, help="kinds of year")
    for name, value in asdict(WatchConfig()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--shift", type=int, default=WHEN["shift"], help="week of the shift")
    parser.add_argument("--gates", default=GateConfig().gates)
    chosen = parser.parse_args(words)
    WHEN["shift"] = chosen.shift
    knobs = WatchConfig(**{name: getattr(chosen, name) for name in asdict(WatchConfig())})
    rows = []
    for kind in chosen.happens:
        happens = {"calm": (), "everything": tuple(WHEN)}.get(kind, (kind,))
        for seed in chosen.seeds:
            with tempfile.TemporaryDirectory(prefix="watching-") as home:
                os.environ["TRAINWORKS_ARTIFACTS"] = f"{home}/artifacts"
                said, alert = year(Path(home), happens, knobs, seed, chosen.gates)
            rows.append([kind, seed, *told(happens, said, alert["periods"]).values()])
            print(
                json.dumps({"kind": kind, "seed": seed, "said": [asdict(each) for each in said if each.verdict != OK], "alert": alert}),
                file=sys.stderr,
            )
            print(table(("year", "seed", *NAMES), rows[-1:]), flush=True)
    print(table(("year", "seed", *NAMES), rows))


if __name__ == "__main__":
    main()
