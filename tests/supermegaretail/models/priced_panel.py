"""A drawn panel whose prices go their own way, so that their effect can be told from that of promotions."""

from dataclasses import replace

import numpy as np

from tests.supermegaretail.drawn_panel import draw_panel
from trainworks.supermegaretail.panel.panel import Panel


def draw_priced() -> Panel:
    """30 series of 2 to 60 units: display multiplies demand by e^0.7, mailer by e^0.5, and the elasticity is -1.8. One never sold."""
    drawn = draw_panel(products=10, stores=3)
    rng = np.random.default_rng(1)
    price = np.where(rng.random(drawn.sells.shape) < 0.3, 0.7, 1.0).astype(np.float32)
    effect = 0.7 * drawn.covariates["promotion.display"] + 0.5 * drawn.covariates["promotion.mailer"] - 1.8 * np.log(price)
    level = np.geomspace(2, 60, len(price))[:, None]
    demand = rng.poisson(level * np.exp(effect))[:, : drawn.known].astype(float)
    demand[np.isnan(drawn.demand)] = np.nan
    return replace(drawn, demand=demand, covariates={**drawn.covariates, "price": price})
