"""Where a training run is followed: TensorBoard always, MLflow where ``MLFLOW_TRACKING_URI`` names a server or store."""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.utils.tensorboard.summary import hparams

from trainworks import extras
from trainworks.storage import mlflow_server

EXPERIMENT = "trainworks"
"""MLflow's experiment, unless ``MLFLOW_EXPERIMENT_NAME`` names another."""

LONGEST = 120
"""Characters of a run's name and its knobs in the name of a folder."""

log = logging.getLogger(__name__)


def folder_name(run: str, knobs: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """What TensorBoard shows of a training that begins now: the time, what people call the *run*, and the knobs not at their defaults."""
    changed = [f"{name}={value}" for name, value in knobs.items() if value != defaults[name]]
    words = re.sub(r"[^\w.,=+*@-]+", "_", " ".join(filter(None, (run, *changed))))
    return f"{datetime.now():%Y%m%d-%H%M%S}-{words[:LONGEST]}".rstrip("-_")


def loggers(logs: Path, run_name: str, knobs: Mapping[str, Any], metric: str) -> list[Logger]:
    """What a Lightning trainer logs to; each already knows the *knobs*.

    TensorBoard's files go to the folder *logs*; its table of hyper-parameters shows the last value that was logged as *metric*.
    An MLflow that does not answer costs a warning and the rest of its log, never the training.

    Raises:
        ModuleNotFoundError: ``MLFLOW_TRACKING_URI`` is set and mlflow is not installed.
    """
    uri = mlflow_server.uri()
    mlflow = _mlflow(uri, run_name) if uri else None
    board = _Board(logs, name="", version="", default_hp_metric=False)
    _log_knobs(board, knobs, _tag(metric))
    if mlflow is None:
        return [board]
    mlflow.log_hyperparams(dict(knobs))
    return [board, mlflow]


def show(loggers: Sequence[Logger], name: str, pixels_NHWC: np.ndarray, step: int) -> None:
    """One grid of N images, uint8 (N, height, width, 3), in TensorBoard under *name*."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_images(name, pixels_NHWC, step, dataformats="NHWC")


class _Board(TensorBoardLogger):
    """Curves in groups, what is measured before what it is measured on, and none of the epoch's own number, which would come first."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # type: ignore[override]
        super().log_metrics({_tag(name): value for name, value in metrics.items() if name != "epoch"}, step)


def _tag(metric: str) -> str:
    """``val_loss`` → ``loss/val``."""
    part, _, name = metric.partition("_")
    return f"{name}/{part}"


@rank_zero_only
def _log_knobs(board: TensorBoardLogger, knobs: Mapping[str, Any], metric: str) -> None:
    """At the start, so that a run that dies is in the table too; Lightning's own way would log a made-up metric."""
    plain = {name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in knobs.items()}
    for part in hparams(plain, {metric: 0.0})[:2]:  # the third would say that the run has ended
        board.experiment.file_writer.add_summary(part)


def _mlflow(uri: str, run_name: str) -> Logger | None:
    try:
        import mlflow  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"MLFLOW_TRACKING_URI is set and mlflow is not installed; unset it, or {extras.install('cloud')}", name="mlflow"
        ) from error
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    try:
        return _Tolerant(experiment, run_name, uri)
    except Exception as error:  # a database is opened at once
        _warn(error)
        return None


class _Tolerant(MLFlowLogger):
    """An MLflow that may fail: at the first error it warns, and then is silent for the rest of the run."""

    failed = False

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        self._try(partial(super().log_hyperparams, *args, **kwargs))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # MLflow knows no @ in a name, and Lightning would leave it out.
        renamed = {name.replace("@", "_at_"): value for name, value in metrics.items()}
        self._try(partial(super().log_metrics, renamed, step))

    def finalize(self, *args: Any, **kwargs: Any) -> None:
        self._try(partial(super().finalize, *args, **kwargs))

    @property
    def name(self) -> str:
        return self._experiment_name

    @property
    def version(self) -> str | None:
        return self._run_id

    def _try(self, call: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            call()
        except Exception as error:  # the client lets through MlflowException, and what SQL and HTTP libraries raise
            self.failed = True
            _warn(error)


def _warn(error: Exception) -> None:
    """Without the error's message, which may name the store with its password."""
    log.warning("MLflow failed (%s): training goes on without it, TensorBoard has everything", type(error).__name__)
