"""Near duplicates: pictures whose perceptual hashes differ in a few bits, joined into clusters."""

from itertools import combinations

import numpy as np

from trainworks.photostock.curation.components import join

RADIUS = 4
"""Bits of 64 in which the perceptual hashes of near duplicates may differ."""

BITS = 64
_UNINFORMATIVE = (0, 2**BITS - 1)


def clusters(hashes: np.ndarray, radius: int) -> np.ndarray:
    """The cluster of every hash: the connected components of "differ in at most *radius* bits".

    Exact. Two hashes that differ in r bits agree in at least two of r + 2 blocks of bits, so only rows that agree
    in two blocks are compared (Manku, Jain & Das Sarma, "Detecting near-duplicates for web crawling", WWW 2007).
    Time is near-linear while hashes are spread, memory linear always.

    A hash of only zeros or only ones is that of a picture without any structure, and such
    pictures need not be alike: the row is a cluster of its own and joins nothing.

    Args:
        hashes: uint64 (n,).
        radius: largest Hamming distance between neighbours, in bits.

    Returns:
        int64 (n,): the smallest row of the cluster.
    """
    cluster = np.arange(len(hashes), dtype=np.int64)
    informative = np.flatnonzero(~np.isin(hashes, np.array(_UNINFORMATIVE, np.uint64)))
    distinct, first, inverse = np.unique(hashes[informative], return_index=True, return_inverse=True)
    component = _components(distinct, radius)
    smallest = np.full(len(distinct), len(hashes), np.int64)
    np.minimum.at(smallest, component, first)
    cluster[informative] = informative[smallest[component][inverse]]
    return cluster


def leaders(hashes: np.ndarray, cluster: np.ndarray, priority: np.ndarray, radius: int) -> np.ndarray:
    """For every hash its leader, a hash within *radius*: the two ends of a chain of near duplicates may be unlike, a leader is not.

    In each cluster the row of least priority leads all rows within *radius* of it, then the least of the rest leads, and so on
    (leader clustering: Hartigan, "Clustering Algorithms", 1975, chapter 3). Time is linear but for clusters with many leaders.

    Args:
        hashes: uint64 (n,).
        cluster: (n,), as :func:`clusters` gives them, for the same radius.
        priority: (n,), lowest first.
        radius: largest Hamming distance to the leader, in bits.

    Returns:
        int64 (n,): the row of the leader.
    """
    leader = np.arange(len(hashes), dtype=np.int64)
    order = np.lexsort((priority, cluster))
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    lengths = np.diff(starts, append=len(order))
    for start, length in zip(starts[lengths > 1], lengths[lengths > 1], strict=True):
        rows = order[start : start + length]
        while len(rows):
            near = np.bitwise_count(hashes[rows] ^ hashes[rows[0]]) <= radius
            leader[rows[near]] = rows[0]
            rows = rows[~near]
    return leader


def _components(hashes: np.ndarray, radius: int) -> np.ndarray:
    """The component of every one of these distinct hashes, as its smallest row."""

    def near(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.bitwise_count(hashes[rows] ^ hashes[others]) <= radius

    component = np.arange(len(hashes))
    blocks = [sum(1 << int(bit) for bit in block) for block in np.array_split(np.arange(BITS), radius + 2)]
    for first, second in combinations(blocks, 2):
        component = join(component, hashes & np.uint64(first | second), near)
    return component
