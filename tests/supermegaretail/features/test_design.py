"""The design matrix: what each column holds, what stands in gaps, and that nothing of it comes from after the origin."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.supermegaretail import toy_panel
from tests.supermegaretail.drawn_panel import COVARIATES, FEATURES, draw_panel
from trainworks.errors import DataError
from trainworks.supermegaretail.features.design import Design, design, gather
from trainworks.supermegaretail.features.known import Known
from trainworks.supermegaretail.features.languages import covariates
from trainworks.supermegaretail.features.pools import Shared
from trainworks.supermegaretail.features.recipe import Recipe, learn
from trainworks.supermegaretail.panel.panel import Panel, State

HORIZON = (1, 2, 3, 4)


@pytest.fixture
def panel() -> Panel:
    """Eighteen series in 80 weeks, and the plan of four more."""
    return draw_panel()


@pytest.fixture
def recipe(panel) -> Recipe:
    """All features and covariates, learned on the whole panel."""
    return learn(panel, FEATURES, COVARIATES, 4)


def row(made: Design, series: int, origin: int, step: int) -> dict[str, float]:
    """One row, by column."""
    (place,) = np.flatnonzero((made.series == series) & (made.origin == origin) & (made.step == step))
    return dict(zip(made.columns, made.values[place].tolist(), strict=True)) | {"target": made.target[place]}


def test_rows_are_series_origin_and_step_and_all_finite(panel, recipe):
    """Also of a series that was never sold."""
    made = design(panel, [60, 79], HORIZON, recipe)
    assert made.values.shape == (18 * 2 * 4, len(recipe.columns))
    assert made.values.dtype == np.float32
    assert np.isfinite(made.values).all()
    assert (made.scale > 0).all()
    assert list(made.origin[:5]) == [60, 60, 60, 60, 79]
    assert list(made.step[:5]) == [1, 2, 3, 4, 1]


def test_the_target_is_what_was_sold_so_many_steps_on(panel, recipe):
    """NaN where it is not known yet, or not demand."""
    made = design(panel, [29, 77], HORIZON, recipe)
    assert row(made, 3, 29, 2)["target"] == panel.demand[3, 31]
    assert np.isnan(row(made, 0, 29, 2)["target"])
    assert np.isnan(row(made, 3, 77, 3)["target"])
    learnable = design(panel, [29, 77], HORIZON, recipe, learnable=True)
    known = ~np.isnan(made.target)
    assert np.array_equal(learnable.values, made.values[known])
    assert np.array_equal(learnable.series, made.series[known])


def test_features_of_the_past_are_what_a_planner_would_compute(panel, recipe):
    """Series 0 was out of stock in weeks 30 to 32: they are passed over, not zeros."""
    sold = panel.demand[0]
    at = row(design(panel, [33], HORIZON, recipe), 0, 33, 2)
    assert at["lag(1)"] == sold[33]
    assert at["mean(4)"] == sold[33]
    assert at["mean(8)"] == pytest.approx(sold[[26, 27, 28, 29, 33]].mean())
    assert at["std(13)"] == pytest.approx(np.nanstd(sold[21:34]), rel=1e-5)
    assert at["quantile(26, 0.75)"] == pytest.approx(np.nanquantile(sold[8:34], 0.75), rel=1e-5)
    assert at["season(26)"] == sold[9]
    assert at["age"] == 31
    weeks = np.array([26, 27, 28, 29, 33])
    assert at["trend(8)"] == pytest.approx(np.polyfit(weeks, sold[weeks], 1)[0], rel=1e-4)
    level = weight = 0.0
    for units in sold[:34][~np.isnan(sold[:34])]:
        level, weight = 0.8 * level + 0.2 * units, 0.8 * weight + 0.2
    assert at["ewm(0.2)"] == pytest.approx(level / weight, rel=1e-6)


def test_since_sale_counts_periods(panel):
    """0 if the origin itself sold."""
    panel.demand[4, 60:63] = (5, 0, 0)
    made = design(panel, [60, 62], [1], learn(panel, "since_sale", "", 1))
    assert [row(made, 4, origin, 1)["since_sale"] for origin in (60, 62)] == [0, 2]


def test_a_gap_has_the_level_of_its_series_and_a_new_series_that_of_its_product(panel, recipe):
    """So that what was never sold is forecast like the same product elsewhere, not as 0."""
    made = design(panel, [31, 79], HORIZON, recipe)
    gap = row(made, 0, 31, 1)
    assert gap["lag(1)"] == pytest.approx(np.nanmean(panel.demand[0, 6:32]), rel=1e-6)
    new, others = row(made, 17, 79, 1), [row(made, place, 79, 1) for place in (5, 11)]
    assert new["age"] == 0
    for name in ("lag(1)", "mean(8)", "ewm(0.2)", "peers(8)", "quantile(26, 0.95)", "scale"):
        expected = np.mean([other["mean(8)" if name == "peers(8)" else name] for other in others])
        assert new[name] == pytest.approx(expected, rel=0.1 if name == "scale" else 1e-5)


def test_covariates_are_those_of_the_target(panel, recipe):
    """A promotion in step 3 is seen by step 3 alone."""
    before = design(panel, [79], HORIZON, recipe)
    planned = panel.covariates["promotion"].copy()
    planned[:, 82] = 1 - planned[:, 82]
    after = design(replace(panel, covariates={**panel.covariates, "promotion": planned}), [79], HORIZON, recipe)
    changed = (before.values != after.values).any(axis=1)
    assert set(before.step[changed]) == {3}
    assert changed.sum() == 18


def test_a_price_is_told_against_what_the_series_is_used_to(panel, recipe):
    """As the log of the ratio to the mean (of logs) of the last half year."""
    made = row(design(panel, [70], HORIZON, recipe), 2, 70, 3)
    prices = np.log(panel.covariates["price"][2].astype(np.float64))
    assert made["price"] == pytest.approx(prices[73] - prices[45:71].mean(), abs=1e-6)
    assert made["price.past(2)"] == pytest.approx(prices[69] - prices[45:71].mean(), abs=1e-6)


def test_without_a_plan_the_last_price_paid_stays(panel, recipe):
    """What was paid in the target's own period would say whether anything was sold."""
    paid = panel.covariates["price"].copy()
    unplanned = {name: values for name, values in panel.covariates.items() if name != "price"} | {"paid": paid}
    made = design(replace(panel, covariates=unplanned), [70], HORIZON, recipe)
    prices = np.log(paid[2].astype(np.float64))
    for step in HORIZON:
        assert row(made, 2, 70, step)["price"] == pytest.approx(prices[70] - prices[45:71].mean(), abs=1e-6)
    assert made.fallbacks["price"] == made.sells.sum()


