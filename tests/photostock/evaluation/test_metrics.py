"""Retrieval metrics equal a slow, obvious reference, and ties never flatter."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.photostock.evaluation import metrics
from trainworks.photostock.evaluation.metrics import Retrieval


def slow_places(query, gallery, right):
    """Sort everything, wrong answers first among equals, and look where the right ones are."""
    score = gallery @ query
    order = sorted(range(len(gallery)), key=lambda k: (-score[k], k in right))
    return [place for place, k in enumerate(order, 1) if k in right]


def slow_average_precision(places):
    """The mean, over the right answers, of the share of right ones among all down to it."""
    return sum(len([p for p in places if p <= place]) / place for place in places) / len(places)


def slow_ndcg(places):
    """The discounted gain of the first ten places, as a share of the best possible."""
    gain = sum(1 / math.log2(1 + place) for place in range(1, 11) if place in places)
    return gain / sum(1 / math.log2(1 + place) for place in range(1, min(10, len(places)) + 1))


def retrieval(rank):
    """Queries of which only the rank matters."""
    return Retrieval(np.array(rank), np.zeros(len(rank)), np.zeros(len(rank)))


@given(st.integers(1, 12), st.integers(1, 30), st.sampled_from([0, 3, 99]), st.integers(0, 10_000))
def test_retrieval_equals_sorting_everything(queries, most, few, seed):
    """On coarse scores full of ties, counting and sorting give the places, precision and gain of the slow reference."""
    rng = np.random.default_rng(seed)
    gallery, query = (rng.integers(-2, 3, (n, 3)).astype(np.float32) for n in (30, queries))
    right = [rng.choice(30, rng.integers(1, most + 1), replace=False) for _ in range(queries)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "FEW", few)
        found = metrics.retrieve(query, gallery, right)
    places = [slow_places(q, gallery, set(items.tolist())) for q, items in zip(query, right, strict=True)]
    assert found.rank.tolist() == [p[0] for p in places]
    assert np.allclose(found.precision, [slow_average_precision(p) for p in places])
    assert np.allclose(found.gain, [slow_ndcg(p) for p in places])


def test_blocks_do_not_change_the_ranks(monkeypatch):
    """Memory is bounded by blocks of queries, whose size no rank depends on."""
    rng = np.random.default_rng(0)
    query, gallery, label = rng.normal(size=(50, 4)), rng.normal(size=(50, 4)), np.arange(50)
    whole = metrics.ranks(query, gallery, label, label)
    monkeypatch.setattr(metrics, "SCORES", 7 * 50)
    assert (metrics.ranks(query, gallery, label, label).rank == whole.rank).all()


def test_a_gallery_larger_than_a_block_goes_query_by_query(monkeypatch):
    """However small the bound, a block has one query."""
    monkeypatch.setattr(metrics, "SCORES", 3)
    assert metrics.ranks(np.eye(5), np.eye(5), np.arange(5), np.arange(5)).rank.tolist() == [1] * 5


def test_a_model_that_answers_everything_alike_is_last():
    """Constant embeddings tie with every wrong answer and get the worst rank, not the best."""
    same = np.ones((5, 2), np.float32)
    assert metrics.ranks(same, same, np.arange(5), np.arange(5)).rank.tolist() == [5] * 5


def test_any_picture_of_a_shared_caption_is_a_right_answer():
    """Two pictures with one caption: finding either of them first is rank 1; mAP and nDCG ask for both."""
    gallery = np.eye(3, dtype=np.float32)
    query = np.array([[0, 1, 0.5]], np.float32)
    found = metrics.ranks(query, gallery, np.array([7]), np.array([7, 7, 8]))
    assert (found.rank.tolist(), found.precision.tolist()) == ([1], [pytest.approx((1 + 2 / 3) / 2)])
    assert found.gain[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3)))
    assert metrics.ranks(query, gallery, np.array([7]), np.array([7, 8, 8])).rank.tolist() == [3]


def test_a_query_without_an_answer_is_refused():
    """Recall over a query nobody can answer would be a made-up number."""
    with pytest.raises(ValueError, match="no right answer"):
        metrics.ranks(np.ones((1, 2)), np.ones((1, 2)), np.array([1]), np.array([2]))


@pytest.mark.parametrize("query, gallery", [(math.nan, 1), (1, math.inf)])
def test_embeddings_that_are_not_finite_are_refused(query, gallery):
    """A NaN compares false with everything, and would come first."""
    with pytest.raises(ValueError, match="not finite"):
        metrics.ranks(np.full((1, 2), query), np.full((1, 2), gallery), np.array([1]), np.array([1]))


@given(st.integers(1, 30), st.integers(0, 1000))
def test_top_is_the_head_of_a_full_sort(k, seed):
    """The k best, in the order of a stable sort."""
    rng = np.random.default_rng(seed)
    query, gallery = rng.normal(size=(4, 3)), rng.normal(size=(20, 3))
    index, score = metrics.top(query, gallery, k)
    full = np.argsort(-(query @ gallery.T), axis=1, kind="stable")[:, :k]
    assert (index == full).all()
    assert np.allclose(score, np.take_along_axis(query @ gallery.T, full, 1))


def test_the_example_in_the_docstring_holds():
    """Recalls and the median rank of four known ranks."""
    assert doctest.testmod(metrics).failed == 0


def test_every_metric_is_the_mean_over_queries():
    """MRR is the mean of 1 / rank; mAP and nDCG@10 are means of what each query reached."""
    found = metrics.summary(Retrieval(np.array([1, 4]), precision=np.array([0.5, 0.1]), gain=np.array([1.0, 0.5])))
    assert [found[name] for name in ("MRR", "mAP", "nDCG@10", "R@1", "queries")] == [0.625, pytest.approx(0.3), 0.75, 0.5, 2]


def test_intervals_are_the_same_each_time():
    """The bootstrap is seeded: the same ranks give the same file."""
    rank = np.random.default_rng(0).integers(1, 100, 50)
    assert metrics.summary(retrieval(rank)) == metrics.summary(retrieval(rank))


def test_a_paired_difference_is_sharper_than_two_intervals():
    """A model that helps 5 of 100 queries and harms none is better for sure, though the two intervals overlap."""
    before, after = [1] * 40 + [90] * 60, [1] * 45 + [90] * 55
    low, high = metrics.paired(retrieval(after), retrieval(before))["R@10"]["interval"]
    assert 0 < low < 0.05 < high
    assert metrics.summary(retrieval(before))["interval"]["R@10"][1] > metrics.summary(retrieval(after))["interval"]["R@10"][0]
    assert metrics.paired(retrieval(before), retrieval(after))["R@10"]["difference"] == pytest.approx(-0.05)


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
