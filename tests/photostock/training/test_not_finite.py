"""A loss or a gradient that is no number stops training: it says where, and the best weights are kept."""

import logging
import math

import pytest
import torch

from trainworks.errors import TrainingError
from trainworks.photostock.model import towers
from trainworks.photostock.training import train
from trainworks.photostock.training.finetuner import Finetuner
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.photostock.training.losses import Loss
from trainworks.training import checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Lightning's and timm's own

KNOBS = {"image": "squash(32)", "average": "", "tune": "logit_scale=1, *.head=1, *=0", "epochs": 2, "batch_size": 16, "learning_rate": 0.01}
STEP = 5
"""In the second epoch of four steps each."""


def poison(monkeypatch, fault: str) -> None:
    """From step 5 on, every loss is NaN, or finite with a gradient that is not."""
    calls, compute = iter(range(1000)), Loss.__call__

    def poisoned(self, *args, **kwargs):
        values = compute(self, *args, **kwargs)
        if next(calls) >= STEP:
            loss = values["loss"]
            # √x at 0 is 0 and infinitely steep.
            values["loss"] = loss * math.nan if fault == "loss" else loss + torch.sqrt(loss - loss.detach())
        return values

    monkeypatch.setattr(Loss, "__call__", poisoned)


@pytest.mark.parametrize(("fault", "says"), [("loss", "loss is nan"), ("gradient", r"norm of the gradient is (inf|nan)")])
def test_training_stops_with_step_and_ids_and_keeps_the_best(fault, says, untouched, dataset, shards, tmp_path, monkeypatch, caplog):
    """In the second epoch: the message names the pictures of that step; the checkpoint has the finite weights of the first."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))
    poison(monkeypatch, fault)
    seen = []
    start = Finetuner.on_train_batch_start
    ids_of = lambda tuner: tuner.trainer.train_dataloader.ids_of(tuner.global_step)  # noqa: E731
    monkeypatch.setattr(
        Finetuner, "on_train_batch_start", lambda tuner, *args: (seen.append((tuner.global_step, ids_of(tuner))), start(tuner, *args))[1]
    )
    out = tmp_path / "out"
    out.mkdir()
    with caplog.at_level(logging.ERROR), pytest.raises(TrainingError, match=says) as stopped:
        train.finetune(untouched, dataset, shards, TrainConfig(**KNOBS), tmp_path / "logs", out, tmp_path / "resume")
    assert f"at epoch 2, step {STEP}" in str(stopped.value)
    step, ids = seen[-1]
    assert step == STEP and len(ids) == KNOBS["batch_size"] and ", ".join(ids) in str(stopped.value)
    assert "the best weights so far stay with the checkpoints" in caplog.text
    assert not (out / "weights.safetensors").exists()
    (kept,) = (tmp_path / "resume").iterdir()
    key = kept.read_bytes().split(b"\n")[0].split()[1].decode()
    best = checkpoints.read(kept, key)["learner"]["best"]
    before = towers.read(untouched).model.state_dict()
    assert len(best) == 3 and all(torch.isfinite(value).all() for value in best.values())
    assert any(not torch.equal(value, before[name.removeprefix("model.")]) for name, value in best.items())