def test_past_covariates_are_as_old_as_declared(panel, recipe):
    """stock@past(2) is that of the period before the origin, at every step."""
    made = design(panel, [70], HORIZON, recipe)
    assert {row(made, 2, 70, step)["stock"] for step in HORIZON} == {float(panel.covariates["stock"][2, 69])}
    assert row(made, 2, 70, 4)["weather"] == panel.covariates["weather"][2, 70]


def test_a_plan_that_ends_is_refused_or_falls_back_as_declared(panel):
    """By name, with period and number of series; what falls back is counted."""
    with pytest.raises(DataError, match=r"weather@plan has no value for 18 of 18 series in the period that starts on 2025-07-17"):
        design(panel, [79], HORIZON, learn(panel, "lag(1)", "weather@plan", 4))
    learned = design(panel.until(79), [76, 78], HORIZON, learn(panel, "lag(1)", "weather@plan", 4), learnable=True)
    assert learned.fallbacks == {"weather": 0}
    made = design(panel, [79], HORIZON, learn(panel, "lag(1)", "weather@plan(last)", 4))
    assert row(made, 2, 79, 4)["weather"] == panel.covariates["weather"][2, 79]
    assert made.fallbacks == {"weather": 72}
    panel.covariates["promotion"][:, 82:] = np.nan
    made = design(panel, [79], HORIZON, learn(panel, "lag(1)", "promotion@plan", 4))
    assert row(made, 2, 79, 4)["promotion"] == 0
    assert made.fallbacks == {"promotion": 36}


