"""Knobs of the backtest, and those that a sweep tries by it."""

from dataclasses import dataclass

from trainworks.config import Section, knob
from trainworks.supermegaretail.features.knobs import FeaturesConfig
from trainworks.supermegaretail.models.knobs import ModelConfig
from trainworks.supermegaretail.panel.knobs import PanelConfig


@dataclass(frozen=True)
class BacktestConfig(Section):
    """From when the backtest forecasts."""

    name = "backtest"

    origins: int = knob(4, "times from which the backtest forecasts; the newest is the test, the others choose", least=2, most=60)
    step: int = knob(4, "periods between two of them", least=1, most=60)


@dataclass(frozen=True)
class TrialConfig(FeaturesConfig, ModelConfig):
    """The knobs that a sweep may vary: all that decide how a model forecasts. What is forecast stays, or losses could not be compared."""

    name = "trial"

    covariates: str = knob(PanelConfig.covariates, "what a model is told beside sales, of that which the panel has")
