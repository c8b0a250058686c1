"""Several devices train what one does: the same loss and gradients, the same weights, and on from where SIGTERM stopped them."""

import json
import os
import signal
import threading
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.photostock.training import toy_steps
from trainworks.errors import Interrupted
from trainworks.photostock.training import train
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.training import ranks

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Lightning's and timm's own

KNOBS = {
    "image": "squash(32)",
    "augment_image": "flip",
    "tune": "logit_scale=1, *.head=1, image.norms=0, image.last(1)=0.1@2, *=0",
    "loss": "clip + 0.1*siglip + 0.2*distill + 0.5*tags + 3*invariance",
    "average": "ema(0.9) > wise",
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.003,
}
"""All that learns without dropout: a part that thaws later, every loss, averaged weights."""


@pytest.fixture(scope="module")
def finetune(untouched, shards, dataset, tmp_path_factory):
    """Fine-tune into a folder of that name; gives it."""
    base = tmp_path_factory.mktemp("devices")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(base / "artifacts"))

    def finetune(name, **changed):
        out = base / name
        out.mkdir(exist_ok=True)
        train.finetune(untouched, dataset, shards, TrainConfig(**{**KNOBS, **changed}), out / "logs", out, out / "resume")
        return out

    yield finetune
    monkeypatch.undo()


def weights(folder):
    """All of a checkpoint's, as one vector."""
    return torch.cat([value.float().flatten() for _, value in sorted(load_file(folder / "weights.safetensors").items())])


def history(folder):
    """A row per epoch."""
    return json.loads((folder / "history.json").read_text())


def test_two_ranks_have_the_loss_and_gradients_of_one_with_the_joined_batch(tmp_path):
    """Of every term, with captions that stand in both parts: equal to a few roundings of float32, on both ranks."""
    toy_steps.steps(ranks.ALONE, tmp_path)
    ranks.launch(2, toy_steps.steps, tmp_path, scratch=tmp_path)
    for number, loss in enumerate(toy_steps.LOSSES):
        alone, *both = (load_file(tmp_path / f"{number} {name}") for name in ("0 of 1", "0 of 2", "1 of 2"))
        assert alone.keys() >= {"loss", "model.logit_scale", "model.visual.head.proj.weight", "model.text.proj.weight"}
        for rank in both:
            assert rank.keys() == alone.keys()
            apart = {name: float((rank[name] - alone[name]).abs().max() / alone[name].abs().max()) for name in alone}
            print(f"two-rank difference, relative, {loss}: loss {apart.pop('loss'):.1e}, gradients {max(apart.values()):.1e}")
            assert max(apart.values()) < 2e-5
            torch.testing.assert_close(rank["loss"], alone["loss"], rtol=1e-6, atol=0)
            assert all(torch.equal(rank[name], both[0][name]) for name in rank)


def test_two_devices_train_what_one_does_even_when_stopped(untouched, finetune, caplog):
    """SIGTERM comes while they train: a checkpoint within seconds, and a retry goes on from there. Through a thaw, every loss, the
    average and the mixture, what then differs from one device is small beside what was learned."""
    one = finetune("one")
    resume = one.parent / "two" / "resume"
    sent = []

    def stop():
        while not list(resume.glob("*.ckpt")):
            time.sleep(0.005)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        threading.Thread(target=stop, daemon=True).start()
        with pytest.raises(Interrupted, match="run it again"):
            finetune("two", devices=2)
        print(f"SIGTERM to the end of all ranks: {time.monotonic() - sent[0]:.1f} s")
        assert time.monotonic() - sent[0] < 60
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not (resume.parent / "weights.safetensors").exists()
    with caplog.at_level("INFO", "trainworks"):
        two = finetune("two", devices=2)
    assert any("goes on from" in message for message in caplog.messages)

    start, single, double = (weights(folder) for folder in (untouched, one, two))
    apart = float((double - single).norm() / (single - start).norm())
    print(f"weights of two devices: {apart:.1e} of the way that training went apart from those of one")
    assert apart < 0.001
    for alone, together in zip(history(one)[1:], history(two)[1:], strict=True):
        for name in ("train_loss", "val_loss"):
            assert together[name] == pytest.approx(alone[name], rel=1e-4)
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}


def test_batch_norm_that_learns_is_refused_without_gpus(finetune):
    """Its statistics would be those of a part of the batch; the message says what to do, and doing that works."""
    with pytest.raises(ValueError, match=r"--devices = 2: batch norm learns \(visual.*\), .* image.norms=0 as first rule"):
        finetune("live", devices=2, tune="*=0.1")


def test_a_batch_that_cannot_be_shared_is_refused():
    """Before anything runs."""
    with pytest.raises(ValueError, match=r"--devices = 3: share every batch evenly, and --batch_size = 16"):
        TrainConfig(**{**KNOBS, "devices": 3})


def test_more_devices_than_gpus_are_refused(finetune, monkeypatch):
    """By the training itself, which knows the machine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"--devices = 2: this machine has 1 GPU: lower it"):
        finetune("many", devices=2)
