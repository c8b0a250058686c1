"""What a gate may ask of a run."""

from trainworks.photostock.evaluation.checks import BEHAVIOUR
from trainworks.release.measures import Measure

MEASURES: dict[str, Measure] = {
    "recall": Measure("at least", "text-to-image R@10 on the test gallery", unit="share"),
    "gain": Measure("at least", "R@10 gained over the untouched backbone", least=-1, unit="points"),
    "queries": Measure("at least", "queries of the test, by caption", most=1e12, unit="queries"),
    "lift": Measure(
        "at least", "how many times as much as by chance R@10 surely is (the lower end of its 95 % interval)", most=1e12, unit="times"
    ),
    "sure_gain": Measure(
        "at least", "R@10 surely gained over the untouched backbone (the lower end of the 95 % interval)", least=-1, unit="points"
    ),
    "lost": Measure("at most", "R@10 lost against the current release", least=-1, unit="points"),
    "regression": Measure(
        "at most", "R@10 surely lost against the current release (the lower end of the 95 % interval)", least=-1, unit="points"
    ),
    "forgetting": Measure("at most", "R@10 that the worst kind of query lost against the untouched backbone", least=-1, unit="points"),
    "preference": Measure(
        "at least", "share of queries for which people prefer what this model finds; the same, and both bad, count half", unit="share"
    ),
    "parity": Measure("at most", "largest absolute difference between the torch and the ONNX encoders", unit="parts"),
    "int8_loss": Measure("at most", "R@10 that the worse 8-bit encoder in the bundle loses against fp32", least=-1, unit="points"),
    "rejected": Measure("at most", "share of the catalogue's pictures that prepare rejected", unit="share"),
    **{name: Measure("at least", meaning, unit="share") for name, meaning in BEHAVIOUR.items()},
}
"""Measure → what a gate on it means. Recalls and rates are shares, 0 to 1."""
