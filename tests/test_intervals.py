"""Intervals: published examples, and a slow obvious bootstrap."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.intervals import RESAMPLES, SEED, bootstrap, wilson


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
