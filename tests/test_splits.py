"""The split: exact held-out sides, whole groups, and sides that new data does not overturn."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainworks.errors import DataError
from trainworks.splits import split

sizes = st.lists(st.integers(1, 40), min_size=3, max_size=60)


def groups_of(sizes, prefix="contributor"):
    """The name of each row's group."""
    return [f"{prefix} {number}" for number, size in enumerate(sizes) for _ in range(size)]


def split_or_skip(groups, held_out, **kwargs):
    try:
        return split(groups, held_out, **kwargs)
    except DataError:
        assume(False)


@given(sizes, st.integers(1, 40))
def test_held_out_sides_are_exact_and_train_is_at_least_as_large_as_both(sizes, held_out):
    """Whatever the sizes of the groups: exactly held_out rows each, and no tiny train side."""
    side = split_or_skip(groups_of(sizes), held_out)
    assert (side == "test").sum() == (side == "val").sum() == held_out
    assert (side == "train").sum() >= 2 * held_out


@given(sizes, st.integers(1, 40), st.randoms(use_true_random=False))
def test_no_group_is_on_two_sides_in_any_order_of_rows(sizes, held_out, random):
    """Groups are whole, and a group's side does not depend on where its rows are."""
    groups = groups_of(sizes)
    side_of = {}
    for _ in range(2):
        for group, side in zip(groups, split_or_skip(groups, held_out), strict=True):
            if side:
                assert side_of.setdefault(group, side) == side
        random.shuffle(groups)


@given(st.lists(st.integers(1, 2), min_size=100, max_size=130), st.lists(st.integers(1, 9), max_size=100))
def test_new_groups_never_turn_training_rows_into_held_out_ones(sizes, more):
    """A model of last month was not trained on this month's test rows, and test and validation never mix."""
    before = split(groups_of(sizes), 20)
    after = split(groups_of(sizes) + groups_of(more, "newcomer"), 20)[: len(before)]
    moves = set(zip(before, after, strict=True))
    assert moves <= {
        ("train", "train"),
        ("val", "val"),
        ("test", "test"),
        *((was, to) for was in ("val", "test", "") for to in ("train", "")),
    }


def test_the_split_is_frozen():
    """The hash of the name decides, today and in a year: a change here makes every comparison with older runs void."""
    side = split([f"contributor {n}" for n in range(12)], 2)
    assert {s: np.flatnonzero(side == s).tolist() for s in ("val", "test")} == {"val": [1, 10], "test": [2, 3]}


def test_large_groups_are_train():
    """With 100 groups of 2 there is no need to fill a quarter of a test side of 20 with one group."""
    groups = groups_of([2] * 100) + groups_of([5] * 20, "agency")
    assert set(split(groups, 20)[200:]) == {"train"}


def test_large_groups_are_held_out_where_there_are_no_others():
    """Four groups of 40 and held-out sides of 30: two groups are held out, and what they have too much is left out."""
    side = split(groups_of([40] * 4), 30)
    assert {s: (side == s).sum() for s in ("train", "val", "test", "")} == {"train": 80, "val": 30, "test": 30, "": 20}


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=40, max_size=200))
def test_a_row_that_is_not_eligible_is_never_held_out(rows):
    """It is train with its group, or left out; of the others only the last group of either side loses any."""
    groups, eligible = [f"group {number}" for number, _ in rows], np.array([flag for _, flag in rows])
    side = split_or_skip(groups, 5, eligible=eligible)
    assert set(side[~eligible]) <= {"train", ""}
    assert (side == "test").sum() == (side == "val").sum() == 5
    assert len({group for group, left_out in zip(groups, eligible & (side == ""), strict=True) if left_out}) <= 2


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (groups_of([1] * 30), r"30 rows are too few: validation and test take 10 each, .* bring 40, or lower data.test to 7"),
        (["agency"] * 100, r"100 rows of 1 groups .* largest has 100.: lower data.test, or name their authors"),
        (groups_of([50, 50]), r"100 rows of 2 groups"),
        (groups_of([100, 5, 5]), r"110 rows of 3 groups"),
        ([], r"0 rows are too few"),
    ],
)
def test_too_few_rows_or_groups_are_refused_with_what_to_do(groups, words):
    """The message has the counts, and the caller's words for the knob and for how to part groups."""
    with pytest.raises(DataError, match=words):
        split(groups, 10, knob="data.test", finer_groups="name their authors")
