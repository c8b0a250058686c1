"""From means to quantiles."""

import json

import numpy as np
import pytest
from scipy.stats import nbinom

from trainworks.supermegaretail.models import heads
from trainworks.supermegaretail.quantiles import QUANTILES


def drawn(rows: int = 4000, seed: int = 0):
    """Counts of 20 series with dispersion 0.5, and their means."""
    rng = np.random.default_rng(seed)
    series = rng.integers(1, 21, rows)
    mean = np.exp(rng.normal(0, 1, 21))[series] * np.exp(rng.normal(0, 0.5, rows))
    return mean, rng.negative_binomial(2, 2 / (2 + mean)).astype(float), series


def test_quantiles_of_counts_are_those_of_scipy():
    """Below LARGE to the unit; above, within a tenth of the deviation."""
    rng = np.random.default_rng(0)
    mean, dispersion = np.exp(rng.uniform(-5, 8, 2000)), np.exp(rng.uniform(-5, 1, 2000))
    right = nbinom.ppf(QUANTILES, 1 / dispersion[:, None], 1 / (1 + dispersion * mean)[:, None])
    got = heads.negative_binomial(mean, dispersion)
    small = mean < heads.LARGE
    assert np.array_equal(got[small], right[small])
    deviation = np.sqrt(mean + dispersion * mean**2)[:, None]
    assert (np.abs(got - right) / deviation)[~small].max() < 0.1


@pytest.mark.parametrize("name", list(heads.HEADS))
def test_quantiles_do_not_cross_and_are_not_negative(name):
    """For any mean, none or 10^12 units, and a series that is not known."""
    head = heads.HEADS[name].learn(*drawn(), 21)
    mean = np.array([0, 1e-9, 0.01, 1, 30, 250, 1e5, 1e12])
    quantiles = head.quantiles(mean, np.array([0, 1, 2, 3, 4, 5, 6, 0]))
    assert np.isfinite(quantiles).all()
    assert (quantiles >= 0).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()


@pytest.mark.parametrize("name", list(heads.HEADS))
def test_quantiles_cover_what_they_say(name):
    """Over rows that the head has not seen, P(y < q) is at most its level and P(y ≤ q) at least, but for 2 points."""
    head = heads.HEADS[name].learn(*drawn(), 21)
    mean, sold, series = drawn(seed=1)
    rng = np.random.default_rng(2)
    sold = rng.negative_binomial(2, 2 / (2 + mean)).astype(float)
    quantiles = head.quantiles(mean, series)
    assert ((sold[:, None] < quantiles).mean(axis=0) <= np.array(QUANTILES) + 0.02).all()
    assert ((sold[:, None] <= np.ceil(quantiles)).mean(axis=0) >= np.array(QUANTILES) - 0.02).all()


@pytest.mark.parametrize("name", list(heads.HEADS))
def test_a_head_comes_back_from_json(name):
    """To five digits, as it serves."""
    mean, sold, series = drawn()
    head = heads.HEADS[name].learn(mean, sold, series, 21)
    again = heads.HEADS[name].from_json(json.loads(json.dumps(head.to_json())))
    assert np.allclose(again.quantiles(mean, series), head.quantiles(mean, series), rtol=1e-3, atol=1)


def test_a_series_with_few_rows_has_the_dispersion_of_all():
    """And one with many has its own."""
    rng = np.random.default_rng(0)
    mean = np.full(2002, 10.0)
    sold = np.concatenate([rng.poisson(10, 1000), rng.negative_binomial(1, 1 / 11, 1000), [10, 10]]).astype(float)
    series = np.concatenate([np.full(1000, 1), np.full(1000, 2), [3, 3]])
    of_all, steady, wild, few = heads.dispersions(mean, sold, series, 4)
    assert steady < 0.02
    assert wild > 0.9
    assert abs(few - of_all) < 0.3 * of_all


def test_one_series_that_sells_a_thousand_times_more_does_not_speak_for_all():
    """The others' dispersion stays their own, 0.5, beside one that is smooth."""
    mean, sold, series = drawn()
    rng = np.random.default_rng(1)
    large = np.full(10, 3000.0)
    of_all = (np.append(mean, large), np.append(sold, rng.poisson(large)), np.append(series, np.full(10, 21)))
    assert abs(heads.dispersions(*of_all, 22)[0] - heads.dispersions(mean, sold, series, 21)[0]) < 0.1
    assert abs(heads.dispersions(mean, sold, series, 21)[0] - 0.5) < 0.1
