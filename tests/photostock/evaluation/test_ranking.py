"""Places of right answers equal a slow, obvious reference, and ties never flatter."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.photostock.evaluation import ranking


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


@given(st.integers(1, 12), st.integers(1, 30), st.sampled_from([0, 3, 99]), st.integers(0, 10_000))
def test_retrieval_equals_sorting_everything(queries, most, few, seed):
    """On coarse scores full of ties, counting and sorting give the places, precision and gain of the slow reference."""
    rng = np.random.default_rng(seed)
    gallery, query = (rng.integers(-2, 3, (n, 3)).astype(np.float32) for n in (30, queries))
    right = [rng.choice(30, rng.integers(1, most + 1), replace=False) for _ in range(queries)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "FEW", few)
        found = ranking.retrieve(query, gallery, right)
    places = [slow_places(q, gallery, set(items.tolist())) for q, items in zip(query, right, strict=True)]
    assert found.rank.tolist() == [p[0] for p in places]
    assert np.allclose(found.precision, [slow_average_precision(p) for p in places])
    assert np.allclose(found.gain, [slow_ndcg(p) for p in places])


def test_blocks_do_not_change_the_ranks(monkeypatch):
    """Memory is bounded by blocks of queries, whose size no rank depends on."""
    rng = np.random.default_rng(0)
    query, gallery, label = rng.normal(size=(50, 4)), rng.normal(size=(50, 4)), np.arange(50)
    whole = ranking.ranks(query, gallery, label, label)
    monkeypatch.setattr(ranking, "SCORES", 7 * 50)
    assert (ranking.ranks(query, gallery, label, label).rank == whole.rank).all()


def test_a_gallery_larger_than_a_block_goes_query_by_query(monkeypatch):
    """However small the bound, a block has one query."""
    monkeypatch.setattr(ranking, "SCORES", 3)
    assert ranking.ranks(np.eye(5), np.eye(5), np.arange(5), np.arange(5)).rank.tolist() == [1] * 5


def test_a_model_that_answers_everything_alike_is_last():
    """Constant embeddings tie with every wrong answer and get the worst rank, not the best."""
    same = np.ones((5, 2), np.float32)
    assert ranking.ranks(same, same, np.arange(5), np.arange(5)).rank.tolist() == [5] * 5


def test_any_picture_of_a_shared_caption_is_a_right_answer():
    """Two pictures with one caption: finding either of them first is rank 1; mAP and nDCG ask for both."""
    gallery = np.eye(3, dtype=np.float32)
    query = np.array([[0, 1, 0.5]], np.float32)
    found = ranking.ranks(query, gallery, np.array([7]), np.array([7, 7, 8]))
    assert (found.rank.tolist(), found.precision.tolist()) == ([1], [pytest.approx((1 + 2 / 3) / 2)])
    assert found.gain[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3)))
    assert ranking.ranks(query, gallery, np.array([7]), np.array([7, 8, 8])).rank.tolist() == [3]


def test_a_query_without_an_answer_is_refused():
    """Recall over a query nobody can answer would be a made-up number."""
    with pytest.raises(ValueError, match="no right answer"):
        ranking.ranks(np.ones((1, 2)), np.ones((1, 2)), np.array([1]), np.array([2]))


@pytest.mark.parametrize("query, gallery", [(math.nan, 1), (1, math.inf)])
def test_embeddings_that_are_not_finite_are_refused(query, gallery):
    """A NaN compares false with everything, and would come first."""
    with pytest.raises(ValueError, match="not finite"):
        ranking.ranks(np.full((1, 2), query), np.full((1, 2), gallery), np.array([1]), np.array([1]))


@given(st.integers(1, 30), st.integers(0, 1000))
def test_top_is_the_head_of_a_full_sort(k, seed):
    """The k best, in the order of a stable sort."""
    rng = np.random.default_rng(seed)
    query, gallery = rng.normal(size=(4, 3)), rng.normal(size=(20, 3))
    index, score = ranking.top(query, gallery, k)
    full = np.argsort(-(query @ gallery.T), axis=1, kind="stable")[:, :k]
    assert (index == full).all()
    assert np.allclose(score, np.take_along_axis(query @ gallery.T, full, 1))
