"""What a gate may ask of a run."""

from trainworks.release.measures import Measure
from trainworks.supermegaretail.evaluation.checks import BEHAVIOUR

MEASURES: dict[str, Measure] = {
    "gain": Measure(
        "at least", "share of the best baseline's loss that is surely saved (the lower end of its 95 % interval)", least=-10, unit="share"
    ),
    "saved": Measure("at least", "share of the best baseline's cost of wrong stock that is surely saved", least=-10, unit="share"),
    "pinball": Measure("at most", "pinball loss in units, mean over the quantiles, at the test origin", most=1e12, unit="units"),
    "coverage": Measure(
        "at most", "by how much the share of sales below a quantile surely misses its level, for the worst quantile", unit="points"
    ),
    "bias": Measure("at most", "how much more or less is expected than sold, as a share of what was sold", most=10, unit="share"),
    "regression": Measure(
        "at most", "share of the current release's loss that is surely lost against it", least=-10, most=10, unit="share"
    ),
    "parity": Measure("at most", "largest relative difference between the trained model and its ONNX file", unit="parts"),
    "rejected": Measure("at most", "share of the lines of sales that were rejected", unit="share"),
    **{name: Measure("at least", meaning, unit="share") for name, meaning in BEHAVIOUR.items()},
}
"""Measure → what a gate on it means. Rates and shares are of 1."""
