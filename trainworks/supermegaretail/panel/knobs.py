"""Knobs of the panel."""

from dataclasses import dataclass

from trainworks.config import Section, knob
from trainworks.supermegaretail.features.languages import covariates
from trainworks.supermegaretail.panel.grain import grain, kept

ENGINES = ("duckdb", "spark")


@dataclass(frozen=True)
class PanelConfig(Section):
    """From lines of sales to series in periods."""

    name = "panel"

    grain: str = knob("store, product, week", "what a series is, and its period: keys, then day, week or month")
    keep: str = knob("series(10000)", "the most sold that are kept, such as series(1000) or product(300) + store(30); empty keeps all")
    covariates: str = knob("promotion@plan + price@plan + holiday@always + stock@past(1)", "what is known beside sales, and when it is")
    horizon: int = knob(4, "periods to forecast, counted from the origin", least=1, most=400)
    panel_on: str = knob("duckdb", "what the panel is made with: duckdb on one machine, spark on a cluster")

    def __post_init__(self) -> None:
        super().__post_init__()
        keys, _ = grain(self.grain)
        kept(self.keep, keys)
        covariates(self.covariates)
        if self.panel_on not in ENGINES:
            self.refuse("panel_on", f"expected one of {', '.join(ENGINES)}")
