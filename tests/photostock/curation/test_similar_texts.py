"""Similar texts: no pair is joined that is not within the share of edits, and hardly any that is gets away."""

import random
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainworks.photostock.curation.similar_texts import clusters

WORDS = re.findall(
    r"\w+", "a red fox asleep under one old oak tree in deep winter snow while two grey owls watch the silent village from afar"
)


def edits(one, other):
    """Levenshtein distance, the textbook way."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def slow_clusters(texts, share):
    """Every pair compared, labels spread until nothing changes."""
    texts, cluster, changed = [text.lower() for text in texts], list(range(len(texts))), True
    while changed:
        changed = False
        for i, one in enumerate(texts):
            for j, other in enumerate(texts):
                if cluster[j] > cluster[i] and edits(one, other) <= share * max(len(one), len(other)):
                    cluster[j], changed = cluster[i], True
    return cluster


def clustered(texts, share):
    return clusters(pa.array(texts, pa.string()), share).tolist()


@st.composite
def families(draw):
    """A few captions, and copies with a few letters changed, lost or added."""
    originals = draw(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=10).map(" ".join), min_size=1, max_size=3))
    texts = []
    for original in draw(st.lists(st.sampled_from(originals), max_size=6)):
        for place, letter in draw(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["", "x", "yy"])), max_size=3)):
            original = original[:place] + letter + original[place + 1 :]
        texts.append(original)
    return texts


@settings(max_examples=25)
@given(families(), st.sampled_from([0.02, 0.05, 0.1]))
def test_nothing_is_joined_that_edits_keep_apart(texts, share):
    """Clusters are never coarser than those of comparing every pair, and each is named by its smallest row."""
    slow, fast = slow_clusters(texts, share), clustered(texts, share)
    assert all(slow[row] == slow[root] and root <= row for row, root in enumerate(fast))
    assert [fast[root] for root in fast] == fast


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_scattered_edits_up_to_the_share_are_clustered(share):
    """300 captions and copies of them with as many letters changed as are allowed, all over the text."""
    rng = random.Random(0)
    originals = [" ".join(rng.sample(WORDS, 10)) for _ in range(300)]
    copies = []
    for text in originals:
        letters = list(text)
        for place in rng.sample(range(len(letters)), int(share * len(letters))):
            letters[place] = "#"
        copies.append("".join(letters))
    joined = clustered(originals + copies, share)
    assert sum(joined[300 + row] == joined[row] for row in range(300)) >= 294


def test_a_running_number_makes_no_other_text_and_a_new_noun_does():
    """What the step is for: series of one caption go, sentences built alike stay."""
    texts = ["Old oak in the snow 1", "Red fox in the snow", "Old oak in the snow 2", "OLD OAK in the snow 17"]
    assert clustered(texts, 0.15) == [0, 1, 0, 0]


def test_two_texts_are_joined_by_one_between_them():
    """A component, not a ball, as with near-duplicate pictures."""
    first, between, last = ("a fox in deep snow at dawn " + end for end in ("xx", "xy", "yy"))
    assert edits(first, last) > 0.04 * 29 >= edits(first, between)
    assert clustered([last, first], 0.04) == [0, 1]
    assert clustered([last, first, between], 0.04) == [0, 0, 0]


def test_equal_texts_are_one_cluster_and_no_texts_none():
    """Also a text too short for any edit; and an empty catalogue is not an error here."""
    assert clustered(["a", "b", "A", "", ""], 0.1) == [0, 1, 0, 3, 3]
    assert clustered([], 0.1) == []


def test_the_letter_allowed_by_the_share_is_allowed_exactly():
    """One edit in ten letters is a share of 0.1, one in nine is not."""
    assert clustered(["abcdefghij", "abcdefghix"], 0.1) == [0, 0]
    assert clustered(["abcdefghi", "abcdefghx"], 0.1) == [0, 1]
