"""A shard: the table of its rows, and their pictures in a file of their own, fetched only by who looks at them.

Who reads a shard by these functions need not know whether it lies here or on S3.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainworks.storage import store

ROWS = "rows.parquet"
"""What is known of every row but its picture."""

PIXELS = "pixels.parquet"
"""``id`` and ``pixels`` of every row in the same order: a JPEG, or null where the row was rejected."""


def read_rows(shard: Path, columns: Sequence[str]) -> pa.Table:
    """These *columns* of all rows."""
    return pq.read_table(store.fetched(shard / ROWS), columns=list(columns))


def open_pictures(shard: Path) -> pq.ParquetFile:
    """The file of all pictures, to be read piece by piece."""
    return pq.ParquetFile(store.fetched(shard / PIXELS))


def stored_pictures(shard: Path, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The stored pictures of *rows*: for each, its place in *rows* and its JPEG; memory holds one row group at a time."""
    with open_pictures(shard) as file:
        ends = np.cumsum([file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)])
        group_of = np.searchsorted(ends, rows, side="right")
        for group in np.unique(group_of).tolist():
            stored = file.read_row_group(group, columns=["pixels"])["pixels"]
            start = int(ends[group]) - len(stored)
            for place in np.flatnonzero(group_of == group).tolist():
                yield place, stored[int(rows[place]) - start].as_py()
