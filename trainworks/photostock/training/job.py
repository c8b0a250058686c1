"""Fine-tuning as a SageMaker job."""

from pathlib import Path
from typing import Any

from trainworks.photostock.training.knobs import TrainConfig
from trainworks.training.sagemaker_program import Program


def _finetune(inputs: dict[str, Any], knobs: TrainConfig, logs: Path, out: Path, resume: Path) -> None:
    from trainworks.photostock.training.train import finetune

    finetune(inputs["start"], inputs["dataset"], inputs["shards"], knobs, logs, out, resume)


PROGRAM = Program(
    name="photostock-finetune",
    module=__name__,
    knobs=TrainConfig,
    channels=("start", "dataset"),
    many=("shards",),
    metrics=("epoch", "train_loss", "val_loss", "val_R@1", "val_R@5", "val_R@10", "val_recall"),
    train=_finetune,
)
