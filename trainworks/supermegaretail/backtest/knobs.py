"""Knobs of the backtest."""

from dataclasses import dataclass

from trainworks.config import Section, knob


@dataclass(frozen=True)
class BacktestConfig(Section):
    """From when the backtest forecasts."""

    name = "backtest"

    origins: int = knob(4, "times from which the backtest forecasts; the newest is the test, the others choose", least=2, most=60)
    step: int = knob(4, "periods between two of them", least=1, most=60)
