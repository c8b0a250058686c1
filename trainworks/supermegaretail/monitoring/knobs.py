"""Knobs of when a forecaster that is at work is trained anew."""

from dataclasses import dataclass

from trainworks.config import Section, knob
from trainworks.supermegaretail.features.knobs import FeaturesConfig


@dataclass(frozen=True)
class WatchConfig(Section):
    """How much worse than promised, for how long."""

    name = "watch"

    tolerance: float = knob(
        0.1, "how much less than in the backtest the gain over the baseline may be, in shares of its loss", least=0, most=10
    )
    patience: int = knob(3, "periods in a row that are surely worse, after which to retrain", least=1, most=52)
    cooldown: int = knob(4, "periods after a retraining without another", least=0, most=400)
    history: int = knob(
        FeaturesConfig.history, "the newest periods that a retraining learns from, at most: few after a break", least=2, most=10_000
    )
