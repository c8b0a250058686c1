"""Losses, in units and in money, with their intervals."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.errors import DataError
from trainworks.supermegaretail.evaluation import losses
from trainworks.supermegaretail.evaluation.losses import Costs
from trainworks.supermegaretail.evaluation.rows import of, paired
from trainworks.supermegaretail.quantiles import COLUMNS, QUANTILES, at

COSTS = Costs(shortage=3, overstock=1)


def table(actual, quantiles, mean=None, series=5, origin="2024-03-04"):
    """Forecasts of *series* series one after the other, as ``backtest.parquet`` has them."""
    count = len(actual)
    quantiles = np.broadcast_to(quantiles, (count, len(QUANTILES)))
    return pa.table(
        {
            "store": [f"{row % series:02d}" for row in range(count)],
            "product": ["A"] * count,
            "origin": np.full(count, origin, "datetime64[D]"),
            "start": np.datetime64(origin, "D") + 7 * (1 + np.arange(count) // series),
            "model": ["naive"] * count,
            "mean": np.full(count, 1.0) if mean is None else np.asarray(mean, float),
            **{name: quantiles[:, k].astype(float) for k, name in enumerate(COLUMNS)},
            "actual": np.asarray(actual, float),
        }
    )


def sold(count=200, seed=0):
    """Poisson sales of 4, and the right quantiles of them."""
    draws = np.random.default_rng(seed).poisson(4, count)
    return draws, np.quantile(np.random.default_rng(9).poisson(4, 100_000), QUANTILES)


@given(st.floats(0, 100), st.floats(0, 100))
def test_pinball_is_the_quantiles_own_loss(actual, quantile):
    """τ of what is missing, 1 − τ of what is too much; the median's is half the absolute error."""
    [row] = losses.pinball(np.array([actual]), np.full((1, len(QUANTILES)), quantile))
    for level, loss in zip(QUANTILES, row, strict=True):
        expected = level * (actual - quantile) if actual > quantile else (1 - level) * (quantile - actual)
        assert loss == pytest.approx(expected, abs=1e-9)
    assert row[2] == pytest.approx(abs(actual - quantile) / 2, abs=1e-9)


def test_the_right_quantiles_lose_least():
    """Of Poisson sales, its own quantiles lose less than those of a flatter or narrower distribution."""
    actual, right = sold(2000)
    by = {name: losses.summary(of(table(actual, quantiles)), COSTS) for name, quantiles in (("right", right), ("wide", right * 1.5))}
    assert by["right"]["pinball"]["value"] < by["wide"]["pinball"]["value"]
    low, high = by["right"]["pinball"]["interval"]
    assert low < by["right"]["pinball"]["value"] < high


def test_the_interval_of_a_quotient_is_that_of_drawing_series_anew():
    """Beside a plain bootstrap that sums drawn series' losses and divides by their rows."""
    rng = np.random.default_rng(1)
    series = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    values = rng.gamma(2, 1 + series % 5)
    sums, rows = np.bincount(series, values), np.bincount(series)
    draws = [rng.integers(0, 60, 60) for _ in range(4000)]
    plain = np.percentile([sums[drawn].sum() / rows[drawn].sum() for drawn in draws], [2.5, 97.5])
    value, [ends] = losses.quotient(values[:, None], np.ones((len(values), 1)), series)
    assert value[0] == pytest.approx(values.mean())
    assert ends == pytest.approx(plain, rel=0.05)


def test_coverage_with_many_zeros_is_told_by_both_sides():
    """When 80 % of sales are 0, P(y ≤ 0) is .8 and no fault of the quantile 0 of level .25; that of .95 at 0 is off."""
    actual = np.repeat([0, 0, 0, 0, 3], 20)
    covered = losses.coverage(of(table(actual, [0, 0, 0, 0, 3, 3])))
    assert covered["q0.25"]["below"]["value"] == 0 and covered["q0.25"]["at_most"]["value"] == pytest.approx(0.8)
    assert covered["q0.25"]["off"] == 0 and covered["q0.95"]["off"] == 0
    assert losses.coverage(of(table(actual, [0] * 6)))["q0.95"]["off"] == pytest.approx(0.8 - 0.95)
    assert losses.coverage(of(table(actual, [1] * 6)))["q0.25"]["off"] == pytest.approx(0.8 - 0.25)


def test_few_rows_are_not_surely_off():
    """Of ten series half sold more than the quantile .75: that may be chance, of a thousand it is none."""
    sure = [losses.coverage(of(table([0, 9] * count, [5] * 6, series=2 * count)))["q0.75"] for count in (5, 500)]
    assert sure[0]["off"] == sure[1]["off"] == pytest.approx(-0.25)
    assert -0.1 < sure[0]["surely_off"] <= 0 and sure[1]["surely_off"] < -0.2


