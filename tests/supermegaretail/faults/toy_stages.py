"""A program that takes the stages from backtest to fit in one process after another, each of which is killed when it is told to be.

Every line of its input is JSON: the folder of the ``panel``, the artifact ``root``, and ``die``: null, ``["file", n]``, at the n-th file
that is opened to write, renamed or removed below the root, or ``["time", seconds]``. It answers each line with the exit status; a run that
nobody killed leaves in ``root`` where its ``model`` is and how many such ``files`` there were.
"""

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import lightgbm  # noqa: F401  seconds, for all runs at once
import onnxmltools  # noqa: F401
from flytekit.types.directory import FlyteDirectory

from tasks import supermegaretail as tasks
from trainworks.supermegaretail.backtest import backtest, choose, shipped  # noqa: F401  imported once for all runs
from trainworks.supermegaretail.models import trees  # noqa: F401
from trainworks.supermegaretail.models.knobs import Head, Targets

MODELS = "exponential_smoothing + boosting"
INPUTS = {
    "features": "lag(1, 2) + mean(4, 13) + sold(8)",
    "covariates": "promotion@plan + price@plan",
    "monotone": "price: down",
    "history": 10_000,
}
INPUTS |= {"horizon": 4, "head": Head.CHOOSE, "targets": Targets.TRUE, "seed": 1}

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")


def stages(panel: str) -> str:
    """As the workflow calls them; the address of the model."""
    at = FlyteDirectory(panel)
    trials = tasks.trials(panel=at, models=MODELS, horizon=4, origins=2, step=4)
    parts = [
        tasks.backtest(panel=at, model=model, origin=origin, **INPUTS) for model, origin in zip(trials.models, trials.origins, strict=True)
    ]
    chosen = tasks.choose(panel=at, parts=parts, models=MODELS, head=INPUTS["head"], horizon=4)
    winner = tasks.winner(chosen=chosen, models=MODELS)
    return tasks.fit(panel=at, models=winner, **INPUTS).path


def run(panel: str, root: str, deadly: int) -> None:
    """The stages, dead at the *deadly* change of a file below *root*, if there are as many."""
    changes = 0

    def count(event: str, given: tuple) -> None:
        nonlocal changes
        writes = event in CHANGES or (event == "open" and isinstance(given[1], str) and given[1][0] in "wxa")
        if writes and str(given[0]).startswith(root):
            changes += 1
            if changes == deadly:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    os.environ["TRAINWORKS_ARTIFACTS"] = root
    model = stages(panel)
    Path(root, "end.json").write_text(json.dumps({"model": model, "files": changes}))


def main() -> None:
    """What has been imported is shared by all runs."""
    warnings.filterwarnings("ignore")
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        wanted = json.loads(line)
        what, when = wanted["die"] or ("never", 0)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                run(wanted["panel"], wanted["root"], when if what == "file" else 0)
                status = 0
            finally:
                os._exit(status)
        if what == "time":
            time.sleep(when)
            os.kill(pid, signal.SIGKILL)  # of a child that has ended but is not waited for, too
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers)


if __name__ == "__main__":
    main()