def test_a_base_is_what_would_have_been_sold_without_promotion(panel, recipe):
    """Demand over the effect that the recipe has learned."""
    lifted = replace(recipe, features="ewm(0.2) + base_ewm(0.2)", lift={"promotion.display": [np.log(2.0)] * 18})
    doubled = np.where(panel.covariates["promotion.display"][:, : panel.known] > 0, 2.0, 1.0)
    flat = replace(panel, demand=np.where(np.isnan(panel.demand), np.nan, 10.0 * doubled))
    made = design(flat, [79], [1], replace(lifted, columns=("scale", "ewm(0.2)", "base_ewm(0.2)")))
    assert np.allclose(made.column("base_ewm(0.2)"), 10.0, rtol=1e-6)
    assert (made.column("ewm(0.2)")[:-1] > 10.1).any()


def test_the_lift_of_a_target_is_the_sum_of_its_effects(panel, recipe):
    """Each by the code of the series, and that of 0 for a series that training did not see."""
    effects = [0.1, *np.linspace(0.2, 1.0, 17)]
    made = design(panel, [79], [1], recipe.lifted({"promotion.display": effects}))
    by_code = np.array(effects)[made.column("series").astype(int)]
    assert np.allclose(made.column("lift"), by_code * made.column("promotion.display"))
    assert (made.column("series") == 0).any()


def test_unknown_levels_have_code_0(panel, recipe):
    """A store, product or category that training did not see."""
    columns = {name: panel.series[name] for name in panel.series.column_names if name != "category"}
    stranger = replace(panel, series=pa.table({**columns, "store": pa.array(["999"] * 18)}))
    made = row(design(stranger, [79], [1], recipe), 2, 79, 1)
    assert (made["store"], made["category"], made["series"]) == (0, 0, 0)
    assert made["product"] == recipe.levels["product"].index("0002") + 1


def test_a_recipe_goes_through_json_and_learns_scaling(panel, recipe):
    """As features.json of a bundle."""
    made = design(panel, [60], HORIZON, recipe)
    scaled = recipe.scaled(made)
    assert Recipe.from_json(json.loads(json.dumps(scaled.to_json()))) == scaled
    normal = (made.values - np.array(scaled.center)) / np.array(scaled.spread)
    assert np.abs(normal.mean(axis=0)).max() < 1e-3


def test_columns_that_cannot_differ_are_left_out(panel):
    """A kind of promotion that never ran, a season longer than the history, a year's place in less than a year."""
    short = panel.until(30, 4)
    short.covariates["promotion.mailer"][:, :31] = 0
    columns = learn(short, "season + calendar + lag(1)", "promotion@plan", 4).columns
    assert columns == ("step", "scale", "lag(1)", "promotion", "promotion.display", "series", "store", "product", "category", "size")


def test_an_event_that_all_had_once_is_left_out(panel):
    """Its effect would be that of whatever else happened in that week; one that came back, or that some had, stays."""
    once, twice, some = (np.zeros(panel.sells.shape, np.float32) for _ in range(3))
    once[:, 20:22] = twice[:, [20, 40]] = some[:5, 20] = 1
    events = {"holiday.fair": once, "holiday.Easter": twice, "holiday.local": some}
    made = learn(replace(panel, covariates=panel.covariates | events), "lag(1)", "holiday@plan", 4)
    assert [name for name in made.columns if name in events] == ["holiday.Easter", "holiday.local"]


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), origin=st.integers(8, 76), appended=st.integers(0, 30))
def test_nothing_after_the_origin_reaches_a_row(seed, origin, appended):
    """Scrambled and longer sales, states and past covariates after the origin leave every bit as it was; so do plans beyond the target."""
    panel = draw_panel()
    recipe = learn(panel, FEATURES, COVARIATES, 4)
    recipe = recipe.lifted({"promotion.display": [0.7] * 18, "price": [-1.8] * 18})
    before = design(panel, [origin], HORIZON, recipe)
    after = design(scrambled(panel, origin, appended, seed), [origin], HORIZON, recipe)
    assert np.array_equal(before.values, after.values)
    cut = design(panel.until(origin, 4), [origin], HORIZON, recipe)
    assert np.array_equal(before.values, cut.values)


