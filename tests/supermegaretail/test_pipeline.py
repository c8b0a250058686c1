"""The whole pipeline on its embedded sample, as a person runs it."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from trainworks.__main__ import main
from trainworks.release import stored
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.monitoring.watch import recall
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.quantiles import COLUMNS

ROOT = Path(__file__).parents[2]
SMALL = ("--models", "exponential_smoothing + promotion_regression", "--origins", "2", "--keep", "series(40)")


class Home:
    """An artifact root, and what runs in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.release = folder / "release"

    def run(self, workflow: str, *options: str, file: str = "supermegaretail") -> subprocess.CompletedProcess:
        """``pyflyte run`` of a *workflow*, of the *file* below ``workflows/``."""
        command = [
            sys.executable,
            "-m",
            "flytekit.clis.sdk_in_container.pyflyte",
            "run",
            f"workflows/{file}.py",
            workflow,
            *options,
        ]
        environment = {**os.environ, "TRAINWORKS_ARTIFACTS": str(self.folder / "artifacts"), "COLUMNS": "200"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    def train(self, *options: str) -> str:
        """What a training says."""
        done = self.run("supermegaretail", "--release_to", str(self.release), *SMALL, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def first(home):
    """What the first run said."""
    return home.train()


def made(said: str) -> set[str]:
    """The stages that ran."""
    return set(re.findall(r"\d\d:\d\d:\d\d (\w+) +done", said))


@pytest.mark.slow
def test_the_sample_becomes_a_release_that_passes_its_own_examples(home, first, capsys):
    """Every stage ran, and the bundle forecasts."""
    stages = {"clean", "panel", "backtest", "choose", "fit", "export", "evaluate", "behave", "report", "package"}
    assert made(first) == stages
    assert main(["release", "check", str(home.release)]) == 0
    assert "differs" not in capsys.readouterr().out
    assert stored.locate(str(home.release)).json("metrics.json")["gains"]["pinball_share"]["value"] > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_mlflow_in_the_artifact_root_has_the_release_as_champion(home, first):
    """With every score, the report, and the tables it was made from."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home.folder}/artifacts/mlflow.db", f"sqlite:///{home.folder}/artifacts/mlflow.db")
    (model,) = client.search_registered_models()
    champion = client.get_model_version_by_alias(model.name, "champion")
    assert champion.tags["version"] == stored.locate(str(home.release)).version
    run = client.get_run(champion.run_id)
    assert {"pinball loss", "pinball loss/low", "pinball loss/gain"} <= run.data.metrics.keys()
    assert run.data.params["models"] == SMALL[1]
    assert "sales" in json.loads(run.inputs.dataset_inputs[0].dataset.schema)
    assert {"report.html", "features.json"} <= {file.path for file in client.list_artifacts(champion.run_id)}


@pytest.mark.slow
def test_again_nothing_runs_and_one_more_model_costs_itself(home, first):
    """Its two parts are made beside the four that are remembered; the model that ships is not learned again if it is the same."""
    assert not made(home.train())
    said = home.train("--models", "exponential_smoothing + promotion_regression + naive")
    assert re.search(r"backtest +cached 4, done 2", said)
    assert made(said) == {"choose", "evaluate", "report", "package"}


@pytest.mark.slow
def test_a_sweep_ends_with_a_file_whose_pipeline_compares_nothing_anew(home, first):
    """Its trials share the panel of the first run; what won among the older origins is measured at the test."""
    asked = ("--space", "head = negative_binomial | empirical", "--trials", "2", "--sampler", "grid")
    done = home.run("sweep", *SMALL, *asked, file="supermegaretail_sweep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "panel" not in made(done.stdout + done.stderr)
    (folder,) = (home.folder / "artifacts/stages/sweep").iterdir()
    table = pd.read_csv(folder / "trials.csv")
    winner = yaml.safe_load((folder / "winner.yaml").read_text())
    assert winner["head"] == table["head"][table["pinball_loss"].idxmin()]
    assert not made(home.train("--head", winner["head"])) & {"panel", "backtest", "choose", "fit"}


@pytest.mark.slow
def test_a_release_forecasts_the_newest_origin_once(home, first):
    """With its version in the file; what was learned to read the sample is known from the release.."""
    to = home.folder / "forecasts"
    options = ("--release", str(home.release), "--source", "sample", "--forecasts_to", str(to))
    done = home.run("forecast", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    (place,) = to.rglob("forecasts.parquet")
    written = place.stat()
    again = home.run("forecast", *options)  # there is no shard left to map over
    assert again.returncode == 0 and f"\n{place}\n" in again.stdout, again.stdout + again.stderr
    assert place.stat() == written
    table = pq.read_table(place)
    assert re.fullmatch(r"origin=\d{4}-\d\d-\d\d", place.parent.name) and len(table) == 40 * 4
    assert table.schema.metadata[b"release"].decode() == stored.locate(str(home.release)).version


@pytest.mark.slow
def test_a_retraining_whose_gates_fail_is_told_once_and_leaves_the_release(home, first):
    """Forecasts three times too high ask for it; what four weeks teach surely loses to the release. The next watch rests."""
    before = stored.locate(str(home.release))
    (folder,) = (home.folder / "artifacts/stages/panel").iterdir()
    panel, to = Panel.load(folder), home.folder / "watched"
    for origin in range(panel.known - 4, panel.known - 1):
        table = Forecaster.load(before.uri).of(panel, origin)
        for name in ("mean", *COLUMNS):
            table = table.set_column(table.column_names.index(name), name, pc.multiply(table[name], 3.0))
        out = to / f"origin={panel.starts[origin]}" / "forecasts.parquet"
        out.parent.mkdir(parents=True)
        pq.write_table(table.replace_schema_metadata({"release": before.version}), out)
    options = ("--release", str(home.release), "--source", "sample", "--forecasts", str(to), "--history", "4")
    done = home.run("watch", *options)
    assert done.returncode and f"retrained, but kept {before.version}" in done.stdout + done.stderr
    assert stored.locate(str(home.release)).version == before.version
    again = home.run("watch", *options)
    assert again.returncode == 0, again.stdout + again.stderr
    assert not made(again.stdout + again.stderr) and recall(str(to))["verdict"] == "warn"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--models", "boosing"), "did you mean 'boosting'"),
        (("--source", "nowhere"), "no such folder"),
    ],
)
def test_a_bad_knob_is_one_sentence_before_anything_runs(home, options, says):
    """With its position, and what was probably meant."""
    done = home.run("supermegaretail", "--release_to", str(home.release), *options)
    assert done.returncode and says in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr and not made(done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (partial(PanelConfig, grain="store, product, hour"), "hour"),
        (partial(GateConfig, gates="gains >= 0"), "did you mean 'gain'"),
    ],
)
def test_a_mistake_in_a_little_language_is_refused_by_its_section(section, says):
    """Which is what `check` makes of the knobs, first of all."""
    with pytest.raises(ValueError, match=says):
        section()
