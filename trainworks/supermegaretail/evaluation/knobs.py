"""Knobs of what wrong stock costs."""

from dataclasses import dataclass

from trainworks.config import Section, knob


@dataclass(frozen=True)
class CostConfig(Section):
    """What wrong stock costs; both together imply how much to order, shortage / (shortage + overstock) as a quantile."""

    name = "cost"

    shortage_cost: float = knob(0.5, "what a unit that a customer does not find costs, as a share of its price", above=0, most=1000)
    overstock_cost: float = knob(0.2, "what a unit that is left over costs, as a share of its price", above=0, most=1000)
