"""Forecasts as others find them: ``origin=2026-11-23/forecasts.parquet``, written once, whole or not at all."""

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainworks.errors import IntegrityError
from trainworks.release import stored
from trainworks.storage import manifest, places, s3
from trainworks.supermegaretail.facts import PIPELINE
from trainworks.supermegaretail.features.pools import Shared
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.panel.panel import Panel

NAME, GATHERED = "forecasts.parquet", "gathered.json"

SHARD = 2**16
"""Series that are forecast at once, in about 2 GB; a multiple of the rows that the graph sees at once, so that shards change none."""


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


def gather(release: str, panel: Path, to: str, out: Path) -> list[int]:
    """Write into *out* what every shard of *panel* must know to be forecast with the *release*; give the first series of each.

    There is none to forecast where the forecasts of the newest origin are below *to*: whoever read them must find them again.

    Raises:
        DataError: the panel is of another grain than the release, or lacks what it reads.
        IntegrityError: the release is damaged.
    """
    bundle = stored.locate(release)
    newest = Panel.load(panel, 0, 1)
    origin = newest.known - 1
    facts: dict[str, Any] = {"bundle": bundle.uri, "manifest": _digest(bundle), "origin": str(newest.starts[origin])}
    firsts: list[int] = []
    if not _is_there(_place(to, facts["origin"])):
        firsts = list(range(0, Panel.count(panel), SHARD)) or [0]
        shards = (Panel.load(panel, first, SHARD) for first in firsts)
        facts["shared"] = Forecaster.load(bundle.uri).gather(shards, origin).to_json()
    (out / GATHERED).write_text(json.dumps(facts, allow_nan=False))
    return firsts


def forecast(first: int, panel: Path, gathered: Path, out: Path) -> None:
    """Write into *out* the forecasts of the shard of *panel* whose *first* series this is, as they would be of all series at once.

    Raises:
        IntegrityError: the release is damaged, or no more the one that was *gathered* for.
    """
    facts = json.loads((gathered / GATHERED).read_text())
    bundle = stored.locate(facts["bundle"])
    if _digest(bundle) != facts["manifest"]:
        raise IntegrityError(f"{bundle.uri}: another bundle than when this began; run it again")
    shard = Panel.load(panel, first, SHARD)
    table = Forecaster.load(bundle.uri).of(shard, shard.known - 1, Shared.from_json(facts["shared"]))
    pq.write_table(table, out / NAME, compression="zstd")


def publish(parts: list[Path], gathered: Path, to: str) -> str:
    """Write the forecasts of all shards below *to* as one file, and give its place; what is there for that origin stays as it is.

    The file's metadata has ``release``, the version, and ``origin``.
    """
    facts = json.loads((gathered / GATHERED).read_text())
    place = _place(to, facts["origin"])
    if parts:
        metadata = {"release": facts["bundle"].rpartition("/")[2], "origin": facts["origin"], "pipeline": PIPELINE}
        _put(place, (pq.read_table(part / NAME).replace_schema_metadata(metadata) for part in parts))
    return place


def write(release: str, panel: Path, to: str) -> str:
    """All of it in this process, one shard after another: the place of the forecasts of *panel*'s newest origin."""
    with tempfile.TemporaryDirectory() as temporary:
        gathered, parts = Path(temporary), list[Path]()
        for number, first in enumerate(gather(release, panel, to, gathered)):
            parts.append(gathered / str(number))
            parts[-1].mkdir()
            forecast(first, panel, gathered, parts[-1])
        return publish(parts, gathered, to)


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


def _place(to: str, origin: str) -> str:
    return f"{to.rstrip('/')}/origin={origin}/{NAME}"


def _digest(bundle: stored.StoredBundle) -> str:
    return hashlib.sha256(manifest.sealed(bundle.facts).encode()).hexdigest()


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