def test_costs_are_of_the_quantile_that_they_imply():
    """A shortage thrice as dear as a surplus means the quantile .75; of units worth 2 it costs twice as much."""
    assert COSTS.level == 0.75 and not COSTS.beyond
    rows = of(table([10, 0], [1, 2, 3, 4, 5, 6], series=1))
    measured = losses.summary(rows, COSTS)
    assert measured["cost_of_stock_outs"]["value"] == pytest.approx(3 * 6 / 2)
    assert measured["cost_of_overstock"]["value"] == pytest.approx(4 / 2)
    worth = pa.table({"store": ["00"], "product": ["A"], "worth": [2.0]})
    doubled = losses.summary(of(table([10, 0], [1, 2, 3, 4, 5, 6], series=1), worth), COSTS)
    assert doubled["cost"]["value"] == pytest.approx(2 * measured["cost"]["value"])
    assert doubled["pinball"] == measured["pinball"]


def test_of_a_single_series_no_miss_of_coverage_is_sure():
    """Its weeks are alike: four that are all above a median may be chance; of a hundred series they are none."""
    one, many = (losses.coverage(of(table([9] * 4 * series, [1, 2, 3, 4, 5, 6], series=series)))["q0.5"] for series in (1, 100))
    assert one["off"] == many["off"] == -0.5 and many["surely_off"] == -0.5 and abs(one["surely_off"]) < 0.35


def test_a_quantile_between_two_is_interpolated_and_one_beyond_is_named():
    """Half way between levels is half way between quantiles; .999 would be ordered as .99, and says so."""
    quantiles = np.array([[0.0, 10, 20, 30, 40, 50]])
    assert at(0.375, quantiles) == pytest.approx([15]) and at(0.999, quantiles) == [50] and at(0.001, quantiles) == [0]
    assert Costs(999, 1).beyond and Costs(0.001, 1).beyond


def test_bias_is_a_share_of_what_was_sold():
    """Means of 5 for sales of 4 are a quarter too much."""
    assert losses.summary(of(table([4] * 10, [4] * 6, mean=[5] * 10)), COSTS)["bias"]["value"] == pytest.approx(0.25)


def test_a_share_of_nothing_is_null():
    """Where nothing was sold there is no bias to tell as a share."""
    assert losses.summary(of(table([0] * 10, [0] * 6)), COSTS)["bias"]["value"] is None


def test_gains_are_paired():
    """A model that loses a little less everywhere gains for certain, though the losses themselves overlap widely."""
    actual, right = sold()
    worse = table(actual, right + 0.3)
    gained = losses.gains(of(table(actual, right)), of(worse), COSTS)
    alone = losses.summary(of(worse), COSTS)["pinball"]["interval"]
    assert gained["pinball"]["interval"][0] > 0
    assert gained["pinball"]["interval"][1] - gained["pinball"]["interval"][0] < (alone[1] - alone[0]) / 2
    assert gained["pinball_share"]["value"] == pytest.approx(
        gained["pinball"]["value"] / losses.summary(of(worse), COSTS)["pinball"]["value"]
    )


def test_pairs_are_the_cells_that_both_forecast():
    """In whatever order the rows come, and whatever else one of them has."""
    actual, right = sold(20)
    whole = table(actual, right)
    some = whole.take(list(range(12, 3, -1)))
    one, other = paired(of(whole), of(some))
    assert len(one) == 9 and one.table.equals(other.table)


def test_rows_without_an_actual_are_left_out():
    """A cell that was closed or out of stock says nothing of a forecast."""
    rows = table([1, 2, 3], [1] * 6)
    rows = rows.set_column(rows.column_names.index("actual"), "actual", pa.array([1.0, None, np.nan]))
    assert len(of(rows)) == 1


def test_a_forecast_that_is_no_number_is_refused():
    """It must not vanish in a mean."""
    with pytest.raises(DataError, match="not a number"):
        of(table([1, 2], [1, 2, 3, 4, 5, np.nan]))


def test_steps_count_from_the_origin():
    """The first period after it is step 1, also where all were closed in it."""
    assert of(table(range(10), [1] * 6)).step.tolist() == [1, 2] * 5
    assert of(table([np.nan] * 5 + [1] * 5, [1] * 6)).step.tolist() == [2] * 5


def test_costs_by_level_are_least_at_the_level_that_they_imply():
    """The curve over the order quantile of a right forecast has its lowest point there, about."""
    actual, right = sold(4000)
    levels = [0.25, 0.5, 0.75, 0.95]
    assert int(np.argmin(losses.costs_by_level(of(table(actual, right)), COSTS, levels))) == 2
