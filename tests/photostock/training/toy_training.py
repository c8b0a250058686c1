"""A program that fine-tunes in one process after another, each of which dies when it is told to.

Every line of its input is JSON: ``inputs`` (folders), ``knobs``, and ``runs``, each with its folder ``out``, the folder ``resume``, and
``die``: what kills it, and at which occurrence. It answers each line with the exit statuses; a run leaves the number of its ``steps`` in
``out``, or its ``seconds`` after SIGTERM.
"""

import functools
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

from trainworks.errors import Interrupted
from trainworks.photostock.model import towers
from trainworks.photostock.training import train
from trainworks.photostock.training.finetuner import Finetuner
from trainworks.photostock.training.knobs import Precision, TrainConfig
from trainworks.training import checkpoints


def at(occurrence, number):
    """A function that sends the signal *number* to this process when it is called for that time."""
    calls = iter(range(1, 1_000_000))

    def call():
        if next(calls) == occurrence:
            os.kill(os.getpid(), number)

    return call


def after_every_step(call):
    """Have *call* called then."""
    optimizer_step = Finetuner.optimizer_step

    def step_and_call(*args, **kwargs):
        optimizer_step(*args, **kwargs)
        call()

    Finetuner.optimizer_step = step_and_call


def prepare_to_die(what, occurrence):
    """Die ``step``: after an optimiser step. ``save``: between writing a checkpoint and its rename. ``saved``: after it.

    ``term``: SIGTERM after a step.
    """
    die = at(occurrence, signal.SIGTERM if what == "term" else signal.SIGKILL)
    if what in ("step", "term"):
        after_every_step(die)
    if what == "save":
        fsync = os.fsync

        def die_or_sync(descriptor):
            die()
            fsync(descriptor)

        os.fsync = die_or_sync
    if what == "saved":
        save = checkpoints.Files.save_checkpoint

        def save_and_die(*args, **kwargs):
            save(*args, **kwargs)
            die()

        checkpoints.Files.save_checkpoint = save_and_die


def run(inputs, knobs, out, resume, die):
    """One fine-tuning; the exit status."""
    if die and die[0] != "term":
        checkpoints.EVERY = 0.0  # after every step
    if die:
        prepare_to_die(*die)
    steps = []
    after_every_step(lambda: steps.append(time.monotonic()))
    Path(out).mkdir(parents=True, exist_ok=True)
    if "precision" in knobs:
        knobs["precision"] = Precision(knobs["precision"])
    folders = Path(inputs["untouched"]), Path(inputs["dataset"]), [Path(shard) for shard in inputs["shards"]]
    try:
        train.finetune(*folders, TrainConfig(**knobs), Path(out) / "logs", Path(out), Path(resume))
    except Interrupted:
        (Path(out) / "seconds").write_text(str(time.monotonic() - steps[-1]))
        return 128 + signal.SIGTERM
    (Path(out) / "steps").write_text(str(len(steps)))
    return 0


def statuses(task):
    """Every run in its own process, one after another; how each ended."""
    ended = []
    for wanted in task["runs"]:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = run(task["inputs"], task["knobs"], **wanted)
            finally:
                os._exit(status)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return ended


def main():
    """What a training imports, computes once and reads is shared by all runs: one that nobody asked for comes first."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)  # threads would not survive the fork
    towers.read = functools.cache(towers.read)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # where progress bars go
    warm = False
    for line in sys.stdin:
        task = json.loads(line)
        if not warm:
            with tempfile.TemporaryDirectory() as folder:
                warm = run(task["inputs"], {**task["knobs"], "epochs": 1}, f"{folder}/out", f"{folder}/resume", None) == 0
        print(json.dumps(statuses(task)), file=answers)


if __name__ == "__main__":
    main()
