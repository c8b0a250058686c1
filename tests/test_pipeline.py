"""The whole pipeline as people run it: `pyflyte run` on a catalogue, again, and after each kind of change."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.conftest import draw, write_catalogue
from trainworks.photostock.model.untouched import load
from trainworks.photostock.search import Encoders
from trainworks.release.releases import current
from trainworks.storage import manifest

ROOT = Path(__file__).parents[1]
QUICK = {
    "gallery": 10,
    "image": "squash(32)",
    "tune": "logit_scale=1, *.head=1, *=0",
    "epochs": 1,
    "batch_size": 16,
    "stored_size": 48,
    "gates": "recall >= 0, gain >= 0, parity <= 1e-5",
}

CANARY = "c4n4ry"
SECRETS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD",
    "FLYTE_CREDENTIALS_CLIENT_SECRET", "HF_TOKEN", "GIT_TOKEN", "DATABASE_URL",
)  # fmt: skip
"""Variables that a machine has secrets in; every run here has the canary in each."""

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # flytekit's own


class Run:
    """One `pyflyte run` in a process of its own: what it printed, and which stages ran or came from the cache."""

    def __init__(self, folder: Path, **knobs):
        places = {"source": folder / "catalogue", "release_to": folder / "release"}
        options = [part for name, value in {**QUICK, **places, **knobs}.items() for part in (f"--{name}", str(value))]
        command = [Path(sys.executable).with_name("pyflyte"), "run", "workflows/photostock.py", "photostock", *options]
        places = {"HOME": folder, "TRAINWORKS_ARTIFACTS": folder / "artifacts", "TMPDIR": folder / "tmp"}
        (folder / "tmp").mkdir(exist_ok=True)
        environment = {**os.environ, **dict.fromkeys(SECRETS, CANARY), **{k: str(v) for k, v in places.items()}, "COLUMNS": "300"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        self.code, self.output = done.returncode, done.stdout + done.stderr
        logged = re.findall(r"(\w+) +(done|cached) +[0-9a-f]{20}", self.output)
        self.ran = [stage for stage, outcome in logged if outcome == "done"]
        self.prepared = re.findall(r"prepare +((?:cached|done)[^\n]*)", self.output)[-1:]
        self.cached = [stage for stage, outcome in logged if outcome == "cached"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a drawn catalogue, and room for artifacts and releases."""
    folder = tmp_path_factory.mktemp("home")
    write_catalogue(folder / "catalogue")
    return folder


@pytest.fixture(scope="module")
def first(home):
    """The first run."""
    run = Run(home)
    assert run.code == 0, run.output
    return run


def test_the_first_run_releases_a_bundle_that_serves(home, first):
    """Every stage runs; the bundle has the files of the contract; the service loads it and finds a picture by its caption."""
    assert {
        "untouched",
        "curate",
        "features",
        "trace",
        "finetune",
        "export",
        "evaluate",
        "behave",
        "prepare_judging",
        "report",
        "package",
    } == set(first.ran)
    pointer = current(home / "release")
    bundle = home / "release" / "versions" / pointer.version
    files = set(manifest.verify(bundle)["files"])
    assert {
        "image_encoder.onnx",
        "text_encoder.onnx",
        "history.json",
        "tokenizer.json",
        "trained_on.json",
        "inference.json",
        "metrics.json",
        "report.html",
        "README.md",
    } <= files
    encoders = Encoders.load(str(home / "release"))
    assert encoders.images([draw("red", "ellipse", 3)]).shape == encoders.records([{"title": "red ellipse"}]).shape == (1, 384)
    assert str(bundle / "report.html") in first.output.replace("\n", "")


def test_the_manifest_tells_where_the_bundle_comes_from(home, first):
    """Knobs, seed, commit, data and versions."""
    facts = manifest.read(home / "release" / "versions" / current(home / "release").version)
    assert facts["config"]["tune"] == QUICK["tune"] and facts["config"]["backbone"] == "lite0-minilm"
    assert facts["seed"] == 1 and facts["verdict"]["passed"] in (True, False)
    assert re.fullmatch(r"[0-9a-f]{64}", facts["data"]) and "torch" in facts["packages"]


def test_no_secret_of_the_environment_is_in_anything_a_run_writes(home, first):
    """Logs, Deck, report, manifests, checkpoint, bundle, TensorBoard: as bytes, and what parquet has compressed as values."""
    import pyarrow.parquet as pq

    written = [path for path in home.rglob("*") if path.is_file()]
    assert {".parquet", ".onnx", ".safetensors", ".html", ".json"} <= {path.suffix for path in written}
    assert any(path.name == "deck.html" for path in written) and any("tfevents" in path.name for path in written)
    assert CANARY not in first.output
    assert [path for path in written if CANARY.encode() in path.read_bytes()] == []
    assert [path for path in written if path.suffix == ".parquet" and CANARY in str(pq.read_table(path).to_pydict())] == []


def test_a_secret_in_a_uri_is_refused_before_it_is_printed(home):
    """By the first step, in words that do not repeat it; flytekit adds no trace of it either."""
    refused = Run(home, source=f"s3://AKIA:{CANARY}@bucket/photos")
    assert refused.code != 0 and "expected a URI without credentials" in refused.output
    assert CANARY not in refused.output
    assert refused.ran == refused.cached == []


