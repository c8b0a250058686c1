"""The rows that each step of ``subsample`` rejects."""

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
class Columns:
    """The columns that thinning reads, of all n rows, kept or not.

    Attributes:
        ids: strings (n,).
        captions: strings (n,), null in rows that are not kept.
        hashes: uint64 (n,), perceptual.
        cluster: int64 (n,), the near-duplicate cluster.
        owner: strings (n,), the contributor, or the name that is counted instead.
        priority: uint64 (n,), from the id's hash: of each cluster the lowest stay, so a new picture displaces one at most.
        embeddings: folders with an ``embeddings.parquet``.
    """

    ids: np.ndarray
    captions: pa.ChunkedArray
    hashes: np.ndarray
    cluster: np.ndarray
    owner: np.ndarray
    priority: np.ndarray
    embeddings: Sequence[Path]

    def surplus(self, step: Step, kept: np.ndarray) -> tuple[np.ndarray, str, np.ndarray]:
        """The rows of *kept* that are over the limit of *step*, the reason, and the detail of each."""
        key = self._key(step, kept)
        surplus, first = over_limit(step.limit, kept, key, self.priority)
        if step.name == "contributor":
            return surplus, REASONS[step.name], self.owner[surplus]
        return surplus, REASONS[step.name], "of " + self.ids[first]

    def _key(self, step: Step, kept: np.ndarray) -> np.ndarray:
        """For every row the cluster to which *step* applies its limit; of no meaning for rows that are not *kept*."""
        if step.name == "contributor":
            return self.owner
        key = np.zeros(len(self.ids), np.int64)
        if step.name == "near_duplicates":
            key[kept] = near_duplicates.leaders(self.hashes[kept], self.cluster[kept], self.priority[kept], near_duplicates.RADIUS)
        elif step.name == "similar_texts":
            key[kept] = similar_texts.clusters(self.captions.take(kept).combine_chunks(), step.share)
        else:
            from trainworks.photostock.curation import visual_clusters  # scikit-learn takes a second to import

            key[kept] = visual_clusters.clusters(pa.array(self.ids[kept], pa.string()), self.priority[kept], self.embeddings, step.k)
        return key


def over_limit(limit: int, kept: np.ndarray, key: np.ndarray, priority: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the rows *kept*, those that are not among the *limit* rows of lowest *priority* with the same *key*.

    Beside each, the row of lowest priority with its key. Of equal priorities the first row counts as lower.
    """
    code = pd.factorize(key[kept])[0]
    order = np.lexsort((priority[kept], code))
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    first = np.repeat(starts, np.diff(starts, append=len(order)))
    surplus = np.arange(len(order)) - first >= limit
    return kept[order[surplus]], kept[order[first[surplus]]]
