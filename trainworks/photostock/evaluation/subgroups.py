"""Groups of test pictures whose recall is measured apart: a mean hides whom a model fails."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

LEAST = 5
"""Test pictures that a tag needs to be a category: fewer say nothing."""

MOST = 12
"""Categories shown of those that are known, and as many of those that are new."""


def slices(rows: pd.DataFrame, dataset: Path) -> dict[str, dict[str, np.ndarray]]:
    """What the test pictures are parted by → group → mask over *rows*; the groups cover all rows, none is empty.

    A contributor's size is the number of pictures that the dataset, all splits together, has of them.
    """
    sizes = pq.read_table(dataset / "index.parquet", columns=["contributor"]).to_pandas()["contributor"].value_counts()
    contributor = rows["contributor"].fillna("")
    size = np.where(contributor == "", 0, contributor.map(sizes).fillna(0))
    return {
        "caption length": _bins([len(caption.split()) for caption in rows["caption"]], (0, 5, 10, 20), "words"),
        "contributor size": {**_bins(size, (1, 6, 21, 101), "pictures"), **_present({"unknown": size == 0})},
    }


def categories(tags: Iterable[Iterable[str]]) -> dict[str, np.ndarray]:
    """Tag (in folded case) → mask over the pictures with these *tags*; the most frequent first, none with fewer than LEAST."""
    bearers: dict[str, list[int]] = defaultdict(list)
    pictures = [sorted({tag.casefold() for tag in picture}) for picture in tags]
    for position, picture in enumerate(pictures):
        for tag in picture:
            bearers[tag].append(position)
    frequent = sorted((tag for tag, positions in bearers.items() if len(positions) >= LEAST), key=lambda tag: (-len(bearers[tag]), tag))
    return {tag: np.isin(np.arange(len(pictures)), bearers[tag]) for tag in frequent}


def shown(masks: Mapping[str, np.ndarray], known: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Of the categories whose *masks* these are, those not among the *known* tags and then the others, MOST of each."""
    new = [tag for tag in masks if tag not in known]
    old = [tag for tag in masks if tag in known]
    return {tag: masks[tag] for tag in (*new[:MOST], *old[:MOST])}


def by_novelty(masks: Mapping[str, np.ndarray], known: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The pictures of at least one category that is not among the *known* tags, and the others; none if there is no such category."""
    new = [mask for tag, mask in masks.items() if tag not in known]
    if not new:
        return {}
    is_new = np.any(new, axis=0)
    return _present({"new": is_new, "known": ~is_new})


def _bins(values: Iterable[float], edges: Sequence[int], unit: str) -> dict[str, np.ndarray]:
    """The *values* from one edge up to the next, by name; ``5–9 words``, and the last is open: ``20+ words``."""
    value_N = np.asarray(values)
    bins = {f"{low}–{high - 1} {unit}": (low <= value_N) & (value_N < high) for low, high in pairwise(edges)}
    return _present({**bins, f"{edges[-1]}+ {unit}": value_N >= edges[-1]})


def _present(groups: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: chosen for name, chosen in groups.items() if chosen.any()}