@settings(max_examples=10)
@given(cuts=st.sets(st.integers(1, 17)), without=st.sets(st.integers(0, 17)))
def test_shards_have_the_rows_of_the_whole_panel(cuts, without):
    """Bit by bit, if each knows what all share, which passes through JSON; series that never sold are forecast from other shards too."""
    drawn = draw_panel()
    demand = drawn.demand.copy()
    demand[sorted(without)] = np.nan
    panel = replace(drawn, demand=demand)
    recipe = learn(drawn, FEATURES, COVARIATES, 4).lifted({"promotion.display": [0.7] * 18, "price": [-1.8] * 18})
    shards = [panel.take(rows) for rows in np.split(np.arange(18), sorted(cuts))]
    shared = Shared.from_json(json.loads(json.dumps(gather(shards, [60, 79], recipe).to_json(), allow_nan=False)))
    rows = [design(shard, [60, 79], HORIZON, recipe, shared=shared).values for shard in shards]
    assert np.array_equal(np.concatenate(rows), design(panel, [60, 79], HORIZON, recipe).values)


def scrambled(panel: Panel, origin: int, appended: int, seed: int) -> Panel:
    """*panel*, other after *origin* in all that is not known there, and longer."""
    rng = np.random.default_rng(seed)
    count, known, periods = len(panel.sells), panel.known + appended, panel.sells.shape[1] + appended

    def after(values: np.ndarray, length: int, first: int, noise: np.ndarray) -> np.ndarray:
        longer = np.concatenate([values, np.zeros((count, length - values.shape[1]), values.dtype)], axis=1)
        longer[:, first:] = noise[:, first:]
        return longer

    planned = ("promotion", "promotion.display", "promotion.mailer", "price", "holiday", "holiday.Easter")
    covariates = {
        name: after(values, periods, origin + 5 if name in planned else origin + 1, rng.lognormal(0, 2, (count, periods)))
        for name, values in panel.covariates.items()
    }
    covariates["paid"] = np.full((count, periods), np.nan, np.float32)
    covariates["paid"][:, origin + 1 :] = 77
    demand = after(panel.demand, known, origin + 1, np.where(rng.random((count, known)) < 0.3, np.nan, rng.lognormal(5, 2, (count, known))))
    return replace(
        panel,
        starts=panel.starts[0] + 7 * np.arange(periods) * np.timedelta64(1, "D"),
        demand=demand,
        state=after(panel.state, known, origin + 1, rng.integers(0, 5, (count, known)).astype(np.uint8)),
        sells=np.ones((count, periods), bool),
        covariates=covariates,
    )


def test_sells_says_which_forecasts_are_zero(panel, recipe):
    """A target that is closed or not listed."""
    made = design(panel, [49], HORIZON, recipe)
    closed = made.step == 2
    assert not made.sells[closed].any()
    assert made.sells[(made.step == 3) & (made.series < 17)].all()
    assert panel.state[2, 51] == State.CLOSED


def test_a_price_without_a_plan_is_that_before_the_offer():
    """An offer's price ends with it: without a plan the one before it stays, and that of a series never without an offer is its last."""
    panel = toy_panel.panel(stores=1, products=2, known=30, planned=4)
    price, promotion = np.full((2, 34), np.nan, np.float32), np.zeros((2, 34), np.float32)
    price[:, :30], price[0, 27:30], price[1, 29] = 4, 3, 3
    promotion[0, 27:30], promotion[1, :30] = 1, 1
    panel = replace(panel, covariates={"price": price, "promotion": promotion})
    known = Known(panel, {})
    (covariate,) = covariates("price@plan")
    ahead = known.at_targets("price", covariate, np.array([29]), np.array([1, 4]))[:, 0]
    usual = np.log(price[:, 4:30]).mean(axis=1)
    assert ahead == pytest.approx(np.log([[4, 4], [3, 3]]) - usual[:, None], abs=1e-5)
