"""The bundle of a run: the encoders that ship, and a model card with the numbers they reached."""

import json
from dataclasses import fields

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.photostock import toy_encoders
from tests.photostock.toy_run import BEHAVIOUR
from tests.release import toy_bundle
from trainworks.photostock import examples
from trainworks.photostock.delivery import pixel_graph
from trainworks.photostock.delivery.package import package
from trainworks.photostock.evaluation import trained_on
from trainworks.photostock.run import Run
from trainworks.photostock.search import Encoders
from trainworks.release import gates
from trainworks.release.releases import release
from trainworks.storage import manifest

KNOBS = {"epochs": 3, "seed": 5}
RAN = {
    "knobs": KNOBS,
    "commit": "c0ffee",
    "versions": {"python": "3.12.1", "numpy": "2.0.0"},
    "seed": 5,
    "stages": [{"stage": "prepare", "seconds": 3.2}, {"stage": "finetune", "seconds": 215.0}],
}
HISTORY = [{"epoch": 0, "val_loss": 4.6}]
AFTER = {"R@1": 0.101, "R@5": 0.2, "R@10": 0.341, "median_rank": 20, "queries": 97}
BEFORE = {**AFTER, "R@10": 0.026}
BOTH = {"text_to_image": AFTER, "image_to_text": AFTER}
METRICS = {
    **json.loads(toy_bundle.metrics()),
    "gallery": {"pictures": 1100, "captions": 97},
    "chance": {"R@1": 0.001, "R@5": 0.005, "R@10": 0.01},
    "finetuned": BOTH,
    "baseline": {"text_to_image": BEFORE, "image_to_text": BEFORE},
    "queries": {"tags": {"finetuned": AFTER, "baseline": BEFORE}},
    "calibration": [
        {"threshold": t / 100, "precision": t / 100, "recall": 0.8 - t / 300, "false_positive_rate": 1 - t / 100} for t in range(-20, 81)
    ],
    "int8": {name: {"R@10": 0.3, "loss": 0.0, "bytes": 1, "fp32_bytes": 4, "ships": True} for name in ("image_encoder", "text_encoder")},
}
CARD = {
    "read": 2000,
    "kept": {"train": 700, "val": 100, "test": 1100},
    "licences": {"CC0 | public\ndomain": 1800, "": 100},
    "contributors": {"read": 40, "kept": 30, "largest": []},
}


@pytest.fixture
def run(tmp_path):
    """The folders of a run's stages, as small as they can be."""
    verdict = gates.verdict([gates.Gate("recall", 0.341, 0.3, "R@10")])
    files = {"metrics/metrics": METRICS, "dataset/card": CARD, "report/verdict": verdict, "report/ran": RAN, "checkpoint/history": HISTORY}
    files["behaviour/behaviour"] = BEHAVIOUR
    files |= {"metrics/profile": {"schema": 1}, "metrics/cases": {"score": "text to image R@10", "cases": {"c": 1}}}
    for name, content in files.items():
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    (tmp_path / "report" / "report.html").write_text("<h1>report</h1>")
    index = {"id": ["a", "b", "c"], "tags": [["sea"], ["Sea", "boat"], ["hat"]], "split": ["train", "train", "test"]}
    pq.write_table(pa.table(index), tmp_path / "dataset" / "index.parquet")
    manifest.write(tmp_path / "dataset")
    manifest.write(toy_encoders.write(tmp_path / "encoders"))
    return Run(*(tmp_path / folder.name for folder in fields(Run)))


def test_a_run_becomes_a_bundle_that_serves_and_releases(run, tmp_path):
    """The files of the contract, facts and verdict; the service loads it, the release takes it."""
    package(run, tmp_path / "report", tmp_path / "bundle")
    content = manifest.verify(tmp_path / "bundle")
    encoders = {f"{name}{kind}.onnx" for name in ("image_encoder", "text_encoder") for kind in ("", ".int8")}
    assert set(content["files"]) == encoders | {
        *(
            "tokenizer.json",
            "inference.json",
            "metrics.json",
            "history.json",
            "trained_on.json",
            "profile.json",
            "cases.json",
            "report.html",
            "README.md",
        ),
        pixel_graph.FILE,
        *(f"examples/{name}" for name in (*examples.PICTURES, examples.FILE)),
    }
    assert content["pipeline"] == "photostock" and content["config"] == KNOBS and content["seed"] == 5 and content["verdict"]["passed"]
    assert content["data"] == manifest.digest(run.dataset)
    assert release(tmp_path / "bundle", str(tmp_path / "release")).moved
    assert Encoders.load(tmp_path / "release").texts(["red"]).shape == (1, toy_encoders.DIM)


