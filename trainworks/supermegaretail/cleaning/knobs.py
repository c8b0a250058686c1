"""Knobs of cleaning."""

from dataclasses import dataclass

from trainworks.config import Section, knob

RETURNS = ("gross", "net")


@dataclass(frozen=True)
class CleanConfig(Section):
    """From lines as delivered to lines that count."""

    name = "clean"

    timezone: str = knob(
        "",
        "where the stores are, such as Europe/Berlin: timestamps, which are UTC, become days there; empty: UTC, the sample's New York",
    )
    returns: str = knob("gross", "whether what comes back lessens demand: gross leaves it, net takes it from the sales before it")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.returns not in RETURNS:
            self.refuse("returns", f"expected one of {', '.join(RETURNS)}")
