"""A shard: the table of its rows, and their pictures in a second file, which is fetched only by stages that need pixels.

These functions read a shard wherever it lies, here or on S3.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainworks.storage import store

ROWS = "rows.parquet"
"""All columns of every row but its picture."""

PIXELS = "pixels.parquet"
"""``id`` and ``pixels`` of every row in the same order: a JPEG, or null where the row was rejected."""


def read_rows(shard: Path, columns: Sequence[str]) -> pa.Table:
    """The *columns* of all rows, without pictures."""
    return pq.read_table(store.fetched(shard / ROWS), columns=list(columns))


def open_pictures(shard: Path) -> pq.ParquetFile:
    """The file of all pictures, to be read in batches."""
    return pq.ParquetFile(store.fetched(shard / PIXELS))


def stored_pictures(shard: Path, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The stored pictures of *rows*: for each, its position in *rows* and its JPEG; memory holds one row group at a time."""
    with open_pictures(shard) as file:
        group_ends = np.cumsum([file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)])
        group_of_row = np.searchsorted(group_ends, rows, side="right")
        for group in np.unique(group_of_row).tolist():
            jpegs = file.read_row_group(group, columns=["pixels"])["pixels"]
            start = int(group_ends[group]) - len(jpegs)
            for position in np.flatnonzero(group_of_row == group).tolist():
                yield position, jpegs[int(rows[position]) - start].as_py()
