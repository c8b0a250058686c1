"""The reference profile: measures that are 0 for the same data, large for other data, and quiet for more of the same kind."""

import json
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks import profile

histograms = st.integers(2, 12).flatmap(lambda bins: st.tuples(*[st.lists(st.integers(0, 500), min_size=bins, max_size=bins)] * 2))


@given(histograms)
def test_the_stability_index_is_its_formula(pair):
    """Bin by bin; never negative, the same both ways, and 0 for the same histogram."""
    expected, actual = map(np.array, pair)
    p, q = ([(n + 0.5) / (sum(side) + 0.5 * len(side)) for n in side] for side in pair)
    assert profile.psi(expected, actual) == pytest.approx(sum((b - a) * log(b / a) for a, b in zip(p, q, strict=True)))
    assert profile.psi(actual, expected) == pytest.approx(profile.psi(expected, actual)) and profile.psi(expected, actual) >= 0
    assert profile.psi(actual, actual) == 0


def test_the_distance_of_embeddings_is_frechets():
    """Against the formula with full matrices, of clouds whose dimensions do not correlate: each a rectangle's corners."""
    corners = np.array([[x, y] for x in (-1.0, 1.0) for y in (-1.0, 1.0)])
    one, two = corners * [1, 2], corners * [3, 1] + [0.5, 0]
    a, b = np.cov(one.T, bias=True), np.cov(two.T, bias=True)
    slow = ((one.mean(0) - two.mean(0)) ** 2).sum() + np.trace(a + b - 2 * np.sqrt(a @ b))
    assert profile.shift(profile.reference(one, [""] * 4), two) == pytest.approx(slow / np.trace(a))


@pytest.mark.parametrize(
    "values",
    [np.random.default_rng(0).normal(size=(80, 4)), np.arange(80.0), np.full(80, 5.0), [["sea", "boat"], ["sea"]] * 40],
    ids=["embeddings", "numbers", "one number", "categories"],
)
def test_data_does_not_drift_from_itself(values):
    """Also after the profile went through JSON."""
    summary = json.loads(json.dumps(profile.reference(values, [f"c{n % 40}" for n in range(80)])))
    assert profile.shift(summary, values) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("now", [np.full(80, 4.0), np.full(80, 6.0), np.full(80, 5.1)])
def test_a_constant_that_changes_is_seen(now):
    """Bins lie outside of what the reference had, too, on either side."""
    assert profile.shift(profile.reference(np.full(80, 5.0), [""] * 80), now) > 2


def test_a_new_category_is_seen():
    """What the reference had not, or seldom, is one more bin."""
    summary = profile.reference([["sea"], ["boat"]] * 40, [""] * 80)
    assert profile.counts(summary, [["sea"], ["tank", "jeep"]]).tolist() == [1, 0, 2]
    assert profile.shift(summary, [["tank"]] * 80) > 2


def authors(seed, count=60, each=5):
    """Numbers of *count* authors, whose own are alike, and whose each is."""
    draw = np.random.default_rng(seed)
    return (draw.normal(size=(count, 1)) + 0.3 * draw.normal(size=(count, each))).ravel(), [
        f"c{n}" for n in range(count) for _ in range(each)
    ]


def test_other_authors_of_the_same_kind_do_not_drift():
    """Held-out authors against the reference: at most 1 of 30 draws goes beyond the noise, one that is moved always does."""
    values, names = authors(0)
    summary = profile.reference(values, names)
    shifts = [profile.shift(summary, authors(seed)[0]) for seed in range(1, 31)]
    assert sum(away > max(summary["noise"], 0.25) for away in shifts) <= 1
    assert all(profile.shift(summary, authors(seed)[0] + 1.5) > max(summary["noise"], 0.25) for seed in range(1, 31))


def test_noise_knows_that_authors_are_alike():
    """Parted row by row, two halves have the same authors and look too much alike."""
    values, names = authors(0)
    assert profile.reference(values, names)["noise"] > 1.2 * profile.reference(values, [""] * len(names))["noise"]


def test_the_last_bits_of_a_float_are_no_drift():
    """Of few texts asked many times, each has one cosine; no bin may end at it."""
    cosines = np.repeat([0.1, 0.2, 0.3, 0.4], 50)
    summary = profile.reference(cosines, [""] * 200)
    assert summary["counts"] == [0, 50, 50, 50, 50, 0]
    for slip in (-1e-6, 1e-6):
        assert profile.counts(summary, cosines + slip).tolist() == summary["counts"]
