"""Forecasts as others find them: ``origin=2026-11-23/forecasts.parquet``, written once, whole or not at all."""

import contextlib
import io
import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from trainworks.release import stored
from trainworks.storage import places, s3
from trainworks.supermegaretail.facts import PIPELINE
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.panel.panel import Panel

NAME = "forecasts.parquet"

SHARD = 2**17
"""Series that are forecast at once, in about 4 GB; a multiple of the rows that the graph sees at once, so that shards change none."""


def check_target(to: str) -> None:
    """Refuse a place that cannot hold forecasts, before anything is made that would go there.

    Raises:
        ValueError: *to* is neither a local folder nor ``s3://bucket/prefix``, or has credentials in it.
        StorageError: the bucket cannot be reached or written; says what to do.
    """
    to = places.parse("forecasts_to", to)
    if s3.is_uri(to):
        s3.check_writable(to)
    elif Path(to).exists() and not Path(to).is_dir():
        raise ValueError(f"forecasts_to = {to!r}: is there and is not a folder")


def write(release: str, panel: Path, to: str) -> str:
    """Forecast every series of *panel* from its newest period with the *release*, and give the place of the file.

    Series are read and forecast in shards of SHARD, as they would be at once. The file's metadata has ``release``, the version, and
    ``origin``. What is there for that origin stays as it is: whoever read it must find it again.

    Raises:
        DataError: the panel is of another grain than the release, or lacks what it reads.
        IntegrityError: the release is damaged.
    """
    bundle = stored.locate(release)
    firsts = shards(panel)
    newest = Panel.load(panel, 0, 1)
    origin = newest.known - 1
    place = f"{to.rstrip('/')}/origin={newest.starts[origin]}/{NAME}"
    if _is_there(place):
        return place
    forecaster = Forecaster.load(bundle.uri)
    pools = forecaster.pools((Panel.load(panel, first, SHARD) for first in firsts), origin) if len(firsts) > 1 else None
    facts = {"release": bundle.version, "origin": str(newest.starts[origin]), "pipeline": PIPELINE}
    tables = (forecaster.of(Panel.load(panel, first, SHARD), origin, pools) for first in firsts)
    _put(place, (table.replace_schema_metadata(facts) for table in tables))
    return place


def shards(panel: Path) -> list[int]:
    """The first series of each shard of *panel*."""
    return list(range(0, Panel.count(panel), SHARD)) or [0]


def written(to: str) -> dict[str, str]:
    """Origin → the place of its forecasts, of all below *to*, the oldest first."""
    names = (
        [entry.name for entry in s3.listing(to)] if s3.is_uri(to) else [str(path.relative_to(to)) for path in Path(to).glob(f"*/{NAME}")]
    )
    found = {match[1]: name for name in sorted(names) if (match := re.fullmatch(rf"origin=(\d{{4}}-\d\d-\d\d)/{re.escape(NAME)}", name))}
    return {origin: f"{to.rstrip('/')}/{name}" for origin, name in found.items()}


def read(place: str) -> pa.Table:
    """The forecasts at *place*, with what `write` notes as metadata of their schema."""
    content = s3.read(place) if s3.is_uri(place) else Path(place).read_bytes()
    return pq.ParquetFile(pa.BufferReader(content)).read()


def _is_there(place: str) -> bool:
    return s3.stat(place) is not None if s3.is_uri(place) else Path(place).exists()


def _put(place: str, tables: Iterator[pa.Table]) -> None:
    """Write *tables* to *place*, one below another, unless somebody else was first."""
    first = next(tables)  # what fails here leaves not even a folder
    if s3.is_uri(place):
        content = io.BytesIO()
        _write(content, first, tables)
        s3.swap(place, content.getvalue(), None)
        return
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as draft:
        _write(draft, first, tables)
        os.fsync(draft.fileno())
        Path(draft.name).chmod(0o644)
        with contextlib.suppress(FileExistsError):
            os.link(draft.name, path)  # fails where a rename would replace


def _write(to: IO[bytes], first: pa.Table, others: Iterator[pa.Table]) -> None:
    with pq.ParquetWriter(to, first.schema, compression="zstd") as file:
        for table in itertools.chain([first], others):
            file.write_table(table)
    to.flush()
