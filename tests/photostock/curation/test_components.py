"""Components of near rows: those of comparing every pair of equal key, whatever the order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainworks.photostock.curation.components import join


def slow_join(component, key, near):
    """Labels spread along near pairs of equal key until nothing changes."""
    pairs = [(i, j) for i in range(len(key)) for j in range(len(key)) if i == j or (key[i] == key[j] and near(i, j))]
    label, changed = list(component), True
    while changed:
        before = list(label)
        for i, j in pairs:
            least = min(label[i], label[j])
            # A row that moves takes its whole component along.
            label = [least if at in (label[i], label[j]) else at for at in label]
        changed = label != before
    return label


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 2)), max_size=12), st.integers(0, 4))
def test_joining_twice_is_comparing_every_pair(rows, distance):
    """Numbers within a distance, under one key and then another: the second join keeps what the first made."""
    first, value, second = np.array(rows, np.int64).reshape(-1, 3).T
    component = np.arange(len(rows))
    slow = list(component)
    for key in (first, second):
        component = join(component, key, lambda one, other: abs(value[one] - value[other]) <= distance)
        slow = slow_join(slow, key, lambda i, j: abs(value[i] - value[j]) <= distance)
    assert component.tolist() == slow


def test_what_is_joined_is_not_compared_again():
    """A thousand equal rows under one key: a few thousand comparisons, not half a million."""
    compared = []

    def near(rows, others):
        compared.append(len(rows))
        return np.ones(len(rows), bool)

    component = join(np.arange(1000), np.zeros(1000), near)
    assert not component.any()
    assert sum(compared) < 3000


def test_the_given_components_stay_untouched():
    """The caller's array is not written to."""
    given_ = np.arange(4)
    join(given_, np.zeros(4), lambda rows, others: np.ones(len(rows), bool))
    assert given_.tolist() == [0, 1, 2, 3]
