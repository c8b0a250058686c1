"""Visual clusters: pictures whose embeddings by the untouched image tower are close, by k-means."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.cluster import MiniBatchKMeans

from trainworks.errors import DataError
from trainworks.progress import Bar

_PER_CLUSTER = 100
"""Pictures per cluster that the centres are learnt from; more hardly move them and cost memory."""

_BATCH = 10_000


def clusters(ids: pa.Array, priority: np.ndarray, embeddings: Sequence[Path], k: int = 0) -> np.ndarray:
    """The cluster of every picture, by mini-batch k-means on L2-normalised embeddings.

    Centres are learnt from the pictures of lowest *priority* (D. Sculley, "Web-scale k-means clustering", WWW 2010), then
    embeddings are read once more, in batches: memory holds the sample and no more. Time is linear in n · k.

    Args:
        ids: strings (n,), the pictures' ids.
        priority: (n,), the lowest are in the sample.
        embeddings: folders with an ``embeddings.parquet`` (see ``embed``), in any order.
        k: number of clusters; 0 is the root of n.

    Returns:
        int32 (n,): the number of the cluster.

    Raises:
        DataError: there are no embeddings, or a picture has none.
    """
    files = [folder / "embeddings.parquet" for folder in embeddings]
    existing = [file for file in files if file.is_file()]
    if not files or existing != files:
        raise DataError(
            f"visual_cluster needs embeddings of every shard, found {len(existing)} for {len(files)} shards; run the stage embed first"
        )
    k = min(k or round(math.sqrt(len(ids))), len(ids))
    sample_rows = np.argsort(priority, kind="stable")[: _PER_CLUSTER * k]
    position_in_sample = np.full(len(ids), -1)
    position_in_sample[sample_rows] = np.arange(len(sample_rows))
    sample, has_embedding = None, np.zeros(len(ids), bool)
    for rows, values in _batches(files, ids):
        has_embedding[rows] = True
        in_sample = position_in_sample[rows] >= 0
        sample = np.empty((len(sample_rows), values.shape[1]), np.float32) if sample is None else sample
        sample[position_in_sample[rows[in_sample]]] = values[in_sample]
    if not has_embedding.all():
        raise DataError(f"picture {ids[int(np.argmin(has_embedding))].as_py()!r} has no embedding: give the embeddings of every shard")
    cluster = np.zeros(len(ids), np.int32)
    if k > 1:
        kmeans = MiniBatchKMeans(k, batch_size=max(1024, 4 * k), n_init=1, random_state=0).fit(sample)
        for rows, values in _batches(files, ids):
            cluster[rows] = kmeans.predict(values)
    return cluster


def _batches(files: list[Path], ids: pa.Array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batch by batch: rows of *ids* (m,) and their embeddings, float32 (m, D)."""
    for file in Bar(files, "embeddings"):
        for batch in pq.ParquetFile(file).iter_batches(_BATCH):
            row = pc.index_in(batch["id"], value_set=ids)
            batch = batch.filter(pc.is_valid(row))
            if len(batch):
                values = batch["embedding"].flatten().to_numpy().astype(np.float32).reshape(len(batch), -1)
                yield pc.drop_null(row).to_numpy(), values
