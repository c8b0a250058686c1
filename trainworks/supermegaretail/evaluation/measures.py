"""What a gate may ask of a run."""

from trainworks.release.measures import Measure
from trainworks.supermegaretail.evaluation.checks import BEHAVIOUR

MEASURES: dict[str, Measure] = {
    "gain": Measure("at least", "share of the best baseline's loss that is surely saved (the lower end of its 95 % interval)", least=-10),
    "saved": Measure("at least", "share of the best baseline's cost of wrong stock that is surely saved", least=-10),
    "pinball": Measure("at most", "pinball loss in units, mean over the quantiles, at the test origin", most=1e12),
    "coverage": Measure("at most", "by how much the share of sales below a quantile surely misses its level, for the worst quantile"),
    "bias": Measure("at most", "how much more or less is expected than sold, as a share of what was sold", most=10),
    "regression": Measure("at most", "share of the current release's loss that is surely lost against it", least=-10, most=10),
    "parity": Measure("at most", "largest relative difference between the trained model and its ONNX file"),
    "rejected": Measure("at most", "share of the lines of sales that were rejected"),
    **{name: Measure("at least", meaning) for name, meaning in BEHAVIOUR.items()},
}
"""Measure → what a gate on it means. Rates and shares are of 1."""
