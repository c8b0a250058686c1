"""Knobs of what a model is given."""

from dataclasses import dataclass

from trainworks.config import Section, knob
from trainworks.supermegaretail.features.languages import features


@dataclass(frozen=True)
class FeaturesConfig(Section):
    """What a model is given, and which way it may turn."""

    name = "features"

    features: str = knob(
        "lag(1, 2, 3, 4, 8) + mean(4, 8, 13) + std(13) + sold(13) + ewm(0.2) + trend(8) + peers(8) + since_sale + age + season"
        " + calendar + past(1, 2)",
        "features of the past, windows in periods",
    )
    history: int = knob(
        10_000, "the newest periods, whose sales a model learns from; features look back from each of them", least=2, most=10_000
    )
    monotone: str = knob("price: down, promotion: up", "covariates that demand may follow in one direction only")

    def __post_init__(self) -> None:
        super().__post_init__()
        features(self.features)
