"""What promotions and prices do to demand."""

from dataclasses import replace

import numpy as np
import pytest

from tests.supermegaretail.models.priced_panel import draw_priced
from trainworks.supermegaretail.features.recipe import learn
from trainworks.supermegaretail.models.effects import effects

SIGNS = {"price": -1, "promotion": 1}


@pytest.fixture(scope="module")
def panel():
    """Sales with known effects."""
    return draw_priced()


def test_effects_are_those_that_the_sales_were_drawn_with(panel):
    """Display, mailer and price, in every series that sold; promotion as a whole adds nothing to its kinds."""
    recipe = learn(panel, "lag(1)", "promotion@plan + price@plan", 4)
    learned = effects(panel, recipe, SIGNS)
    mean = {name: np.mean(effect) for name, effect in learned.items()}
    assert abs(mean["promotion"] + mean["promotion.display"] - 0.7) < 0.15
    assert abs(mean["promotion"] + mean["promotion.mailer"] - 0.5) < 0.15
    assert abs(mean["price"] + 1.8) < 0.4


def test_a_series_with_sales_of_its_own_moves_away_from_its_pool(panel):
    """One whose sales grow tenfold with its display, beside others that know no such thing."""
    demand = panel.demand.copy()
    shown = panel.covariates["promotion.display"][:, : panel.known] > 0
    demand[5] = np.where(shown[5], 500, 50)
    learned = effects(replace(panel, demand=demand), learn(panel, "lag(1)", "promotion@plan", 4), {})
    both = np.array(learned["promotion"]) + np.array(learned["promotion.display"])
    code = learn(panel, "lag(1)", "", 4).levels["series"].index("000\x1f0005") + 1
    assert both[code] > 2
    assert np.median(both) < 1.2


def test_an_effect_has_the_sign_that_monotone_gives(panel):
    """Demand that grows with its price has no effect of price, instead of a wrong one."""
    price = panel.covariates["price"][:, : panel.known]
    inverted = replace(panel, demand=np.where(np.isnan(panel.demand), np.nan, np.round(50 * price)))
    recipe = learn(panel, "lag(1)", "price@plan", 4)
    assert set(effects(inverted, recipe, SIGNS)["price"]) == {0.0}
    assert np.mean(effects(inverted, recipe, {})["price"]) > 0.5


def test_what_is_known_afterwards_only_has_no_effect(panel):
    """Nor has a panel without a plan any."""
    assert effects(panel, learn(panel, "lag(1)", "weather@past(1)", 4), {}) == {}
    assert effects(panel, learn(panel, "lag(1)", "", 4), {}) == {}


def test_sales_before_the_history_have_no_say(panel):
    """Whatever they were."""
    recipe, short = learn(panel, "lag(1)", "promotion@plan + price@plan", 4), 30
    before = np.arange(panel.known) < panel.known - short
    other = replace(panel, demand=np.where(before, panel.demand[:, ::-1], panel.demand))
    assert effects(other, recipe, SIGNS, short) == effects(panel, recipe, SIGNS, short)
    assert effects(other, recipe, SIGNS) != effects(panel, recipe, SIGNS)
