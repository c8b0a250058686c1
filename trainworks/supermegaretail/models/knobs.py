"""Knobs of the models."""

from dataclasses import dataclass
from enum import Enum

from trainworks.config import Section, knob
from trainworks.supermegaretail.features.knobs import FeaturesConfig
from trainworks.supermegaretail.features.languages import covariates, monotone


class Head(Enum):
    """What gives the quantiles."""

    CHOOSE = "choose"
    NEGATIVE_BINOMIAL = "negative_binomial"
    LOG_RESIDUAL = "log_residual"
    EMPIRICAL = "empirical"


class Targets(Enum):
    """What the models learn to forecast."""

    TRUE = "true"
    SHUFFLED = "shuffled"


@dataclass(frozen=True)
class ModelConfig(Section):
    """What is tried."""

    name = "model"

    models: str = knob(
        "empirical(52) + exponential_smoothing + lift_smoothing + promotion_regression + boosting + lstm"
        " + average(lift_smoothing, boosting) + average(boosting, lstm) + average(lift_smoothing, promotion_regression, boosting)",
        "models that the backtest compares; the best ships. Names and numbers, such as moving_average(8), and averages of those named",
    )
    head: Head = knob(Head.CHOOSE, "what makes quantiles of a mean: choose takes the one that fits a model's forecasts best")
    targets: Targets = knob(Targets.TRUE, "shuffled learns from wrong sales: the models must lose to the baselines")
    seed: int = knob(1, "seed of every random choice in models", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        from trainworks.supermegaretail.models.language import AVERAGE, FAMILIES, models

        tried = models(self.models)
        if not any(model.family != AVERAGE and FAMILIES[model.family].baseline for model in tried):
            self.refuse("models", "needs a baseline to compare with, such as empirical(52) or exponential_smoothing")


@dataclass(frozen=True)
class Inputs(Section):
    """What the models of a run get beside the panel: knobs under their own names, whose owners have their bounds and defaults.

    ``history`` is how many of the newest periods have the sales that are learned.
    """

    name = "inputs"

    features: str
    covariates: str
    monotone: str
    horizon: int
    seed: int
    targets: Targets = Targets.TRUE
    history: int = FeaturesConfig.history

    @property
    def signs(self) -> dict[str, int]:
        """-1 or +1 by covariate."""
        return monotone(self.monotone, covariates(self.covariates))


@dataclass(frozen=True, kw_only=True)
class FitConfig(Inputs):
    """The same for the model that ships: ``models`` is what `winner` says of them, ``head`` what gives its quantiles."""

    name = "fit"

    models: str
    head: Head
