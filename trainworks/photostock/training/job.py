"""Fine-tuning as a SageMaker job, both ends: what the workflow asks for, and the program ``train`` that does it.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html has the contract.
"""

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from trainworks.errors import DataError, Interrupted
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.storage import manifest, store
from trainworks.training import sagemaker

log = logging.getLogger(__name__)

METRICS = ("epoch", "train_loss", "val_loss", "val_R@1", "val_R@5", "val_R@10", "val_recall")
"""What SageMaker reads from the lines that fine-tuning logs, one per epoch."""

STOPPED = 128 + signal.SIGTERM


def submit(untouched: Path, dataset: Path, shards: list[Path], config: TrainConfig, out: Path, limit: timedelta) -> None:
    """What ``train.finetune`` does, done by SageMaker within *limit*: the same files in *out*, where its machine is noted for the report.

    Raises:
        ValueError: the deployment is not stated in the environment.
        TrainingError: the job ended without a model.
        IntegrityError: the model is not the one its manifest names.
    """
    deployment = sagemaker.Deployment.from_environment()
    inputs: dict[str, Path | Sequence[Path]] = {"start": untouched, "dataset": dataset, "shards": shards}
    sagemaker.run(sagemaker.Job("photostock-finetune", inputs, sagemaker.hyperparameters(config), METRICS, limit), deployment, out)
    has_gpu = deployment.instance.startswith(("ml.g", "ml.p"))
    store.note(out, machine="gpu" if has_gpu else "cpu")


def main() -> int:
    """The program ``train``: fine-tune in SageMaker's tree of folders; returns the exit status.

    An error goes to ``output/failure``, whose first 1024 characters become the job's FailureReason.
    """
    # Before the slow imports: for the first process of a container, SIGTERM does nothing by default.
    signal.signal(signal.SIGTERM, _stop)
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s")
    logging.getLogger("trainworks").setLevel(logging.INFO)
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    try:
        train(base)
    except (SystemExit, Interrupted):
        log.warning("stopped by SIGTERM, without a model")
        return STOPPED
    except Exception as error:
        log.exception("failed")
        (base / "output" / "failure").write_text(f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")
        return 1
    return 0


def train(base: Path) -> None:
    """Fine-tune from the hyperparameters and channels below *base* into its folder ``model``.

    Raises:
        ValueError: a hyperparameter that is no knob, or no value of it; more than one instance.
        DataError: a channel is missing.
        IntegrityError: a channel is damaged.
        PermissionError: SageMaker's folders are not this user's to write.
    """
    config = sagemaker.knobs(TrainConfig, _read(base, "hyperparameters"))
    hosts = _read(base, "resourceconfig")["hosts"]
    if len(hosts) != 1:
        raise ValueError(f"{len(hosts)} instances, but one trains on one: set InstanceCount to 1, and take a type with more GPUs")
    start, dataset, shards = (_channel(base, name) for name in ("start", "dataset", "shards"))
    folders = [start, dataset, *(shard for shard in sorted(shards.iterdir()) if shard.is_dir())]
    for folder in folders:
        manifest.verify(folder)
    out, logs, resume = (_writable(base / name) for name in ("model", "output/tensorboard", "checkpoints"))

    from trainworks.photostock.training.train import finetune

    finetune(start, dataset, folders[2:], config, logs, out, resume)
    manifest.write(out, stage="finetune")


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
