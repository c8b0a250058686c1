"""Where a training run is followed: TensorBoard always, MLflow where ``MLFLOW_TRACKING_URI`` names a server or store."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import numpy as np
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.utils.tensorboard.summary import hparams

EXPERIMENT = "trainworks"
"""MLflow's experiment, unless ``MLFLOW_EXPERIMENT_NAME`` names another."""

RETRIES, SECONDS = 2, 10
"""How often and how long MLflow is asked before it counts as down; its own variables go before."""

log = logging.getLogger(__name__)


def loggers(logs: Path, run_name: str, knobs: Mapping[str, Any], metric: str) -> list[Logger]:
    """What a Lightning trainer logs to; each already knows the *knobs*.

    TensorBoard's files go to the folder *logs*; its table of hyper-parameters shows the last value that was logged as *metric*.
    An MLflow that does not answer costs a warning and the rest of its log, never the training.

    Raises:
        ModuleNotFoundError: ``MLFLOW_TRACKING_URI`` is set and mlflow is not installed.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow = _mlflow(uri, run_name) if uri else None
    board = TensorBoardLogger(logs, name="", version="", default_hp_metric=False)
    _log_knobs(board, knobs, metric)
    if mlflow is None:
        return [board]
    mlflow.log_hyperparams(dict(knobs))
    return [board, mlflow]


def show(loggers: Sequence[Logger], name: str, pixels_NHWC: np.ndarray, step: int) -> None:
    """One grid of N images, uint8 (N, height, width, 3), in TensorBoard under *name*."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_images(name, pixels_NHWC, step, dataformats="NHWC")


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
            "MLFLOW_TRACKING_URI is set and mlflow is not installed; pip install 'trainworks[cloud]' or unset it", name="mlflow"
        ) from error
    for name, value in {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": RETRIES, "MLFLOW_HTTP_REQUEST_TIMEOUT": SECONDS}.items():
        os.environ.setdefault(name, str(value))
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    try:
        return _Tolerant(experiment, run_name, _without_password(uri))
    except Exception as error:  # a database is opened at once
        _warn(error)
        return None


def _without_password(uri: str) -> str:
    """*uri* of a server with its user and password moved to the variables MLflow has for them: it prints the rest."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username or "")
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    os.environ["MLFLOW_TRACKING_URI"] = stripped = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return stripped


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
