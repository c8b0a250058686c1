"""The program ``train`` that SageMaker runs in an image: it trains what the room says that a job names, in SageMaker's tree of folders.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html has the contract.
"""

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from trainworks.config import Section
from trainworks.errors import DataError, Interrupted
from trainworks.storage import manifest, store
from trainworks.training import sagemaker

VARIABLE = "TRAINWORKS_PROGRAM"
"""The environment variable that names the module whose ``PROGRAM`` is run; a job sets it, and the image has a default."""

STOPPED = 128 + signal.SIGTERM

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """What a room has trained by SageMaker.

    ``name`` begins the names of its jobs, ``module`` is where the program stands, under the name ``PROGRAM``. ``knobs`` are the job's
    hyperparameters. Each of ``channels`` is a folder with a manifest, each of ``many`` a folder of such. What SageMaker reads from the
    lines that training logs are its ``metrics``. ``train(inputs, knobs, logs, out, resume)`` gets the folders by channel, a list for
    each of ``many``, and fills *out*; it imports what is slow to import.
    """

    name: str
    module: str
    knobs: type[Section]
    channels: Sequence[str]
    many: Sequence[str]
    metrics: Sequence[str]
    train: Callable[[dict[str, Any], Any, Path, Path, Path], None]

    def submit(self, inputs: Mapping[str, Path | Sequence[Path]], knobs: Section, out: Path, limit: timedelta) -> None:
        """Have it done by SageMaker within *limit*, from *inputs* by channel: what ``train`` leaves comes to *out*.

        The kind of its machine is noted there, for the report.

        Raises:
            ValueError: the deployment is not stated in the environment.
            TrainingError: the job ended without a model.
            IntegrityError: the model is not the one its manifest names.
        """
        deployment = sagemaker.Deployment.from_environment()
        hyperparameters, environment = sagemaker.hyperparameters(knobs), {VARIABLE: self.module}
        sagemaker.run(sagemaker.Job(self.name, inputs, hyperparameters, self.metrics, limit, environment), deployment, out)
        store.note(out, machine="gpu" if deployment.instance.startswith(("ml.g", "ml.p")) else "cpu")


def main() -> int:
    """Run the program that the environment names; returns the exit status.

    An error goes to ``output/failure``, whose first 1024 characters become the job's FailureReason.
    """
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s")
    logging.getLogger("trainworks").setLevel(logging.INFO)
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    try:
        # Before the slow imports: for the first process of a container, SIGTERM does nothing by default.
        signal.signal(signal.SIGTERM, _stop)
        train(_program(), base)
    except (SystemExit, Interrupted):
        log.warning("stopped by SIGTERM, without a model")
        return STOPPED
    except Exception as error:
        log.exception("failed")
        (base / "output" / "failure").write_text(f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")
        return 1
    return 0


def train(program: Program, base: Path) -> None:
    """Run *program* on the hyperparameters and channels below *base* into its folder ``model``.

    Raises:
        ValueError: a hyperparameter that is no knob, or no value of it; more than one instance.
        DataError: a channel is missing.
        IntegrityError: a channel is damaged.
        PermissionError: SageMaker's folders are not this user's to write.
    """
    knobs = sagemaker.knobs(program.knobs, _read(base, "hyperparameters"))
    hosts = _read(base, "resourceconfig")["hosts"]
    if len(hosts) != 1:
        raise ValueError(f"{len(hosts)} instances, but one trains on one: set InstanceCount to 1, and take a type with more GPUs")
    inputs: dict[str, Any] = {name: _channel(base, name) for name in (*program.channels, *program.many)}
    for name in program.many:
        inputs[name] = [folder for folder in sorted(inputs[name].iterdir()) if folder.is_dir()]
    for name, content in inputs.items():
        for folder in content if name in program.many else [content]:
            manifest.verify(folder)
    out, logs, resume = (_writable(base / name) for name in ("model", "output/tensorboard", "checkpoints"))
    program.train(inputs, knobs, logs, out, resume)
    manifest.write(out, stage=program.name)


def _program() -> Program:
    """What :data:`VARIABLE` names."""
    module = os.environ.get(VARIABLE, "")
    if not module:
        raise ValueError(f"the environment variable {VARIABLE} is not set: expected the module of a program that trains")
    return import_module(module).PROGRAM


def _stop(signum: int, frame: Any) -> None:
    """Leave at once, but not in the middle of a step: while Lightning trains, it has put its own handler before this one."""
    if signal.getsignal(signal.SIGTERM) is _stop:
        raise SystemExit(STOPPED)


def _read(base: Path, name: str) -> dict[str, Any]:
    path = base / "input" / "config" / f"{name}.json"
    if not path.is_file():
        raise DataError(f"no {path}: this program runs as a SageMaker training job; elsewhere, set SAGEMAKER_BASE_DIR to such a tree")
    return json.loads(path.read_text())


def _channel(base: Path, name: str) -> Path:
    folder = base / "input" / "data" / name
    if not folder.is_dir():
        there = sorted(path.name for path in folder.parent.glob("*")) or ["none"]
        raise DataError(f"no channel {name!r} (there: {', '.join(there)}): add one of that name to the job's InputDataConfig")
    return folder


def _writable(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"user {os.getuid()} may not write to {folder}: build the image with --build-arg USER_ID=0")
    return folder
