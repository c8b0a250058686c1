"""Whatever net a room brings: stopped and run again it ends with the same weights, and its best ones are kept."""

import logging

import pytest
import torch

from tests.training import toy_net
from trainworks.errors import Interrupted
from trainworks.training import checkpoints, lightning

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own


@pytest.fixture
def train(tmp_path):
    """Train a line for three epochs, with checkpoints in the folder *resume*; gives the learner."""

    def train(resume, devices=1, **how):
        plan = lightning.Plan(3, devices, "32-true", tmp_path / resume, "1f", tmp_path / "logs", {"rate": 0.05}, "val_error")
        parts = toy_net.parts(**how)
        lightning.train(parts, plan, plan.files(), toy_net.parts, tmp_path)
        return parts.learner

    return train


@pytest.mark.parametrize("stop", [1, 5, 7])
def test_a_stopped_training_goes_on_to_the_same_weights(train, stop, caplog):
    """After a step in an epoch or its last one: dropout, optimiser, loader and history go on as if nothing had been."""
    whole = train("whole")
    with pytest.raises(Interrupted, match=f"after step {stop}: run it again"):
        train("resume", stop=stop)
    with caplog.at_level(logging.INFO, "trainworks"):
        resumed = train("resume")
    assert "goes on from" in caplog.text
    assert resumed.global_step == whole.global_step == 15
    assert resumed.history == whole.history
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in resumed.state_dict().items() if name in resumed.learning)


def test_the_last_epoch_is_saved_only_if_long_ago_nothing_was(train, tmp_path, monkeypatch):
    """The outcome is what it would hold: of three epochs two are saved, unless seconds enough have passed."""
    train("short")
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    train("long")
    short, long = (lightning.Files(tmp_path / folder, "1f") for folder in ("short", "long"))
    assert [max(checkpoints.step(path, "1f") for path in files.folder.glob("*.ckpt")) for files in (short, long)] == [10, 15]


def test_a_checkpoint_holds_what_learns(train, tmp_path):
    """And neither what is frozen nor what is not plain: the frozen layer is the one the net was built with."""
    with pytest.raises(Interrupted):
        train("resume", stop=7)
    content = lightning.Files(tmp_path / "resume", "1f").load_checkpoint(next((tmp_path / "resume").glob("*.ckpt")))
    assert content["state_dict"].keys() == content["learner"]["best"].keys() == {"line.weight", "line.bias"}
    assert [row["epoch"] for row in content["learner"]["history"]] == [0, 1]


def test_the_best_weights_are_those_of_the_lowest_error(train):
    """Where lower is better; with a rate that overshoots the last epoch is not the best, and patience ends the run."""
    learner = train("best", rate=1.5, patience=1)
    errors = [row["val_error"] for row in learner.history[1:]]
    rows = learner.marked_history()
    assert [row["best"] for row in rows] == [False, *(error == min(errors) for error in errors)]
    assert len(errors) == min(3, errors.index(min(errors)) + 2)
    x, y = toy_net.points(1_000).T
    assert float((x * learner.best["line.weight"] + learner.best["line.bias"] - y).abs().mean()) == pytest.approx(min(errors))


@pytest.mark.slow
def test_two_ranks_hand_back_what_they_reached(train):
    """Best weights and history come to the process that launched them; both rows and weights are near those of one device."""
    one, two = train("one"), train("two", devices=2)
    assert [row["epoch"] for row in two.history] == [0, 1, 2, 3]
    assert two.history[-1]["val_error"] == pytest.approx(one.history[-1]["val_error"], rel=0.3)
    assert two.best.keys() == one.best.keys()
