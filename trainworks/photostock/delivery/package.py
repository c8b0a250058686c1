"""The bundle of PhotoStock: the encoders that ship, what they reached, and a model card."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trainworks.facts import of_bundle
from trainworks.photostock import examples
from trainworks.photostock.delivery import model_card, pixel_graph
from trainworks.photostock.evaluation import trained_on
from trainworks.photostock.facts import PIPELINE
from trainworks.photostock.monitoring import profile
from trainworks.photostock.preprocessing.steps import steps
from trainworks.photostock.run import Run
from trainworks.release import bundle, pairs
from trainworks.sessions import Session
from trainworks.storage import manifest

ENCODERS = ("image_encoder", "text_encoder")

POINTS = 17
"""Points of the calibration that inference.json carries: enough to read a threshold from."""


def package(run: Run, report: Path, out: Path) -> None:
    """Write the bundle of *run* to the empty folder *out*; an int8 encoder goes in if ``metrics.json`` says it ships.

    *report* is the folder of that stage: commit, knobs and versions of the manifest are the ones that it shows. ``metrics.json``
    gains the behaviour checks and what people said, ``inference.json`` what a threshold on the cosine means, each step before the
    graphs, and the graphs' inputs and outputs; ``examples/`` has what a service checks itself by. ``trained_on.json`` tells the next run
    which tags and pictures this model knows, and ``profile.json`` tells ``drift`` what the data looked like.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files, inference = _serving(run.encoders, Path(scratch))
        _write(run, report, files, inference, out)


def _serving(encoders: Path, scratch: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """Name in the bundle → file of the examples and, where ONNX can, of the graph before the image encoder; and ``inference.json``.

    What is made lies in the folder *scratch*.
    """
    inference = _json(encoders / "inference.json")
    inference["steps"] = steps(inference, (encoders / "tokenizer.json").read_text())
    inference["graphs"] = {name: graph(encoders / f"{name}.onnx") for name in ENCODERS}
    files = examples.files(encoders, scratch)
    if pixel_graph.possible(inference["steps"]["picture"]):
        files[pixel_graph.FILE] = scratch / pixel_graph.FILE
        pixel_graph.write(inference["steps"]["picture"], files[pixel_graph.FILE])
        inference["graphs"]["image_pixels"] = graph(files[pixel_graph.FILE]) | {"feeds": "image_encoder"}
    return files, inference


def _write(run: Run, report: Path, made: dict[str, Path], inference: dict[str, Any], out: Path) -> None:
    metrics, card = _json(run.metrics / "metrics.json"), _json(run.dataset / "card.json")
    facts = of_bundle(PIPELINE, manifest.digest(run.dataset), report)
    names = [f"{name}.onnx" for name in ENCODERS]
    names += [f"{name}.int8.onnx" for name in ENCODERS if metrics["int8"].get(name, {}).get("ships")]
    files = {name: run.encoders / name for name in (*names, "tokenizer.json")} | made
    files |= {"report.html": report / "report.html", "history.json": run.checkpoint / "history.json"}
    files |= {name: run.metrics / name for name in (profile.FILE, pairs.FILE)}
    trained = pq.read_table(run.dataset / "index.parquet", columns=["id", "tags"], filters=[("split", "=", "train")])
    measured = metrics | {"behaviour": _rates(run.behaviour)}
    if (report / "people.json").exists():
        measured["people"] = _json(report / "people.json")
    texts = {
        "metrics.json": json.dumps(measured, indent=1) + "\n",
        "README.md": model_card.model_card(measured, card, inference, facts["verdict"], facts, names),
        "inference.json": json.dumps(inference | {"calibration": _calibration(metrics)}, indent=1) + "\n",
        trained_on.FILE: json.dumps(trained_on.summary(trained["id"].to_pylist(), trained["tags"].to_pylist()), ensure_ascii=False) + "\n",
    }
    bundle.write(out, files, texts, facts)


def graph(path: Path) -> dict[str, Any]:
    """File, names, types and shapes of a graph's input and output; a dimension that may be any is a word."""
    session = Session(path)
    [(given, shape)], [(gives, gives_shape)] = session.inputs, session.outputs
    kind = {2: "int64", 3: "uint8", 4: "float32"}[len(shape)]
    return {
        "file": path.name,
        "input": {"name": given, "type": kind, "shape": shape},
        "output": {"name": gives, "type": "float32", "shape": gives_shape},
    }


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _rates(behaviour: Path) -> dict[str, dict]:
    """Each behaviour check without its examples, whose pictures are in the report."""
    checks = _json(behaviour / "behaviour.json")["checks"]
    return {name: {key: value for key, value in check.items() if key != "examples"} for name, check in checks.items()}


def _calibration(metrics: dict) -> dict[str, Any]:
    """At most POINTS of the measured thresholds, evenly spaced from the lowest to the highest, and the gallery they hold for."""
    points = metrics["calibration"]
    count = min(POINTS, len(points))
    chosen = [points[i * (len(points) - 1) // max(1, count - 1)] for i in range(count)]
    rounded = [{name: float(f"{value:.4g}") for name, value in point.items()} for point in chosen]
    return {"gallery": metrics["gallery"]["pictures"], "points": rounded}
