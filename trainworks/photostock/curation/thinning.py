"""What each step of ``subsample`` has no room for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from trainworks.photostock.curation import near_duplicates, similar_texts
from trainworks.photostock.curation.subsample import Step

REASONS = {
    "near_duplicates": "near duplicate",
    "similar_texts": "similar text",
    "contributor": "contributor at the limit",
    "visual_cluster": "visual cluster at the limit",
}


@dataclass(frozen=True)
class Pictures:
    """What thinning looks at: n pictures, alive or not.

    Attributes:
        ids: strings (n,).
        captions: strings (n,), null where a picture is not alive.
        hashes: uint64 (n,), perceptual.
        cluster: int64 (n,), the near-duplicate cluster.
        owner: strings (n,), the contributor or who stands for one.
        lot: uint64 (n,): of each cluster the lowest stay, so a new picture displaces one at most.
        embeddings: folders with an ``embeddings.parquet``.
    """

    ids: np.ndarray
    captions: pa.ChunkedArray
    hashes: np.ndarray
    cluster: np.ndarray
    owner: np.ndarray
    lot: np.ndarray
    embeddings: Sequence[Path]

    def surplus(self, step: Step, alive: np.ndarray) -> tuple[np.ndarray, str, np.ndarray]:
        """The rows of *alive* that *step* has no room for, the reason, and the detail of each."""
        key = self._key(step, alive)
        rows, first = beyond(step.limit, alive, key, self.lot)
        if step.name == "contributor":
            return rows, REASONS[step.name], self.owner[rows]
        return rows, REASONS[step.name], "of " + self.ids[first]

    def _key(self, step: Step, alive: np.ndarray) -> np.ndarray:
        """For every row the cluster that *step* counts in; anything for rows that are not *alive*."""
        if step.name == "contributor":
            return self.owner
        key = np.zeros(len(self.ids), np.int64)
        if step.name == "near_duplicates":
            key[alive] = near_duplicates.leaders(self.hashes[alive], self.cluster[alive], self.lot[alive], near_duplicates.RADIUS)
        elif step.name == "similar_texts":
            key[alive] = similar_texts.clusters(self.captions.take(alive).combine_chunks(), step.share)
        else:
            from trainworks.photostock.curation import visual_clusters  # scikit-learn takes a second to import

            key[alive] = visual_clusters.clusters(pa.array(self.ids[alive], pa.string()), self.lot[alive], self.embeddings, step.k)
        return key


def beyond(limit: int, alive: np.ndarray, key: np.ndarray, priority: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the rows *alive*, those that are not among the *limit* of least *priority* with their *key*, and the first that is.

    Rows of equal priority come in order.
    """
    code = pd.factorize(key[alive])[0]
    order = np.lexsort((priority[alive], code))
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    first = np.repeat(starts, np.diff(starts, append=len(order)))
    surplus = np.arange(len(order)) - first >= limit
    return alive[order[surplus]], alive[order[first[surplus]]]
