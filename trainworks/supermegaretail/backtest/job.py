"""Learning the model that ships as a SageMaker job."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainworks.config import Section
from trainworks.supermegaretail.models.knobs import Head, Targets
from trainworks.training.sagemaker_program import Program


@dataclass(frozen=True)
class FitConfig(Section):
    """What the model depends on beside the panel: the knobs of these names, and as ``models`` what `winner` says of them."""

    name = "fit"

    models: str
    features: str
    covariates: str
    history: int
    monotone: str
    horizon: int
    head: Head
    targets: Targets
    seed: int


def _fit(inputs: dict[str, Any], knobs: FitConfig, logs: Path, out: Path, resume: Path) -> None:
    """No checkpoint: a spot instance that is taken away costs minutes, and the seed makes the same model of another."""
    from trainworks.supermegaretail.backtest.learning import Inputs
    from trainworks.supermegaretail.backtest.shipped import ship

    learned_with = Inputs(knobs.features, knobs.covariates, knobs.monotone, knobs.horizon, knobs.seed, knobs.targets, knobs.history)
    ship(inputs["panel"], knobs.models, learned_with, knobs.head.value, out)


PROGRAM = Program(
    name="supermegaretail-fit",
    module=__name__,
    knobs=FitConfig,
    channels=("panel",),
    many=(),
    metrics=(),
    train=_fit,
)
