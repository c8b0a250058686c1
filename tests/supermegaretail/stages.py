"""The stages of the pipeline, one after the other in this process, as its tasks call them."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainworks.storage import manifest
from trainworks.supermegaretail.backtest.backtest import backtest
from trainworks.supermegaretail.backtest.choose import choose, winner
from trainworks.supermegaretail.backtest.origins import origins
from trainworks.supermegaretail.backtest.shipped import ship
from trainworks.supermegaretail.cleaning.clean import clean
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.delivery.export import export
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.delivery.verdict import verdict
from trainworks.supermegaretail.evaluation.behaviour import behave
from trainworks.supermegaretail.evaluation.evaluate import BACKTEST, evaluate
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.features.knobs import FeaturesConfig
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.models.knobs import Inputs
from trainworks.supermegaretail.models.language import models as parsed
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.run import Run
from trainworks.supermegaretail.tables import acquire

MODELS = "exponential_smoothing + lift_smoothing"
"""Two that cost next to nothing: a baseline, and one that reads the plan."""


@dataclass(frozen=True)
class Stages:
    """What the stages of one source left in ``folder``."""

    folder: Path
    lines: list[Path]
    panel_ledger: dict[str, Any]

    @cached_property
    def panel(self) -> Panel:
        """The panel."""
        return Panel.load(self.folder / "panel")

    @cached_property
    def forecaster(self) -> Forecaster:
        """What ships."""
        return Forecaster.load(self.folder / "forecaster")

    @cached_property
    def backtest(self) -> pa.Table:
        """``backtest.parquet``, of all models and origins."""
        return pq.read_table(self.folder / "metrics" / BACKTEST)

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file below the folder."""
        return json.loads((self.folder / name).read_text())

    def verdict(self, gates: str = "") -> dict[str, Any]:
        """What the gates say, by default those of a release."""
        gate = GateConfig(gates) if gates else GateConfig()
        return verdict(Run(*(self.folder / name for name in ("panel", "recipe", "forecaster", "metrics", "behaviour"))), self.lines, gate)


def to_panel(source: Path, folder: Path, columns: str = "", **panel: Any) -> Stages:
    """Acquire, clean and panel."""
    acquire.check(str(source), columns, "UTC")
    lines = []
    for number, rows in enumerate(acquire.acquire(str(source), columns)):
        lines.append(_made(folder / f"lines-{number}"))
        clean(rows, CleanConfig(), lines[-1])
    return Stages(folder, lines, build(lines, PanelConfig(**panel), _made(folder / "panel")))


def run(source: Path, folder: Path, columns: str = "", models: str = MODELS, count: int = 2, head: str = "choose", **panel: Any) -> Stages:
    """All stages to evaluate, with as many origins as *count*, and the knobs of the *panel*."""
    made = to_panel(source, folder, columns, **panel)
    knobs, features = PanelConfig(**panel), FeaturesConfig()
    inputs = Inputs(features.features, knobs.covariates, features.monotone, knobs.horizon, 1)
    parts = []
    for origin in origins(made.panel.known, knobs.horizon, knobs.horizon, count):
        for model in parsed(models):
            if not model.members:
                parts.append(_made(folder / f"part-{model.name}-{origin}"))
                backtest(folder / "panel", model.name, origin, inputs, head, parts[-1])
    choose(folder / "panel", parts, models, head, knobs.horizon, _made(folder / "recipe"))
    ship(folder / "panel", winner(folder / "recipe", models), inputs, head, _made(folder / "model"))
    export(folder / "model", folder / "panel", _made(folder / "forecaster"))
    manifest.write(folder / "forecaster")
    evaluate(folder / "forecaster", folder / "panel", parts, folder / "recipe", "", CostConfig(), _made(folder / "metrics"))
    return made


def behaved(made: Stages) -> Stages:
    """*made*, with the behaviour measured too."""
    behave(made.folder / "forecaster", _made(made.folder / "behaviour"))
    return made


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
