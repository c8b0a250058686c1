"""A fine-tuning that was killed and run again makes the very weights of one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainworks.storage import manifest
from trainworks.training import checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Lightning's and timm's own

HEADS = {"image": "squash(32)", "tune": "logit_scale=1, *.head=1, *=0", "epochs": 3, "batch_size": 16, "learning_rate": 0.01}
EVERYTHING = {
    **HEADS,
    "tune": "*=0.1",
    "epochs": 2,
    "precision": "bf16",
    "augment_image": "flip",
    "augment_text": "sample_field > drop_tags(0.3)",
    "loss": "clip + 0.1*siglip + 0.2*distill + 3*invariance",
    "average": "ema(0.9)",
}
"""Dropout, batch norm, a bias, a teacher, changed pictures and texts, and averaged weights."""

KILLED, STOPPED = -9, 128 + 15


@pytest.fixture(scope="module")
def trainings(untouched, shards, dataset, tmp_path_factory):
    """Run ``toy_training``: for each of *runs*, (die, out, resume), the exit status; and the folder with what they made."""
    base = tmp_path_factory.mktemp("resume")
    inputs = {"untouched": str(untouched), "dataset": str(dataset), "shards": [str(shard) for shard in shards]}
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TRAINWORKS_ARTIFACTS": str(base / "artifacts")}
    program = [sys.executable, Path(__file__).with_name("toy_training.py")]
    with subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:

        def trainings(name, knobs, *runs):
            folder = base / name
            wanted = [{"die": die, "out": str(folder / out), "resume": str(folder / resume)} for die, out, resume in runs]
            print(json.dumps({"inputs": inputs, "knobs": knobs, "runs": wanted}), file=process.stdin)
            return folder, json.loads(process.stdout.readline())

        yield trainings


def made(folder):
    """What must be the same: weights, and every epoch's loss and recall."""
    return manifest.sha256(folder / "weights.safetensors"), json.loads((folder / "history.json").read_text())


def steps(folder):
    """How many optimiser steps it took, of its own."""
    return int((folder / "steps").read_text())


def test_after_kill_9_the_weights_are_the_same(trainings):
    """Killed after a step, during a save in the middle of an epoch, after the save at an epoch's end, and then once more."""
    folder, statuses = trainings(
        "heads",
        HEADS,
        (None, "whole", "none"),
        (["step", 6], "killed", "resume"),
        (["save", 5], "killed", "resume"),
        (["saved", 2], "killed", "resume"),
        (None, "resumed", "resume"),
    )
    assert statuses == [0, KILLED, KILLED, KILLED, 0]
    assert made(folder / "resumed") == made(folder / "whole")
    assert steps(folder / "whole") == 12 and steps(folder / "resumed") == 3
    assert not (folder / "resume").exists()


def test_after_kill_9_at_any_of_20_moments_the_weights_are_the_same(trainings):
    """Ten after a random step, ten at a random fsync: in the middle of a save, or just after it; 20 of 20 end the same."""
    rng = np.random.default_rng(0)
    deaths = [["step", int(n)] for n in rng.integers(1, 12, size=10)] + [["save", int(n)] for n in rng.integers(1, 23, size=10)]
    runs = [(die, f"killed-{n}", f"resume-{n}") for n, die in enumerate(deaths)]
    again = [(None, f"resumed-{n}", f"resume-{n}") for n in range(len(deaths))]
    folder, statuses = trainings("random", {**HEADS, "average": ""}, (None, "whole", "none"), *runs, *again)
    assert statuses == [0, *[KILLED] * 20, *[0] * 20]
    whole = made(folder / "whole")
    assert sum(made(folder / f"resumed-{n}") == whole for n in range(20)) == 20


def test_after_kill_9_everything_that_learns_is_the_same(trainings):
    """Both towers, bf16, dropout, augmentation, the teacher, the bias, the average."""
    folder, statuses = trainings(
        "everything", EVERYTHING, (None, "whole", "none"), (["step", 6], "killed", "resume"), (None, "resumed", "resume")
    )
    assert statuses == [0, KILLED, 0]
    assert made(folder / "resumed") == made(folder / "whole")
    assert steps(folder / "resumed") == 3


def test_sigterm_leaves_a_checkpoint_and_a_retry_goes_on(trainings):
    """In the middle of an epoch, at its last step, and damaged afterwards: the retry then starts from the one before."""
    folder, statuses = trainings(
        "sigterm",
        HEADS,
        (None, "whole", "none"),
        (["term", 2], "stopped", "resume"),
        (["term", 2], "stopped", "resume"),
    )
    assert statuses == [0, STOPPED, STOPPED]
    assert float((folder / "stopped" / "seconds").read_text()) < 10
    left = {}
    for path in (folder / "resume").iterdir():
        _, key, step = path.read_bytes().split(b"\n")[0].decode().split()
        assert checkpoints.step(path, key) == int(step)
        left[int(step)] = path
    assert max(left) == 4
    left[4].write_bytes(left[4].read_bytes()[:-1])
    folder, _ = trainings("sigterm", HEADS, (None, "resumed", "resume"))
    assert made(folder / "resumed") == made(folder / "whole")
    assert steps(folder / "resumed") == 12 - min(left)


def test_sigterm_at_any_of_10_steps_leaves_a_whole_checkpoint(trainings):
    """And a clean exit, 10 of 10: the step in which it came is not lost."""
    at = np.random.default_rng(0).integers(1, 12, size=10).tolist()
    runs = [(["term", step], f"stopped-{n}", f"resume-{n}") for n, step in enumerate(at)]
    folder, statuses = trainings("terms", {**HEADS, "average": ""}, *runs)
    assert statuses == [STOPPED] * 10
    for n, step in enumerate(at):
        whole = [path.read_bytes().split(b"\n")[0].decode().split() for path in (folder / f"resume-{n}").iterdir()]
        keys = {key for _, key, _ in whole}
        assert len(keys) == 1 and max(checkpoints.step(path, *keys) for path in (folder / f"resume-{n}").iterdir()) == step


def test_other_knobs_start_anew(trainings):
    """A training never goes on from the checkpoint of another, whose files stay where they are."""
    folder, _ = trainings("another", HEADS, (["step", 6], "killed", "resume"))
    other = {**HEADS, "learning_rate": 0.02}
    folder, _ = trainings("another", other, (None, "resumed", "resume"), (None, "whole", "none"))
    assert made(folder / "resumed") == made(folder / "whole")
    assert steps(folder / "resumed") == 12 and len(list((folder / "resume").iterdir())) == 2
