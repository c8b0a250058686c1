"""The folders of a whole run on the toy panel, as its stages leave them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.supermegaretail import toy_forecaster, toy_panel
from trainworks import facts
from trainworks.storage import manifest
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.delivery.package import package
from trainworks.supermegaretail.delivery.verdict import verdict
from trainworks.supermegaretail.evaluation.behaviour import behave
from trainworks.supermegaretail.evaluation.evaluate import evaluate
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.report.page import write
from trainworks.supermegaretail.run import Run

STORES = 10
ORIGINS = 47, 51, 55
MODELS = {"naive": 1.0, "moving_average(8)": 1.2, "toy": 0.9}
"""Model of the backtest → what it multiplies each series' level by."""

LEDGER = {
    "sales": {"read": 1000, "kept": 980, "corrected": {"timestamps in the store's day": 15}, "rejected": {"quantity is no number": 5}},
    "promotions": {"read": 40, "kept": 36, "corrected": {}, "rejected": {"repeated": 4}},
}

RAN = {
    "knobs": {},
    "defaults": {},
    "stages": [{"stage": "evaluate", "seconds": 2.0, "machine": "cpu", "cost": 0.0001}],
    "commit": "0" * 40,
    "versions": {"python": "3.11.2", "numpy": "2.4.0"},
    "seed": 1,
    "machine": "Linux x86_64, 2 cores",
    "command": "pyflyte run",
}
"""Facts of a run that never was."""


def folders(out: Path) -> dict[str, Path | list[Path]]:
    """``panel``, ``lines``, ``backtest``, ``recipe`` and ``forecaster``, each with its manifest."""
    panel = toy_panel.panel(stores=STORES, planned=0)
    made: dict[str, Path | list[Path]] = {"panel": out / "panel", "recipe": out / "recipe", "lines": [out / "lines-0", out / "lines-1"]}
    for folder in ("panel", "recipe", "lines-0", "lines-1"):
        (out / folder).mkdir(parents=True)
    panel.save(out / "panel")
    left_out = {"series that sell less": 3, "stores": {"9999": "its periods begin on Monday"}}
    (out / "panel" / "ledger.json").write_text(
        json.dumps({"left_out": left_out, "warnings": ["P1 of store 0003 sold nothing for 6 weeks"]})
    )
    for folder in ("lines-0", "lines-1"):
        (out / folder / "ledger.json").write_text(json.dumps(LEDGER))
    scores = [{"model": name, "pinball": loss, "seconds": 0.1} for name, loss in (("toy", 1.1), ("naive", 1.5))]
    (out / "recipe" / "recipe.json").write_text(
        json.dumps({"model": "toy", "baseline": "naive", "head": "negative_binomial", "scores": scores})
    )
    parts = []
    for model, factor in MODELS.items():
        for origin in ORIGINS:
            parts.append(out / f"part-{model}-{origin}")
            parts[-1].mkdir()
            pq.write_table(toy_panel.forecasts(panel, origin, model=model, factor=factor), parts[-1] / "backtest.parquet")
            seconds = {"model": model, "origin": str(panel.starts[origin]), "seconds": 0.01}
            (parts[-1] / "seconds.json").write_text(json.dumps(seconds))
    for folder in (made["panel"], made["recipe"], *made["lines"], *parts):
        manifest.write(folder)
    return made | {"backtest": parts, "forecaster": toy_forecaster.write(panel, out / "forecaster")}


def measured(out: Path, release: str = "") -> dict[str, Path | list[Path]]:
    """The `folders`, and ``metrics`` and ``behaviour`` measured on them."""
    made = folders(out)
    for name in ("metrics", "behaviour"):
        (out / name).mkdir()
        made[name] = out / name
    evaluate(made["forecaster"], made["panel"], made["backtest"], made["recipe"], release, CostConfig(), made["metrics"])
    behave(made["forecaster"], made["behaviour"])
    for name in ("metrics", "behaviour"):
        manifest.write(made[name])
    return made


def of_model(table: pa.Table, name: str) -> pa.Table:
    """The rows of one model."""
    return table.filter(pc.equal(table["model"], name))


def delivered(out: Path, gates: str = "") -> dict[str, Path | list[Path]]:
    """All of `measured`, with ``report`` and ``bundle``."""
    made = measured(out)
    run = Run(made["panel"], made["recipe"], made["forecaster"], made["metrics"], made["behaviour"])
    gate = GateConfig(gates) if gates else GateConfig()
    judged = verdict(run, made["lines"], gate)
    ran = {**RAN, "knobs": facts.knobs(CostConfig(), gate, source="sample")}
    write(run, made["lines"], judged, ran, [CostConfig, GateConfig], out / "report")
    manifest.write(out / "report")
    package(run, made["lines"], out / "report", out / "bundle")
    return made | {"report": out / "report", "bundle": out / "bundle"}
