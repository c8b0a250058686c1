"""Connected components of the relation "near", where only rows of equal key are compared."""

from collections.abc import Callable

import numpy as np

Near = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Rows int64 (m,) and rows int64 (m,) → bool (m,): which of these pairs are near."""


def join(component: np.ndarray, key: np.ndarray, near: Near) -> np.ndarray:
    """*component* with the components of all *near* rows of equal *key* made one.

    Memory is linear, also in the largest bucket of equal keys; time is linear in the pairs compared, and pairs that
    are of one component already are not given to *near*.

    Args:
        component: int64 (n,): for every row the smallest row of its component.
        key: (n,), of any type that sorts.
        near: the test of a pair.
    """
    rows = np.argsort(key, kind="stable")
    key = key[rows]
    pending, count = [], 0
    left, gap = np.arange(len(key)), 0
    while len(left):  # compares each row with the next, the next but one, …
        gap += 1
        left = left[: np.searchsorted(left, len(key) - gap)]
        left = left[key[left] == key[left + gap]]
        pairs = np.stack([rows[left], rows[left + gap]])
        pairs = pairs[:, component[pairs[0]] != component[pairs[1]]]
        pending.append(pairs[:, near(*pairs)])
        count += pending[-1].shape[1]
        # At powers of two, so that rows already joined are not compared again, and merging stays cheap.
        if gap & (gap - 1) == 0 or count > len(component) or not len(left):
            component = _merge(component, np.concatenate(pending, axis=1))
            pending, count = [], 0
    return component


def _merge(component: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """*component* after the rows of each of *pairs* (2, m) were joined; the smaller row stays the root."""
    component = component.copy()
    while True:
        roots = component[pairs]
        roots = roots[:, roots[0] != roots[1]]
        if not roots.size:
            return component
        np.minimum.at(component, roots.max(axis=0), roots.min(axis=0))
        while np.any((parent := component[component]) != component):
            component = parent
        pairs = roots
