"""Leak-free splits: whole groups to one side each, chosen by the hash of their names."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from trainworks.errors import DataError

TRAIN, VAL, TEST = "train", "val", "test"
LEFT_OUT = ""

_DIVERSITY = 10
"""Least number of groups in a held-out side: the rows of one group resemble each other and would make it easy or odd."""


def split(
    groups: Sequence[str] | np.ndarray,
    held_out: int,
    eligible: np.ndarray | None = None,
    *,
    knob: str = "held_out",
    finer_groups: str = "make the groups finer",
) -> np.ndarray:
    """``"train"``, ``"val"``, ``"test"`` or ``""`` (left out) for every row; no group is on two sides.

    Groups are ordered by the SHA-256 of their names. Test takes them from the low end and validation from the high
    end until each has *held_out* rows; what its last group has beyond is left out. Groups larger than a tenth of
    *held_out* are train; only where the others are too few does that limit rise, by doubling, to the least that will do.

    There is no seed, and as long as the limit does not rise, new groups turn nobody's training rows into held-out ones.

    Args:
        groups: the name of each row's group (n,).
        held_out: rows in test, and as many in validation.
        eligible: bool (n,): rows that may be held out, all by default; the others are train or left out.
        knob: what whoever reads an error calls *held_out*, such as ``--held_out``.
        finer_groups: what they can do about groups that are too large.

    Raises:
        DataError: no limit fills both held-out sides and leaves a train side at least as large as both.
    """
    group, distinct = pd.factorize(np.asarray(groups, dtype=object))
    names = [str(name) for name in distinct]
    if eligible is None:
        eligible = np.ones(len(group), bool)
    sizes = np.bincount(group[eligible], minlength=len(names))
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    limit = max(1, held_out // _DIVERSITY)
    while True:
        small = np.array([i for i in order if 0 < sizes[i] <= limit], int)
        test, val = _first_with(held_out, small, sizes), _first_with(held_out, small[::-1], sizes)
        train = len(group) - np.isin(group, np.concatenate([test, val])).sum()
        if len(test) and len(test) + len(val) <= len(small) and train >= 2 * held_out:
            break
        if limit >= sizes.max(initial=0):
            raise DataError(_why_not(len(group), sizes, held_out, knob, finer_groups))
        limit *= 2
    side = np.full(len(group), TRAIN, dtype=object)
    for name, taken in ((TEST, test), (VAL, val)):
        rank = np.full(len(names), -1)
        rank[taken] = np.arange(len(taken))
        side[rank[group] >= 0] = LEFT_OUT
        rows = np.flatnonzero((rank[group] >= 0) & eligible)
        side[rows[np.argsort(rank[group[rows]], kind="stable")][:held_out]] = name
    return side


def _first_with(rows: int, groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The first of *groups* that have *rows* rows between them; none if all have fewer."""
    total = np.cumsum(sizes[groups])
    return groups[: 1 + np.searchsorted(total, rows)] if total.size and total[-1] >= rows else groups[:0]


def _why_not(rows: int, sizes: np.ndarray, held_out: int, knob: str, finer_groups: str) -> str:
    if rows < 4 * held_out:
        return (
            f"{rows} rows are too few: validation and test take {held_out} each, training at least {2 * held_out}; "
            f"bring {4 * held_out}, or lower {knob} to {rows // 4} or less"
        )
    return (
        f"{rows} rows of {len(sizes)} groups cannot give {held_out} each to validation and test, and at least {2 * held_out} to training, "
        f"with every group on one side (the largest has {sizes.max(initial=0)}): lower {knob}, or {finer_groups}"
    )
