"""Slices: the catalogue cut so that new, changed and removed rows change few of the slices."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),
        ("bytes", pa.binary()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("contributor", pa.string()),
        ("licence", pa.string()),
        ("group", pa.string()),
        ("fingerprint", pa.string()),
        ("repairs", pa.list_(pa.string())),
        ("rejected", pa.string()),
        ("detail", pa.string()),
    ]
)
"""Columns of a slice; see ``catalogue.read`` for what they hold."""

ROWS = "rows.parquet"
LEAST_TARGET, ROWS_PER_TARGET, LONGEST = 32, 128, 4


def slices(table: pa.Table) -> Iterator[pa.Table]:
    """*table* in slices of consecutive rows, in order.

    A slice ends after a row at position p whose ``crc32(id)`` is a multiple of ``target(p)``, and in
    any case at ``4 * target`` rows. ``target(p)`` is the power of two at or below p / 128, and at least 32.
    So the cut depends on ids and, weakly, on positions:

    - Appended rows change the last slice only.
    - A changed row (same id) changes its own slice only; one inserted or removed changes its own slice, seldom
      a neighbour, and at most one more place per doubling of the length.
    - 10^5, 10^6 and 10^7 rows make about 700, 1100 and 1600 slices, and a slice is about 1 % of the rows before it.

    Content-defined chunking, after Muthitacharoen et al., "A low-bandwidth network file system", 2001.
    """
    start = 0
    for end in ends(table["id"].to_pylist()):
        yield table.slice(start, end - start)
        start = end


def ends(ids: list[str]) -> list[int]:
    """Where the slices of rows with these *ids* end (exclusive), ascending."""
    crc = np.fromiter((zlib.crc32(name.encode()) for name in ids), np.int64, len(ids))
    exponent = np.frexp(np.arange(len(ids)) / ROWS_PER_TARGET)[1].astype(np.int64) - 1
    target = np.maximum(LEAST_TARGET, 1 << np.maximum(exponent, 0))
    slice_ends: list[int] = []
    start = 0
    for end in [*(np.flatnonzero(crc % target == 0) + 1).tolist(), len(ids)]:
        while end > start:
            start = min(end, start + LONGEST * int(target[start]))
            slice_ends.append(start)
    return slice_ends


def write_slice(table: pa.Table, out: Path) -> None:
    """Write *table* as the slice folder *out*; the same rows give the same bytes, however the table is chunked."""
    out.mkdir(parents=True, exist_ok=True)
    rows = table.select(SCHEMA.names).cast(SCHEMA).combine_chunks()
    pq.write_table(rows, out / ROWS, compression="zstd", row_group_size=1024)
