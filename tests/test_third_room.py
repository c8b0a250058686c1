"""A third pipeline moves in by adding a folder: the toy of tests/rooms goes through the hall, which is not touched."""

import hashlib
import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import trainworks
from trainworks import code
from trainworks.__main__ import main
from trainworks.release import compare, scores
from trainworks.release.releases import current, release
from trainworks.storage import manifest, store
from trainworks.sweep import page as sweep_page
from trainworks.sweep import space, trials


@pytest.fixture(scope="module", autouse=True)
def toy():
    """The room, beside the others."""
    folder = str(Path(__file__).parent / "rooms")
    trainworks.__path__.append(folder)
    yield import_module("trainworks.toy.line")
    trainworks.__path__.remove(folder)
    for name in [name for name in sys.modules if name.startswith("trainworks.toy")]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """Where this test's stage outputs lie."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))


@pytest.fixture
def points(tmp_path):
    """Fifty points near y = 3 x + 2."""
    x = np.linspace(0, 10, 50)
    np.savetxt(tmp_path / "points.csv", np.stack([x, 3 * x + 2 + 0.3 * np.sin(37 * x)], 1), delimiter=",")
    return tmp_path / "points.csv"


def run(toy, source, made=None, **knobs):
    """The pipeline: each stage once per input, knobs and code; the names of those that ran join *made*. Gives the bundle."""
    config = toy.FitConfig(**knobs)

    def stage(name, inputs, make):
        known = [code.digest("trainworks.toy.line"), *(manifest.digest(i) if isinstance(i, Path) else repr(i) for i in inputs)]
        key = hashlib.sha256("\n".join(known).encode()).hexdigest()[:20]

        def counted(out):
            made.append(name) if made is not None else None
            make(*inputs, out)

        return store.remember(name, key, counted)

    points = store.keep("acquire", lambda out: toy.acquire(source, config.seed, out))
    line = stage("fit", [points, config], toy.fit)
    metrics = stage("evaluate", [points, line], toy.evaluate)
    report = stage("report", [points, line, metrics, config], toy.report)
    return stage("package", [points, line, metrics, report], toy.package)


def test_it_goes_from_data_to_a_release(toy, points, tmp_path, capsys):
    """Gates, bundle, pointer, and the list of versions, which shows what the room calls its objective."""
    released = release(run(toy, points), str(tmp_path / "release"))
    assert released.moved and current(tmp_path / "release").version == released.version
    assert main(["release", "list", str(tmp_path / "release")]) == 0
    listed = capsys.readouterr().out
    assert "error" in listed and "passed" in listed


def test_what_fails_its_gates_stays_a_candidate(toy, points, tmp_path):
    """By name and by how much."""
    released = release(run(toy, points, gates="error <= 0.01"), str(tmp_path / "release"))
    assert not released.moved and released.why.startswith("gate error failed: mean absolute error on the points held out must be at most")


def test_nothing_runs_twice(toy, points):
    """Another knob runs what reads it, and the same again nothing."""
    made: list[str] = []
    run(toy, points, made)
    assert made == ["fit", "evaluate", "report", "package"]
    run(toy, points, made)
    assert len(made) == 4
    run(toy, points, made, gates="error <= 2")
    assert made[4:] == ["fit", "report", "package"], "the same line, hence the same metrics"


def test_its_runs_are_compared(toy, points, tmp_path):
    """By its own score, which is better when lower."""
    for ridge in (0.0, 1000.0):
        release(run(toy, points, ridge=ridge), str(tmp_path / "release"))
    text = compare.terminal(compare.runs([str(tmp_path / "release")]))
    assert "knob ridge" in text and "error (units, lower is" in text
    assert "0.220 (0.144 to 0.292) ★" in text and text.count("★") == 1, "the lower error is marked as the best"


def test_its_page_begins_with_the_verdict(toy, points):
    """In the hall's frame."""
    page = (run(toy, points) / "report.html").read_text()
    assert "✓ Every gate holds" in page and "Points held out" in page


def test_new_points_are_held_against_a_bundle(toy, points, tmp_path, capsys):
    """By the room's own command."""
    bundle = run(toy, points)
    assert main(["toy", "drift", str(bundle), str(points)]) == 0
    moved = tmp_path / "moved.csv"
    np.savetxt(moved, np.loadtxt(points, delimiter=",") + np.array([100, 0]), delimiter=",")
    assert main(["toy", "drift", str(bundle), str(moved)]) == 1
    assert "drifted: x" in capsys.readouterr().out


def test_its_knobs_are_swept(toy, points, tmp_path):
    """The ridge of the lowest error wins, and is an experiment file."""
    objective, base = trials.Objective("error", "lower"), toy.FitConfig()
    choices = space.parse("ridge = 1000 | 0 | 10", base)
    asked = [json.dumps(setting) for setting in trials.ask(choices, "grid", 1, [], 3, objective.better)]

    def error(setting):
        bundle = run(toy, points, **vars(space.apply(base, setting)))
        return scores.parse(json.loads((bundle / scores.FILE).read_text())).main.value

    done = trials.together([asked], [[trials.attempt(setting, error) for setting in asked]])
    winner = done[trials.best(done, objective)].setting
    sweep_page.write(done, choices, objective, winner, "held-out error as above", {}, tmp_path)
    assert (tmp_path / "winner.yaml").read_text().endswith("ridge: 0.0\n")
    assert "is the lowest of 3" in (tmp_path / "sweep.html").read_text()


def test_too_little_data_is_refused(toy, tmp_path):
    """Before anything is made of it."""
    np.savetxt(tmp_path / "few.csv", np.zeros((3, 2)), delimiter=",")
    with pytest.raises(trainworks.errors.DataError, match="3 points are too few for a line; expected at least 10"):
        run(toy, tmp_path / "few.csv")