def test_the_bundle_carries_the_run(run, tmp_path):
    """Its learning history and the time of every stage, for a later comparison."""
    package(run, tmp_path / "report", tmp_path / "bundle")
    assert json.loads((tmp_path / "bundle" / "history.json").read_text()) == HISTORY
    assert manifest.read(tmp_path / "bundle")["seconds"] == {"prepare": 3.2, "finetune": 215.0}


def test_report_and_manifest_tell_of_the_same_code(run, tmp_path):
    """What the report shows, whatever the work tree has become since; python is no package."""
    package(run, tmp_path / "report", tmp_path / "bundle")
    content = manifest.read(tmp_path / "bundle")
    assert content["commit"] == "c0ffee" and content["packages"] == {"numpy": "2.0.0"}


def test_the_bundle_carries_its_behaviour(run, tmp_path):
    """Rates, intervals and cases of every check beside the metrics; the examples stay in the report."""
    package(run, tmp_path / "report", tmp_path / "bundle")
    metrics = json.loads((tmp_path / "bundle" / "metrics.json").read_text())
    assert metrics.pop("behaviour") == {
        name: {key: value for key, value in check.items() if key != "examples"} for name, check in BEHAVIOUR["checks"].items()
    }
    assert metrics == METRICS


def test_a_service_reads_what_a_threshold_means(run, tmp_path):
    """A few measured points from the lowest to the highest threshold, and the gallery they hold for."""
    package(run, tmp_path / "report", tmp_path / "bundle")
    calibration = Encoders.load(tmp_path / "bundle").inference["calibration"]
    points = calibration["points"]
    assert calibration["gallery"] == 1100 and len(points) == 17
    assert (points[0]["threshold"], points[-1]["threshold"]) == (-0.2, 0.8)
    measured = {point["threshold"]: point for point in METRICS["calibration"]}
    assert all(point["recall"] == pytest.approx(measured[point["threshold"]]["recall"], abs=1e-4) for point in points)


def test_the_next_run_learns_what_this_model_knows(run, tmp_path):
    """Tags and pictures of the training split, and no others."""
    package(run, tmp_path / "report", tmp_path / "bundle")
    told = json.loads((tmp_path / "bundle" / "trained_on.json").read_text())
    assert told["pictures"] == 2 and told["tags"] == {"sea": 2, "boat": 1}
    assert trained_on.overlap(["b", "c"], told) == {"asked": 2, "trained_on": 1}


def test_an_int8_encoder_ships_only_if_it_is_good_enough(run, tmp_path):
    """metrics.json decides, each encoder by itself."""
    metrics = json.loads((run.metrics / "metrics.json").read_text())
    metrics["int8"]["text_encoder"]["ships"] = False
    (run.metrics / "metrics.json").write_text(json.dumps(metrics))
    package(run, tmp_path / "report", tmp_path / "bundle")
    assert {path.name for path in (tmp_path / "bundle").glob("*.int8.onnx")} == {"image_encoder.int8.onnx"}
    assert "text_encoder.int8" not in (tmp_path / "bundle" / "README.md").read_text()


def test_the_model_card_is_in_the_bundle(run, tmp_path):
    """With the numbers, the failed gate and the ONNX files of this very run."""
    verdict = gates.verdict([gates.Gate("recall", 0.341, 0.4, "R@10")])
    (tmp_path / "report" / "verdict.json").write_text(json.dumps(verdict))
    package(run, tmp_path / "report", tmp_path / "bundle")
    card = (tmp_path / "bundle" / "README.md").read_text()
    for words in (
        "gate recall failed: R@10 must be at least 0.4, is 0.341, 0.059 off",
        "1,100 test pictures with 97 distinct captions",
        "`image_encoder.int8.onnx`",
        f"data `{manifest.digest(run.dataset)}`, seed 5",
    ):
        assert words in card
