"""Near duplicates: pictures whose perceptual hashes differ in a few bits, joined into clusters."""

from itertools import combinations

import numpy as np

BITS = 64
_UNINFORMATIVE = (0, 2**BITS - 1)


def clusters(hashes: np.ndarray, radius: int) -> np.ndarray:
    """The cluster of every hash: the connected components of "differ in at most *radius* bits".

    Exact. Two hashes that differ in r bits agree in at least two of r + 2 blocks of bits, so only rows that agree
    in two blocks are compared (Manku, Jain & Das Sarma, "Detecting near-duplicates for web crawling", WWW 2007).
    Time is near-linear while hashes are spread, memory linear always.

    A hash of only zeros or only ones is that of a picture without any structure and says nothing about another:
    such a row is a cluster of its own and joins nothing.

    Args:
        hashes: uint64 (n,).
        radius: largest Hamming distance between neighbours, in bits.

    Returns:
        int64 (n,): the smallest row of the cluster.
    """
    cluster = np.arange(len(hashes), dtype=np.int64)
    telling = np.flatnonzero(~np.isin(hashes, np.array(_UNINFORMATIVE, np.uint64)))
    distinct, first, inverse = np.unique(hashes[telling], return_index=True, return_inverse=True)
    component = _components(distinct, radius)
    smallest = np.full(len(distinct), len(hashes), np.int64)
    np.minimum.at(smallest, component, first)
    cluster[telling] = telling[smallest[component][inverse]]
    return cluster


def _components(hashes: np.ndarray, radius: int) -> np.ndarray:
    """The component of every one of these distinct hashes, as its smallest row."""
    component = np.arange(len(hashes))
    blocks = [sum(1 << int(bit) for bit in block) for block in np.array_split(np.arange(BITS), radius + 2)]
    for one, other in combinations(blocks, 2):
        key = hashes & np.uint64(one | other)
        order = np.argsort(key)
        component = _join(hashes[order], key[order], order, radius, component)
    return component


def _join(hashes: np.ndarray, key: np.ndarray, rows: np.ndarray, radius: int, component: np.ndarray) -> np.ndarray:
    """*component* with the neighbours among rows of equal *key*, which is sorted, joined."""
    pending, count = [], 0
    left, gap = np.arange(len(key)), 0
    while len(left):  # compares each row with the next, the next but one, …: memory stays linear in the largest bucket too
        gap += 1
        left = left[: np.searchsorted(left, len(key) - gap)]
        left = left[key[left] == key[left + gap]]
        near = left[np.bitwise_count(hashes[left] ^ hashes[left + gap]) <= radius]
        pending.append(np.stack([rows[near], rows[near + gap]]))
        count += len(near)
        if count > len(component) or not len(left):
            component = _merge(component, np.concatenate(pending, axis=1))
            pending, count = [], 0
    return component


def _merge(component: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """*component* after the rows of each of *pairs* (2, m) were joined; the smaller row stays the root."""
    while True:
        roots = component[pairs]
        roots = roots[:, roots[0] != roots[1]]
        if not roots.size:
            return component
        np.minimum.at(component, roots.max(axis=0), roots.min(axis=0))
        while np.any((up := component[component]) != component):
            component = up
        pairs = roots
