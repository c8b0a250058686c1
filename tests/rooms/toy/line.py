"""A line through points: every stage of a pipeline, each a function from folders to a folder."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from trainworks.toy.facts import MEASURES, PACKAGES, PIPELINE

from trainworks import drift as drifts
from trainworks import facts, intervals, profile
from trainworks.config import Section, knob
from trainworks.errors import DataError
from trainworks.release import bundle, measures, scores, stored
from trainworks.report import page
from trainworks.report.verdict import table
from trainworks.storage import manifest


@dataclass(frozen=True)
class FitConfig(Section):
    """From points to a line."""

    name = "fit"

    ridge: float = knob(0.0, "weight of the squared slope beside the squared error", least=0)
    gates: str = knob("error <= 1, gain >= 0", "what must hold for a release")
    seed: int = knob(1, "seed of the split", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        measures.parse(self.gates, MEASURES)


def acquire(source: Path, seed: int, out: Path) -> None:
    """The points (n, 2) of the CSV file *source*, in an order drawn by *seed*: the first four fifths train."""
    points = np.loadtxt(source, delimiter=",", ndmin=2)
    if len(points) < 10:
        raise DataError(f"{source}: {len(points)} points are too few for a line; expected at least 10")
    np.save(out / "points.npy", np.random.default_rng(seed).permutation(points))


def fit(points: Path, config: FitConfig, out: Path) -> None:
    """The line of least squares, with *config*'s ridge."""
    x, y = _split(points)[0].T
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (((x - x.mean()) ** 2).sum() + config.ridge)
    (out / "line.json").write_text(json.dumps({"slope": slope, "offset": y.mean() - slope * x.mean()}))


def evaluate(points: Path, line: Path, out: Path) -> None:
    """The error on the points held out, beside the one of always answering the mean."""
    (train, test), model = _split(points), json.loads((line / "line.json").read_text())
    error = np.abs(model["slope"] * test[:, 0] + model["offset"] - test[:, 1])
    gain = np.abs(train[:, 1].mean() - test[:, 1]) - error
    (ends, gain_ends) = intervals.bootstrap(np.stack([error, gain], 1))
    reached = scores.Gain("the mean", gain.mean(), tuple(gain_ends))
    whole = scores.Scores("error", (scores.Score("error", error.mean(), tuple(ends), "lower", "units", gain=reached),))
    (out / scores.FILE).write_text(json.dumps(whole.entries()))
    groups = [str(number) for number in range(len(train))]
    (out / "profile.json").write_text(json.dumps({name: profile.reference(train[:, k], groups) for k, name in enumerate("xy")}))


def report(points: Path, line: Path, metrics: Path, config: FitConfig, out: Path) -> None:
    """The page, the verdict and the facts of the run."""
    score = scores.parse(json.loads((metrics / scores.FILE).read_text())).main
    verdict = measures.judge(config.gates, MEASURES, {"error": (score.value, ""), "gain": (score.gain.value, "")}.__getitem__)
    test = _split(points)[1]
    order = np.argsort(test[:, 0])
    chart = page.curves("Points held out", test[order, 0].tolist(), {"y": test[order, 1].tolist()}, step_name="x")
    text = page.render("toy/line.html", score=score, verdict=verdict, gates=table(verdict), chart=chart)
    (out / "report.html").write_text(text)
    ran = facts.run(facts.knobs(config), facts.defaults(config), {"fit": [line], "evaluate": [metrics]}, PACKAGES)
    (out / "ran.json").write_text(json.dumps(ran | {"verdict": verdict}))


def package(points: Path, line: Path, metrics: Path, report: Path, out: Path) -> None:
    """The bundle: the line, what it reached, and where it came from."""
    ran = json.loads((report / "ran.json").read_text())
    files = {"line.json": line, scores.FILE: metrics, "profile.json": metrics, "report.html": report}
    about = {"pipeline": PIPELINE, "config": ran["knobs"], "packages": ran["versions"], "data": manifest.digest(points)}
    about |= {"seconds": {stage["stage"]: stage["seconds"] for stage in ran["stages"]}}
    about |= {name: ran[name] for name in ("commit", "seed", "verdict")}
    bundle.write(out, {name: folder / name for name, folder in files.items()}, {}, about)


def drift(uri: str, source: Path) -> list[drifts.Measured]:
    """The points of *source* against those that the bundle at *uri* was made from."""
    known = stored.locate(uri).json("profile.json")
    return [drifts.compare(name, known[name], np.loadtxt(source, delimiter=",")[:, k]) for k, name in enumerate("xy")]


def _split(points: Path) -> tuple[np.ndarray, np.ndarray]:
    every = np.load(points / "points.npy")
    return np.split(every, [len(every) * 4 // 5])
