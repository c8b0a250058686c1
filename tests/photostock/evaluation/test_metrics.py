"""Metrics, their intervals and differences, and what a threshold means."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.photostock.evaluation import metrics
from trainworks.photostock.evaluation.ranking import Retrieval


def retrieval(rank):
    """Queries of which only the rank matters."""
    return Retrieval(np.array(rank), np.zeros(len(rank)), np.zeros(len(rank)))


def test_the_example_in_the_docstring_holds():
    """Recalls and the median rank of four known ranks."""
    assert doctest.testmod(metrics).failed == 0


def test_every_metric_is_the_mean_over_queries():
    """MRR is the mean of 1 / rank; mAP and nDCG@10 are means of what each query reached."""
    found = metrics.summary(Retrieval(np.array([1, 4]), precision=np.array([0.5, 0.1]), gain=np.array([1.0, 0.5])))
    assert [found[name] for name in ("MRR", "mAP", "nDCG@10", "R@1", "queries")] == [0.625, pytest.approx(0.3), 0.75, 0.5, 2]


def test_a_paired_difference_is_sharper_than_two_intervals():
    """A model that helps 8 of 100 queries and harms none is better for sure, though the two intervals overlap."""
    before, after = [1] * 40 + [90] * 60, [1] * 48 + [90] * 52
    low, high = metrics.paired(retrieval(after), retrieval(before))["R@10"]["interval"]
    assert 0 < low < 0.08 < high
    assert metrics.summary(retrieval(before))["interval"]["R@10"][1] > metrics.summary(retrieval(after))["interval"]["R@10"][0]
    assert metrics.paired(retrieval(before), retrieval(after))["R@10"]["difference"] == pytest.approx(-0.08)


def test_a_paired_difference_of_other_queries_is_refused():
    """Two galleries have nothing to pair."""
    with pytest.raises(ValueError, match="same queries, got 1 and 2"):
        metrics.paired(retrieval([1]), retrieval([1, 2]))


@given(st.integers(0, 1000))
def test_calibration_equals_counting_pairs(seed):
    """At each threshold: right pairs among those kept, share of right pairs kept, share of wrong pairs kept."""
    rng = np.random.default_rng(seed)
    query, gallery = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (rng.normal(size=(6, 3)), rng.normal(size=(9, 3))))
    right = [rng.choice(9, rng.integers(1, 4), replace=False) for _ in range(6)]
    pairs = [(float(query[q] @ gallery[g]), g in right[q]) for q in range(6) for g in range(9)]
    rights = sum(is_right for _, is_right in pairs)
    curve = metrics.calibration(query, gallery, right)
    assert curve[0]["recall"] == 1
    for point in curve:
        kept = [is_right for score, is_right in pairs if score >= point["threshold"]]
        assert point["precision"] == pytest.approx(sum(kept) / len(kept))
        assert point["recall"] == pytest.approx(sum(kept) / rights)
        assert point["false_positive_rate"] == pytest.approx((len(kept) - sum(kept)) / (len(pairs) - rights))
    assert not [score for score, _ in pairs if score >= curve[-1]["threshold"] + metrics.STEP]
