"""Knobs of what a bundle must reach to be released."""

from dataclasses import dataclass

from trainworks.config import Section, knob


@dataclass(frozen=True)
class GateConfig(Section):
    """What a bundle must reach to be released."""

    name = "gate"

    gates: str = knob(
        "queries >= 50, lift >= 2, sure_gain >= 0, lost <= 0.02, forgetting <= 0.1, parity <= 1e-5, rejected <= 0.1, "
        "consistency >= 1, flip >= 0.7, rotation >= 0.6, reencoding >= 0.8, rescaling >= 0.8",
        "what must hold for a release, such as recall >= 0.25, lost <= 0.02, flip >= 0.9 waived",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        from trainworks.photostock.evaluation.measures import MEASURES
        from trainworks.release.measures import parse

        parse(self.gates, MEASURES)
