"""Knobs of what a bundle must reach to be released."""

from dataclasses import dataclass

from trainworks.config import Section, knob


@dataclass(frozen=True)
class GateConfig(Section):
    """What a bundle must reach to be released."""

    name = "gate"

    gates: str = knob(
        "gain >= 0, coverage <= 0.05, bias <= 0.2, regression <= 0.02, parity <= 1e-5, rejected <= 0.1, ordered >= 1, consistency >= 1, "
        "unknown >= 1",
        "what must hold for a release, such as gain >= 0.05, saved >= 0.1, price_up >= 0.99 waived",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        from trainworks.release.measures import parse
        from trainworks.supermegaretail.evaluation.measures import MEASURES

        parse(self.gates, MEASURES)
