"""What a sweep reads of a trial, and which knobs it must not vary."""

import json

import pytest

from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.training import trial

HISTORY = [{"epoch": 0, "val_recall": 0.4, "best": False}, {"epoch": 1, "val_recall": 0.3, "best": True}]


def test_the_recall_is_that_of_the_weights_that_are_kept(tmp_path):
    """The best epoch's, not the untouched towers'; with a mixture, the one of its best share."""
    (tmp_path / "history.json").write_text(json.dumps(HISTORY))
    assert trial.validation(tmp_path) == 0.3
    (tmp_path / "mixture.json").write_text(json.dumps([{"share": 0.1, "val_recall": 0.42}, {"share": 1.0, "val_recall": 0.3}]))
    assert trial.validation(tmp_path) == 0.42


def test_the_winner_is_reported_beside_the_untouched_backbone(tmp_path):
    """By caption, on the test gallery."""
    measured = {model: {"text_to_image": {"R@10": recall}} for model, recall in {"finetuned": 0.3, "baseline": 0.1}.items()}
    (tmp_path / "metrics.json").write_text(json.dumps(measured))
    assert trial.tested(tmp_path) == (0.3, "test R@10 30.0 % (untouched 10.0 %)")


def test_trials_are_compared_on_the_same_pictures():
    """Where curation keeps pictures by their embeddings, knobs that change these may not vary; elsewhere they may."""
    visual = DataConfig(subsample="visual_cluster(5)")
    trial.check(["image", "learning_rate"], DataConfig())
    trial.check(["learning_rate"], visual)
    with pytest.raises(ValueError, match="different image would be measured on different pictures"):
        trial.check(["image", "learning_rate"], visual)
