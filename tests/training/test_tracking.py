"""A run can be followed in TensorBoard and MLflow, and neither can stop it."""

import logging
import os
import re
import socket
import sys
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from trainworks.training import tracking

METRIC = "val_R@10"
KNOBS = {"learning_rate": 0.001, "tune": "*=1", "epochs": 4, "precision": None}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """No MLflow but that of the test, and every variable as it was afterwards."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    for name in ("TRACKING_URI", "TRACKING_USERNAME", "TRACKING_PASSWORD", "HTTP_REQUEST_MAX_RETRIES", "HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(f"MLFLOW_{name}", "to be restored")
        monkeypatch.delenv(f"MLFLOW_{name}")


def events(folder):
    """What TensorBoard reads back from *folder*."""
    read = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    read.Reload()
    return read


@pytest.fixture
def loggers():
    """What `tracking.loggers` gives; TensorBoard's writers are closed at the end, before their folders go."""
    opened = []

    def loggers(*arguments):
        opened.append(made := tracking.loggers(*arguments, METRIC))
        return made

    yield loggers
    for board, *_ in opened:
        board.finalize("success")


def test_tensorboard_has_scalars_images_and_knobs(tmp_path, loggers):
    """The knobs are hyper-parameters from the start, beside the metric that the room names; scalars and one grid of images follow."""
    board, *_ = loggers(tmp_path, "a run", KNOBS)
    assert events(tmp_path).Tags()["scalars"] == []
    board.log_metrics({METRIC: 0.25, "train_loss": 2.0, "epoch": 1}, step=3)
    tracking.show([board], "samples", np.full((5, 8, 8, 3), 200, np.uint8), step=0)
    board.finalize("success")
    seen = events(tmp_path)
    assert seen.Tags()["scalars"] == ["R@10/val", "loss/train"], "grouped by what is measured, and no chart of the epoch"
    assert [(event.step, event.value) for event in seen.Scalars("R@10/val")] == [(3, 0.25)]
    assert [image.step for image in seen.Images("samples")] == [0]
    plugin = seen.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    hparams = HParamsPluginData.FromString(plugin).session_start_info.hparams
    assert (
        hparams["learning_rate"].number_value == 0.001
        and hparams["tune"].string_value == "*=1"
        and hparams["precision"].string_value == "None"
    )
    table = HParamsPluginData.FromString(seen.summary_metadata["_hparams_/experiment"].plugin_data.content).experiment
    assert [metric.name.tag for metric in table.metric_infos] == ["R@10/val"]


def test_a_run_is_shown_by_its_name_and_what_is_not_as_usual():
    """An experiment by its file's name, a trial by its setting; what no folder is called becomes a line."""
    defaults = {"learning_rate": 0.01, "tune": "*=1", "epochs": 4}
    name = tracking.folder_name("nightly run", defaults | {"learning_rate": 0.003, "tune": "a/b > c=1"}, defaults)
    assert re.fullmatch(r"\d{8}-\d{6}-nightly_run_learning_rate=0.003_tune=a_b_c=1", name)
    assert re.fullmatch(r"\d{8}-\d{6}", tracking.folder_name("", defaults, defaults))
    assert len(tracking.folder_name("x" * 999, defaults, defaults)) < 150


def test_without_the_variable_there_is_only_tensorboard(tmp_path, loggers):
    """MLflow is not even imported."""
    assert len(loggers(tmp_path, "a run", KNOBS)) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_mlflow_has_knobs_and_metrics(tmp_path, monkeypatch, loggers):
    """Knobs as parameters, metrics by step (R@10 as R_at_10), and a run that is finished."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    _, mlflow = loggers(tmp_path / "board", "a run", KNOBS)
    mlflow.log_metrics({METRIC: 0.25}, step=3)
    mlflow.finalize("success")
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    run = client.get_run(mlflow.version)
    assert (run.info.run_name, run.info.status) == ("a run", "FINISHED")
    assert run.data.params == {name: str(value) for name, value in KNOBS.items()}
    assert [(m.step, m.value) for m in client.get_metric_history(mlflow.version, "val_R_at_10")] == [(3, 0.25)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_down_costs_a_warning(tmp_path, monkeypatch, caplog, capsys, loggers):
    """Nobody listens at the port: one warning, soon, without user or password, and logging goes on as if nothing were."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:s3%40cret@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    start = time.monotonic()
    with caplog.at_level(logging.DEBUG):
        _, mlflow = loggers(tmp_path, "a run", KNOBS)
        mlflow.log_metrics({"val_loss": 1.0}, step=1)
        mlflow.finalize("success")
    assert time.monotonic() - start < 60
    warned = [record for record in caplog.records if record.name == "trainworks.training.tracking"]
    assert len(warned) == 1 and "training goes on" in warned[0].message
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s3@cret"
    assert not any(secret in caplog.text + capsys.readouterr().out for secret in ("s3@cret", "s3%40cret", "ada:"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_store_that_cannot_be_opened_costs_a_warning(tmp_path, monkeypatch, caplog, loggers):
    """A database where there is no folder, or a scheme that nobody knows: TensorBoard is left."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://ada:s3cret@nowhere")
    assert len(loggers(tmp_path, "a run", KNOBS)) == 1
    assert "training goes on" in caplog.text and "s3cret" not in caplog.text


def test_mlflow_that_is_not_installed_is_said(tmp_path, monkeypatch, loggers):
    """Who sets the variable is told what to install."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ModuleNotFoundError, match=r"trainworks\[cloud\]"):
        loggers(tmp_path, "a run", KNOBS)
