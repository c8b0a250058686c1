"""Hubs and confused pairs are those that looking at every ranking finds."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.photostock.evaluation import mistakes, ranking


def toy(seed, pictures=12, captions=12):
    """Texts and pictures that have little to do with each other, and each picture's caption as a label."""
    rng = np.random.default_rng(seed)
    text, image = (rng.normal(size=(pictures, 3)) for _ in range(2))
    label = rng.integers(0, captions, pictures)
    return text, image, label


def slow_pairs(text, image, label, k):
    """Look at the first k answers to each text, and keep who stands before or level with the right one, both ways."""

    def taken_by(q):
        score = image @ text[q]
        order = sorted(range(len(score)), key=lambda g: (-score[g], g))[:k]
        return {g: score[g] - score[q] for g in order if label[g] != label[q] and score[g] >= score[q]}

    taken = [taken_by(q) for q in range(len(text))]
    return {
        (a, b): min(taken[a][b], taken[b][a]) for a in range(len(text)) for b in range(a + 1, len(text)) if b in taken[a] and a in taken[b]
    }


@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([3, 12]))
def test_confused_pairs_equal_looking_at_every_ranking(seed, k, captions):
    """The same pairs, with the same lead, the clearest first."""
    text, image, label = toy(seed, captions=captions)
    found = mistakes.confused(text, image, label, k)
    assert {(pair.one, pair.other): pytest.approx(pair.lead) for pair in found} == slow_pairs(text, image, label, k)
    assert [pair.lead for pair in found] == sorted((pair.lead for pair in found), reverse=True)


def test_two_pictures_that_look_the_same_are_confused_and_their_captions_alone_can_part_them():
    """A tie counts against the model; under one caption either is a right answer and there is nothing to confuse."""
    text, image = np.eye(3, dtype=np.float32), np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], np.float32)
    assert mistakes.confused(text, image, np.array([0, 1, 2])) == [(0, 1, 0.0)]
    assert mistakes.confused(text, image, np.array([0, 0, 2])) == []


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_a_picture_occurs_as_often_as_rankings_hold_it(seed, k):
    """N_k by counting, one ranking after another; over all pictures it is k for each query."""
    text, image, _ = toy(seed)
    found, _ = ranking.top(text, image, k)
    slow = Counter(int(g) for row in found for g in row)
    count = mistakes.occurrences(found, 12)
    assert count.tolist() == [slow[g] for g in range(12)]
    assert count.mean() == pytest.approx(len(text) * k / 12)


def test_one_picture_that_answers_everything_is_skewed():
    """All alike: 0. One of G takes everything: that of a single 1 among zeros, (G − 2) / √(G − 1). Mirrored: the opposite sign."""
    assert mistakes.skewness(np.full(10, 7)) == 0
    one_of = np.array([60] + [0] * 9)
    assert mistakes.skewness(one_of) == pytest.approx(8 / 3)
    assert mistakes.skewness(60 - one_of) == pytest.approx(-8 / 3)


def test_the_worst_hub_is_told_with_what_it_answers():
    """Of 60 pictures one lies towards every text and one away from all: all queries find the first, one rightly, and none the other."""
    rng = np.random.default_rng(0)
    text = rng.normal(size=(60, 16)) + 1
    image = text + rng.normal(size=text.shape)
    image[5], image[7] = 20, -20
    found = mistakes.mistakes(text, image, [f"caption {q}" for q in range(60)], [f"p{q}" for q in range(60)])
    assert found["hubs"]["worst"][0] == {"id": "p5", "queries": 60, "right": 1}
    assert found["hubs"]["mean"] == found["hubs"]["first"] == 10
    assert len(found["hubs"]["worst"]) == mistakes.LISTED
    counts = [hub["queries"] for hub in found["hubs"]["worst"]]
    assert counts == sorted(counts, reverse=True) and found["hubs"]["never"] >= 1


def test_a_hub_is_right_for_the_caption_that_it_shares():
    """Three pictures of one caption, which is one query: whichever is found is right."""
    found = mistakes.mistakes(np.eye(3), np.eye(3), ["sea", "sea", "sea"], ["a", "b", "c"])
    assert all(hub == {"id": hub["id"], "queries": 1, "right": 1} for hub in found["hubs"]["worst"])
    assert found["pairs"] == {"number": 0, "worst": []}
