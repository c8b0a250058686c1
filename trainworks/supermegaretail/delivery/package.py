"""The bundle of Supermegaretail: the forecaster that ships, what it reached, and a model card."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trainworks.facts import of_bundle
from trainworks.release import bundle
from trainworks.storage import manifest
from trainworks.supermegaretail import examples
from trainworks.supermegaretail.delivery import model_card
from trainworks.supermegaretail.delivery.verdict import ledger
from trainworks.supermegaretail.evaluation.evaluate import BACKTEST, TABLE
from trainworks.supermegaretail.facts import PIPELINE
from trainworks.supermegaretail.forecaster import FEATURES, GRAPH, SCHEMA
from trainworks.supermegaretail.monitoring import profile
from trainworks.supermegaretail.quantiles import COLUMNS, QUANTILES
from trainworks.supermegaretail.run import Run
from trainworks.supermegaretail.serving import state

HISTORY = "history.json"


def package(run: Run, lines: Sequence[Path], report: Path, out: Path) -> None:
    """Write the bundle of *run*, made from *lines*, to the empty folder *out*.

    *report* is the folder of that stage: commit, knobs and versions of the manifest are the ones that it shows. ``metrics.json``
    gains the behaviour checks; ``baseline.json`` has what the best baseline reached, ``profile.json`` what the panel looked like.
    """
    metrics, features = _json(run.metrics / "metrics.json"), _json(run.forecaster / FEATURES)
    facts = of_bundle(PIPELINE, manifest.digest(run.panel), report)
    measured = metrics | {"behaviour": _rates(run.behaviour)}
    texts = {
        "metrics.json": json.dumps(measured, indent=1) + "\n",
        "README.md": model_card.model_card(measured, features, ledger(lines), facts["verdict"], facts),
        "inference.json": json.dumps(inference(features), indent=1) + "\n",
        "baseline.json": json.dumps({"model": metrics["best_baseline"], **metrics["baseline"]}, indent=1) + "\n",
        profile.FILE: json.dumps(_json(run.metrics / profile.FILE) | {"tables": _tables(lines)}, ensure_ascii=False) + "\n",
        HISTORY: json.dumps(_by_origin(pq.read_table(run.metrics / TABLE).to_pylist()), indent=1) + "\n",
    }
    files = {name: run.forecaster / name for name in (GRAPH, FEATURES, state.FILE)}
    files |= {name: run.metrics / name for name in (BACKTEST, TABLE)} | {"report.html": report / "report.html"}
    with tempfile.TemporaryDirectory(prefix="trainworks-") as folder:
        bundle.write(out, files | examples.files(run.forecaster, Path(folder)), texts, facts)


def inference(features: dict[str, Any]) -> dict[str, Any]:
    """What a service in another language needs to know, besides ``features.json``: files, inputs, outputs and what they mean."""
    recipe = features["recipe"]
    return {
        "schema": SCHEMA,
        "graph": {
            "file": GRAPH,
            "input": "features",
            "type": "float32",
            "shape": ["rows", len(recipe["columns"])],
            "columns": recipe["columns"],
        },
        "state": {"file": state.FILE, "rows": "one for each series", "keys": recipe["keys"], "period": recipe["period"]},
        "head": features["head"]["kind"],
        "quantiles": dict(zip(COLUMNS, QUANTILES, strict=True)),
        "horizon": recipe["horizon"],
        "unit": "units a period",
        "examples": f"{examples.FOLDER}/examples.json",
    }


def _tables(lines: Sequence[Path]) -> dict[str, dict[str, str]]:
    """The columns of each table that was read, with their types."""
    schemas = {path.stem: pq.read_schema(path) for folder in lines for path in sorted(folder.glob("*.parquet"))}
    return {table: {field.name: str(field.type) for field in schema} for table, schema in sorted(schemas.items())}


def _by_origin(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each origin, from the oldest, with the pinball loss of each model that was tried there."""
    origins = sorted({row["origin"] for row in table})
    return [
        {"step": step, **{row["model"]: row["pinball"] for row in table if row["origin"] == origin}}
        for step, origin in enumerate(origins, 1)
    ]


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _rates(behaviour: Path) -> dict[str, dict]:
    """Each behaviour check without its examples, which are in the report."""
    checks = _json(behaviour / "behaviour.json")["checks"]
    return {name: {key: value for key, value in check.items() if key != "examples"} for name, check in checks.items()}
