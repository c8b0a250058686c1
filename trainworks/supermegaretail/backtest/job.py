"""Learning the model that ships as a SageMaker job."""

from pathlib import Path
from typing import Any

from trainworks.supermegaretail.models.knobs import FitConfig
from trainworks.training.sagemaker_program import Program


def _fit(inputs: dict[str, Any], knobs: FitConfig, logs: Path, out: Path, resume: Path) -> None:
    """No checkpoint: a spot instance that is taken away costs minutes, and the seed makes the same model of another."""
    from trainworks.supermegaretail.backtest.shipped import ship

    ship(inputs["panel"], knobs.models, knobs, knobs.head.value, out)


PROGRAM = Program(
    name="supermegaretail-fit",
    module=__name__,
    knobs=FitConfig,
    channels=("panel",),
    many=(),
    metrics=(),
    train=_fit,
)