def test_a_second_run_runs_nothing(home, first):
    """Every cached stage hits, and the release stays where it is."""
    before = current(home / "release")
    again = Run(home)
    assert again.code == 0, again.output
    assert again.ran == [] and "done" not in again.prepared[0]
    assert {"untouched", "curate", "trace", "finetune", "export", "evaluate", "behave", "prepare_judging", "report", "package"} == set(
        again.cached
    )
    assert current(home / "release") == before


def test_a_changed_learning_rate_runs_finetune_and_what_follows(home, first):
    """Data stages and the untouched encoders come from the cache; a gate out of reach keeps the pointer where it is."""
    before = current(home / "release")
    changed = Run(home, learning_rate=0.003, gates="recall >= 1, gain >= 0.9")
    assert changed.code == 0, changed.output
    assert (
        changed.ran == ["finetune", "export", "evaluate", "behave", "prepare_judging", "report", "package"]
        and "done" not in changed.prepared[0]
    )
    assert {"untouched", "curate", "trace", "export", "features"} == set(changed.cached)
    assert current(home / "release") == before
    assert "gate gain failed" in changed.output.replace("\n", " ")


def test_a_bad_knob_fails_before_any_stage(home, first):
    """The first, cheap step refuses it with name and value."""
    wrong = Run(home, learning_rate=-1.0)
    assert wrong.code != 0
    assert "--learning_rate = -1.0: must be above 0" in wrong.output
    assert wrong.ran == wrong.cached == []


def test_an_unknown_knob_is_refused(home):
    """pyflyte itself names it."""
    wrong = Run(home, lerning_rate=1)
    assert wrong.code != 0 and "lerning_rate" in wrong.output


def test_weights_that_cannot_be_had_fail_before_the_data(home):
    """The catalogue is not even read."""
    wrong = Run(home, backbone="ViT-B-32", weights="nowhere/clip.pt")
    assert wrong.code != 0
    assert "no checkpoint nowhere/clip.pt" in wrong.output
    assert "rows read" not in wrong.output


def test_a_loss_that_is_not_a_number_releases_nothing(home, first):
    """From weights with a similarity scale beyond all numbers: the run names the step and its pictures, and the last release stands."""
    model = load("lite0-minilm", "pretrained", 32, seed=1).model
    model.logit_scale.data.fill_(200.0)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, home / "broken.safetensors")
    before = current(home / "release")
    versions = sorted((home / "release" / "versions").iterdir())
    broken = Run(home, weights=home / "broken.safetensors")
    assert broken.code != 0 and "loss is nan at epoch 1, step 0" in broken.output
    assert re.search(r"the pictures of this step were\s+\d{3}\.png", broken.output)
    assert "finetune" not in broken.ran and not {"report", "package"} & {*broken.ran, *broken.cached}
    assert current(home / "release") == before and sorted((home / "release" / "versions").iterdir()) == versions


class Data:
    """The data stages alone, as tasks in this process: which slices a change prepares anew."""

    def __init__(self, folder: Path, monkeypatch):
        from tasks import photostock as tasks

        self.folder, self.tasks = folder, tasks
        monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(folder / "artifacts"))

    def prepared(self) -> set[str]:
        """Prepare every slice of the catalogue; gives the ids of the pictures in shards that were made just now."""
        import pyarrow.parquet as pq

        shards = self.folder / "artifacts" / "stages" / "prepare"
        known = {path: path.stat().st_mtime_ns for path in shards.glob("*/rows.parquet")}
        for rows in self.tasks.acquire(source=str(self.folder / "catalogue")):
            self.tasks.prepare(rows=rows, stored_size=48)
        made = [path for path in shards.glob("*/rows.parquet") if known.get(path) != path.stat().st_mtime_ns]
        return {name for path in made for name in pq.read_table(path, columns=["id"])["id"].to_pylist()}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """300 drawn pictures, prepared once."""
    write_catalogue(tmp_path / "catalogue", pictures=300)
    data = Data(tmp_path, monkeypatch)
    assert len(data.prepared()) == 300
    assert data.prepared() == set()
    return data


def test_a_changed_picture_under_the_same_name_is_noticed(data):
    """Its slice, and no other, is prepared again."""
    draw("purple", "triangle", 4).save(data.folder / "catalogue" / "100.png")
    made = data.prepared()
    assert "100.png" in made and len(made) < 150


def test_appended_pictures_prepare_the_end_only(data):
    """Three more pictures: what is prepared is them and the slice that was last."""
    catalogue = data.folder / "catalogue" / "catalogue.jsonl"
    with catalogue.open("a") as file:
        for number in range(300, 303):
            draw("red", "ellipse", number).save(data.folder / "catalogue" / f"{number}.png")
            file.write(json.dumps({"image": f"{number}.png", "title": f"new {number}"}) + "\n")
    made = data.prepared()
    assert {"300.png", "301.png", "302.png"} <= made and "000.png" not in made and len(made) < 150


def test_a_deleted_stage_output_is_made_again(data):
    """Somebody cleaned up: the shard comes back, the others stay."""
    shards = sorted((data.folder / "artifacts" / "stages" / "prepare").iterdir())
    shutil.rmtree(shards[0])
    made = data.prepared()
    assert shards[0].exists() and 0 < len(made) < 300
