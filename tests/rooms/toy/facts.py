"""What the toy tells the hall."""

from trainworks.release.measures import Measure

PIPELINE = "toy"
PACKAGES = ("numpy",)
MODEL = ("line.json",)

MEASURES = {
    "error": Measure("at most", "mean absolute error on the points held out", most=1000),
    "gain": Measure("at least", "how much less that is than the mean's", least=-1000, most=1000),
}
