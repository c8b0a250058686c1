"""Retrieval metrics equal a slow, obvious reference, and ties never flatter."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.photostock import metrics


def slow_rank(query, gallery, label, gallery_label):
    """Sort everything, wrong answers first among equals, and look for the first right one."""
    score = gallery @ query
    order = sorted(range(len(gallery)), key=lambda k: (-score[k], gallery_label[k] == label))
    return 1 + next(place for place, k in enumerate(order) if gallery_label[k] == label)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10_000))
def test_ranks_equal_sorting_everything(queries, labels, seed):
    """On coarse scores, full of ties, the blocked rank count equals sorting the whole gallery."""
    rng = np.random.default_rng(seed)
    gallery = rng.integers(-2, 3, (20, 3)).astype(np.float32)
    gallery_label = np.concatenate([np.arange(labels), rng.integers(0, labels, 20 - labels)])
    query = rng.integers(-2, 3, (queries, 3)).astype(np.float32)
    label = rng.integers(0, labels, queries)
    expected = [slow_rank(q, gallery, right, gallery_label) for q, right in zip(query, label, strict=True)]
    assert metrics.ranks(query, gallery, label, gallery_label).tolist() == expected


def test_blocks_do_not_change_the_ranks(monkeypatch):
    """Memory is bounded by blocks of queries, whose size no rank depends on."""
    rng = np.random.default_rng(0)
    query, gallery, label = rng.normal(size=(50, 4)), rng.normal(size=(50, 4)), np.arange(50)
    whole = metrics.ranks(query, gallery, label, label)
    monkeypatch.setattr(metrics, "BLOCK", 7)
    assert (metrics.ranks(query, gallery, label, label) == whole).all()


def test_a_model_that_answers_everything_alike_is_last():
    """Constant embeddings tie with every wrong answer and get the worst rank, not the best."""
    same = np.ones((5, 2), np.float32)
    assert metrics.ranks(same, same, np.arange(5), np.arange(5)).tolist() == [5] * 5


def test_any_picture_of_a_shared_caption_is_a_right_answer():
    """Two pictures with one caption: finding either of them first is rank 1."""
    gallery = np.eye(3, dtype=np.float32)
    query = np.array([[0, 1, 0.5]], np.float32)
    assert metrics.ranks(query, gallery, np.array([7]), np.array([7, 7, 8])).tolist() == [1]
    assert metrics.ranks(query, gallery, np.array([7]), np.array([7, 8, 8])).tolist() == [3]


def test_a_query_without_an_answer_is_refused():
    """Recall over a query nobody can answer would be a made-up number."""
    with pytest.raises(ValueError, match="no right answer"):
        metrics.ranks(np.ones((1, 2)), np.ones((1, 2)), np.array([1]), np.array([2]))


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
