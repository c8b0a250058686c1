"""The bundle of a run: the encoders that ship, and a model card with the numbers they reached."""

import json

import pytest
import toy_encoders

from trainworks import gates, manifest
from trainworks.photostock.package import package
from trainworks.photostock.search import Encoders
from trainworks.release import release

KNOBS = {"epochs": 3, "seed": 5}
AFTER = {"R@1": 0.101, "R@5": 0.2, "R@10": 0.341, "median_rank": 20, "queries": 97}
BEFORE = {**AFTER, "R@10": 0.026}
BOTH = {"text_to_image": AFTER, "image_to_text": AFTER}
METRICS = {
    "gallery": {"pictures": 1100, "captions": 97},
    "chance": {"R@1": 0.001, "R@5": 0.005, "R@10": 0.01},
    "finetuned": BOTH,
    "baseline": {"text_to_image": BEFORE, "image_to_text": BEFORE},
    "queries": {"tags": {"finetuned": AFTER, "baseline": BEFORE}},
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
    for name, content in {"metrics/metrics": METRICS, "dataset/card": CARD, "report/verdict": verdict}.items():
        path = tmp_path / f"{name}.json"
        path.parent.mkdir()
        path.write_text(json.dumps(content))
    (tmp_path / "report" / "report.html").write_text("<h1>report</h1>")
    manifest.write(tmp_path / "dataset")
    toy_encoders.write(tmp_path / "encoders")
    return {name: tmp_path / name for name in ("encoders", "metrics", "report", "dataset")}


def test_a_run_becomes_a_bundle_that_serves_and_releases(run, tmp_path):
    """The files of the contract, facts and verdict; the service loads it, the release takes it."""
    package(**run, knobs=KNOBS, out=tmp_path / "bundle")
    content = manifest.verify(tmp_path / "bundle")
    encoders = {f"{name}{kind}.onnx" for name in ("image_encoder", "text_encoder") for kind in ("", ".int8")}
    assert set(content["files"]) == encoders | {"tokenizer.json", "inference.json", "metrics.json", "report.html", "README.md"}
    assert content["config"] == KNOBS and content["seed"] == 5 and content["verdict"]["passed"]
    assert content["data"] == manifest.digest(run["dataset"]) and "numpy" in content["packages"]
    assert release(tmp_path / "bundle", str(tmp_path / "release")).moved
    assert Encoders.load(tmp_path / "release").texts(["red"]).shape == (1, toy_encoders.DIM)


def test_an_int8_encoder_ships_only_if_it_is_good_enough(run, tmp_path):
    """metrics.json decides, each encoder by itself."""
    metrics = json.loads((run["metrics"] / "metrics.json").read_text())
    metrics["int8"]["text_encoder"]["ships"] = False
    (run["metrics"] / "metrics.json").write_text(json.dumps(metrics))
    package(**run, knobs=KNOBS, out=tmp_path / "bundle")
    assert {path.name for path in (tmp_path / "bundle").glob("*.int8.onnx")} == {"image_encoder.int8.onnx"}
    assert "text_encoder.int8" not in (tmp_path / "bundle" / "README.md").read_text()


def test_the_model_card_tells_what_a_user_asks(run, tmp_path):
    """How to load it, how good it is and was, on how much, under which licences, and where it comes from."""
    package(**run, knobs=KNOBS, out=tmp_path / "bundle")
    card = (tmp_path / "bundle" / "README.md").read_text()
    for words in (
        "every gate holds",
        'Encoders.load("path/of/this/folder")',
        "`shortest(16) > center_crop(16)`",
        "1,100 test pictures with 97 distinct captions",
        "| text to image | 97 | 10.1 % | 20.0 % | 34.1 % | 10.1 % | 20.0 % | 2.6 % |",
        "| text to image, tags as query | 97 |",
        "| chance |  | 0.1 % | 0.5 % | 1.0 % |  |  |  |",
        "| CC0 / public domain | 1,800 |",
        "| not stated | 100 |",
        f"data `{manifest.digest(run['dataset'])}`, seed 5",
    ):
        assert words in card


def test_the_model_card_admits_a_failed_gate(run, tmp_path):
    """A candidate's card says what it missed, at the top."""
    verdict = gates.verdict([gates.Gate("recall", 0.341, 0.4, "R@10")])
    (run["report"] / "verdict.json").write_text(json.dumps(verdict))
    package(**run, knobs=KNOBS, out=tmp_path / "bundle")
    assert "gate recall failed: R@10 must be at least 0.4, is 0.341, 0.059 off" in (tmp_path / "bundle" / "README.md").read_text()
