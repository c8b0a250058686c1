"""Leak-free splits: whole groups to one side each, chosen by the hash of their names."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from trainworks.errors import DataError

TRAIN, VAL, TEST = "train", "val", "test"
LEFT_OUT = ""

_DIVERSITY = 10
"""Least number of groups in a gallery: one contributor's pictures resemble each other and would make it easy or odd."""


def split(groups: Sequence[str] | np.ndarray, gallery: int, eligible: np.ndarray | None = None) -> np.ndarray:
    """``"train"``, ``"val"``, ``"test"`` or ``""`` (left out) for every row; no group is on two sides.

    Groups are ordered by the SHA-256 of their names. Test takes them from the low end and validation from the high
    end until each has *gallery* rows; what its last group has beyond is left out. Groups larger than a tenth of a
    gallery are train; only where the others are too few does that limit rise, by doubling, to the least that will do.

    There is no seed, and as long as the limit does not rise, new groups turn nobody's training rows into held-out ones.

    Args:
        groups: the name of each row's group (n,).
        gallery: rows in test, and as many in validation.
        eligible: bool (n,): rows that may be held out, all by default; the others are train or left out.

    Raises:
        DataError: no limit leaves two full galleries and a train side at least as large as both.
    """
    group, distinct = pd.factorize(np.asarray(groups, dtype=object))
    names = [str(name) for name in distinct]
    if eligible is None:
        eligible = np.ones(len(group), bool)
    sizes = np.bincount(group[eligible], minlength=len(names))
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    limit = max(1, gallery // _DIVERSITY)
    while True:
        small = np.array([i for i in order if 0 < sizes[i] <= limit], int)
        test, val = _filling(sizes, small, gallery), _filling(sizes, small[::-1], gallery)
        train = len(group) - np.isin(group, np.concatenate([test, val])).sum()
        if len(test) and len(test) + len(val) <= len(small) and train >= 2 * gallery:
            break
        if limit >= sizes.max(initial=0):
            raise DataError(_why_not(len(group), sizes, gallery))
        limit *= 2
    side = np.full(len(group), TRAIN, dtype=object)
    for name, held_out in ((TEST, test), (VAL, val)):
        rank = np.full(len(names), -1)
        rank[held_out] = np.arange(len(held_out))
        side[rank[group] >= 0] = LEFT_OUT
        rows = np.flatnonzero((rank[group] >= 0) & eligible)
        side[rows[np.argsort(rank[group[rows]], kind="stable")][:gallery]] = name
    return side


def _filling(sizes: np.ndarray, groups: np.ndarray, gallery: int) -> np.ndarray:
    """The first of *groups* that have *gallery* rows between them; none if all have fewer."""
    rows = np.cumsum(sizes[groups])
    return groups[: 1 + np.searchsorted(rows, gallery)] if rows.size and rows[-1] >= gallery else groups[:0]


def _why_not(rows: int, sizes: np.ndarray, gallery: int) -> str:
    wanted = f"two galleries of {gallery} and at least {2 * gallery} training pictures"
    if rows < 4 * gallery:
        return f"{rows} pictures are too few for {wanted}: bring {4 * gallery}, or lower data.gallery to {rows // 4} or less"
    return (
        f"{rows} pictures of {len(sizes)} groups cannot be parted into {wanted} with every contributor on one side "
        f"(the largest has {sizes.max(initial=0)}): lower data.gallery, or give the catalogue a finer column 'group'"
    )
