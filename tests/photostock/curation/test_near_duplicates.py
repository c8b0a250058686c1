"""Near-duplicate clusters: the exact components, for every input, beside an obvious slow reference."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainworks.photostock.curation.near_duplicates import clusters, leaders

ALL_ONES = 2**64 - 1


def slow_clusters(hashes, radius):
    """Every pair compared, labels spread until nothing changes."""
    cluster = list(range(len(hashes)))
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(hashes):
            for j, other in enumerate(hashes):
                near = i == j or ((one ^ other).bit_count() <= radius and not {one, other} & {0, ALL_ONES})
                if near and cluster[j] > cluster[i]:
                    cluster[j], changed = cluster[i], True
    return cluster


@st.composite
def families(draw):
    """Hashes of a few originals, most of them a few flipped bits away from one another."""
    originals = draw(st.lists(st.one_of(st.integers(0, ALL_ONES), st.sampled_from([0, ALL_ONES, 1, 7])), min_size=1, max_size=3))
    members = st.tuples(st.sampled_from(originals), st.sets(st.integers(0, 63), max_size=7))
    return [original ^ sum(1 << bit for bit in flipped) for original, flipped in draw(st.lists(members, max_size=14))]


def slow_leaders(hashes, priority, radius):
    """Row after row of rising priority: led by the first leader that is near, else a leader itself."""
    leader = {}
    for row in sorted(range(len(hashes)), key=lambda row: (priority[row], row)):
        telling = [one for one in leader.values() if not {hashes[one], hashes[row]} & {0, ALL_ONES}]
        leader[row] = next((one for one in telling if (hashes[one] ^ hashes[row]).bit_count() <= radius), row)
    return [leader[row] for row in range(len(hashes))]


@given(families(), st.integers(0, 6), st.randoms(use_true_random=False))
def test_a_leader_is_near_all_it_stands_for(hashes, radius, random):
    """A picture that is dropped is a near duplicate of the one that stays, however long the chain."""
    priority = [random.randrange(5) for _ in hashes]
    given_hashes = np.array(hashes, np.uint64)
    leader = leaders(given_hashes, clusters(given_hashes, radius), np.array(priority, np.int64), radius)
    assert leader.tolist() == slow_leaders(hashes, priority, radius)


@given(families(), st.integers(0, 6))
def test_clusters_are_those_of_comparing_every_pair(hashes, radius):
    """No pair is missed by the blocks and none is made up, and the number is the smallest row."""
    assert clusters(np.array(hashes, np.uint64), radius).tolist() == slow_clusters(hashes, radius)


def test_two_pictures_are_joined_by_one_between_them():
    """A component, not a ball: 0b1111 and 0b11111111 are 4 bits apart, and so is the next."""
    chain = np.array([0xF, 0xFFF, 0xFF, 0xFFFF_FFFF], np.uint64)
    assert clusters(chain, 4).tolist() == [0, 0, 0, 3]
    assert clusters(chain, 3).tolist() == [0, 1, 2, 3]


def test_hashes_that_say_nothing_join_nothing():
    """Blank pictures are neither duplicates of one another nor a bridge between pictures near them."""
    hashes = np.array([0, 0b111, 0b111 << 60, 0, ALL_ONES, ALL_ONES], np.uint64)
    assert clusters(hashes, 4).tolist() == [0, 1, 2, 3, 4, 5]


def test_no_hashes_have_no_clusters():
    """An empty catalogue is not an error here."""
    assert clusters(np.zeros(0, np.uint64), 4).tolist() == []


def test_a_crowded_bucket_needs_memory_for_its_rows_not_for_its_pairs():
    """4,000 hashes of at most three ones: a million near pairs, the list of which would take 16 MB."""
    ones = np.uint64(1) << np.random.default_rng(0).integers(0, 64, (4_000, 3), dtype=np.uint64)
    hashes = np.bitwise_or.reduce(ones, axis=1)
    tracemalloc.start()
    cluster = clusters(hashes, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000
    assert not cluster.any()
