"""How a run ends: what is a release and what an experiment, what it is called, what it says last."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from flytekit.types.directory import FlyteDirectory

from tasks.delivery import is_experiment, publish, run_name
from tests.release import toy_bundle
from trainworks.release import releases

ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("ignore")  # flytekit's own
@pytest.mark.parametrize(
    ("release_to", "moved"),
    [("", False), ("there", True)],
)
def test_the_pointer_moves_only_where_a_release_was_asked_for(tmp_path, monkeypatch, release_to, moved):
    """Without a folder the bundle is a candidate in that of experiments, whatever its gates say."""
    monkeypatch.chdir(tmp_path)
    bundle = toy_bundle.write(tmp_path / "bundle", {"report.html": "a page"})
    delivered = publish(FlyteDirectory(str(bundle)), release_to, "toy", "Toy")
    folder = release_to or "artifacts/toy"
    assert (delivered.released, delivered.passed) == (moved, True)
    assert len(releases.versions(folder)) == 1 and (releases.current(folder) is not None) is moved


@pytest.mark.parametrize(
    ("file", "options", "experiment"),
    [
        ("epochs: 2", ["--epochs", "3"], True),
        ("epochs: 2", ["--release_to", "there"], False),
        ("epochs: 2", ["--release_to=there"], False),
        ("release_to: there", [], False),
        ('release_to: ""', [], True),
    ],
)
def test_an_experiment_file_releases_only_where_somebody_says_where_to(tmp_path, file, options, experiment):
    """The file, or the command; without a file the folder of the pipeline is where releases are."""
    (tmp_path / "mine.yaml").write_text(file)
    named = "" if file.endswith('""') else "artifacts/toy"
    assert is_experiment(named, ["run", "--inputs-file", str(tmp_path / "mine.yaml"), *options]) is experiment
    assert is_experiment(named, ["run", f"--inputs-file={tmp_path / 'mine.yaml'}", *options]) is experiment
    assert not is_experiment("artifacts/toy", ["run", *options])


@pytest.mark.parametrize(
    ("arguments", "execution", "name"),
    [
        (["run", "--inputs-file", "experiments/photostock/wise.yaml", "--epochs", "2"], "", "wise"),
        (["run", "--name", "mine", "workflows/photostock.py", "--inputs-file", "experiments/photostock/wise.yaml"], "", "mine"),
        (["pyflyte-execute"], "before-christmas", "before-christmas"),
        (["pyflyte-execute"], "f9c2e4d60a7b41b3a5d2", ""),
        (["run"], "", ""),
    ],
)
def test_a_run_is_called_as_its_experiment_file_unless_somebody_names_it(arguments, execution, name):
    """By pyflyte's own option; what Flyte makes up is no name."""
    assert run_name(arguments, execution) == name


def test_experiments_release_nothing():
    """Only the scheduled plans, and the smoke plan into a folder of its own, say that they release."""
    named = {path.stem for path in ROOT.glob("experiments/*/*.yaml") if "release_to" in yaml.safe_load(path.read_text())}
    assert named == {"nightly", "smoke", "weekly"}


def test_the_last_line_of_a_run_says_how_it_ended(tmp_path):
    """After whatever flytekit prints: the report, and a sentence with the gate that failed."""
    toy_bundle.write(tmp_path / "bundle", {"report.html": "a page"}, verdict=toy_bundle.verdict(0.1))
    program = (
        "from flytekit.types.directory import FlyteDirectory; from tasks.delivery import *;"
        "publish(FlyteDirectory('bundle'), 'release', 'toy', 'Toy'); print('what flytekit prints')"
    )
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    report, last = done.stdout.splitlines()[-2:]
    assert Path(tmp_path, report).read_text() == "a page"
    assert last.startswith("Not released: ") and "gate accuracy failed: accuracy must be at least 0.4, is 0.1, 0.3 off." in last
