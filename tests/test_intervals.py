"""Intervals: published examples, and a slow obvious bootstrap."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.intervals import RESAMPLES, SEED, bootstrap, paired, wilson


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718), (29, 29, 0.8830, 1)],
)
def test_the_interval_of_a_share_is_the_published_one(hits, trials, low, high):
    """Wilson's for the examples of Newcombe (Statistics in Medicine 17, 1998)."""
    assert wilson(hits / trials, trials) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(1, 10_000), st.data())
def test_the_interval_surrounds_the_share(trials, data):
    """It stays within 0 and 1, holds the share itself, and is never a point."""
    share = data.draw(st.integers(0, trials)) / trials
    low, high = wilson(share, trials)
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1
    assert low < high


@pytest.mark.parametrize(
    ("up", "down", "cases", "low", "high"),
    [(0, 0, 9, -0.2520, 0.2520), (9, 0, 9, 0.4784, 1), (0, 9, 9, -1, -0.4784), (0, 0, 100, -0.0272, 0.0272), (12, 4, 100, -0.0017, 0.1585)],
)
def test_a_paired_difference_is_that_of_bonett_and_price(up, down, cases, low, high):
    """From their formula by hand: ((up + 1) - (down + 1)) / (n + 2) ± 1.96 √((p + q - (p - q)²) / (n + 2))."""
    differences = np.array([1.0] * up + [-1.0] * down + [0.0] * (cases - up - down))[:, None]
    assert paired(differences) == [pytest.approx((low, high), abs=6e-5)]


@pytest.mark.parametrize("cases", [9, 12, 50, 100])
def test_a_share_is_where_its_interval_says_it_is(cases):
    """Over shares from 0 to 1, of all samples that could be drawn: in 94 % on average, for no share in less than 89 %."""
    ends = np.array([wilson(hits / cases, cases) for hits in range(cases + 1)])
    covered = []
    for share in np.linspace(0.02, 0.98, 49):
        chances = [math.comb(cases, hits) * share**hits * (1 - share) ** (cases - hits) for hits in range(cases + 1)]
        covered.append(sum(chance for chance, (low, high) in zip(chances, ends, strict=True) if low <= share <= high))
    assert np.mean(covered) >= 0.94 and min(covered) >= 0.89


@pytest.mark.parametrize("cases", [9, 12, 50, 100])
@pytest.mark.parametrize(
    ("up", "down"), [(0, 0), (0.05, 0), (0.02, 0.02), (0.1, 0.1), (0.3, 0.1), (0.3, 0.3), (0.6, 0.05), (0.9, 0), (0.95, 0), (1, 0)]
)
def test_a_paired_difference_is_where_its_interval_says_it_is(cases, up, down):
    """In at least 94 of 100 samples drawn, however few cases there are and however few of them differ."""
    drawn = np.random.default_rng(0).choice([1.0, -1.0, 0.0], size=(cases, 4000), p=[up, down, 1 - up - down])
    low, high = np.array(paired(drawn)).T
    assert np.mean((low <= up - down + 1e-9) & (up - down <= high + 1e-9)) >= 0.94


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_a_paired_interval_surrounds_the_difference(values):
    """It holds the mean of what was seen, stays within -1 and 1, and is never a point."""
    [(low, high)] = paired(np.array(values)[:, None])
    assert -1 <= low <= np.mean(values) + 1e-9 and np.mean(values) - 1e-9 <= high <= 1
    assert low < high


def test_the_bootstrap_is_that_of_drawing_again():
    """Against a mean over the drawn rows themselves, column by column."""
    values = np.random.default_rng(1).normal(size=(30, 2))
    rng = np.random.default_rng(SEED)
    means = [values[rng.integers(0, 30, 30)].mean(0) for _ in range(RESAMPLES)]
    assert bootstrap(values) == [pytest.approx(np.percentile([mean[k] for mean in means], [2.5, 97.5])) for k in (0, 1)]


def test_the_bootstrap_of_a_share_is_that_of_the_binomial():
    """For independent cases it agrees with ± 1.96 √(p (1 − p) / n)."""
    spread = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert bootstrap(np.array([[1.0]] * 300 + [[0.0]] * 700)) == [pytest.approx([0.3 - spread, 0.3 + spread], abs=0.004)]
