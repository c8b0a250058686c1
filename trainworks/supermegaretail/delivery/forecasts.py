"""Forecasts as others find them: ``origin=2026-11-23/forecasts.parquet``, written once, whole or not at all."""

import io
import os
import re
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainworks.release import stored
from trainworks.storage import places, s3
from trainworks.supermegaretail.facts import PIPELINE
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.panel.panel import Panel

NAME = "forecasts.parquet"


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

    The file's metadata has ``release``, the version, and ``origin``. What is there for that origin stays as it is: whoever read it
    must find it again.

    Raises:
        DataError: the panel is of another grain than the release, or lacks what it reads.
        IntegrityError: the release is damaged.
    """
    bundle = stored.locate(release)
    whole = Panel.load(panel)
    origin = whole.known - 1
    place = f"{to.rstrip('/')}/origin={whole.starts[origin]}/{NAME}"
    if _is_there(place):
        return place
    table = Forecaster.load(bundle.uri).of(whole, origin)
    facts = {"release": bundle.version, "origin": str(whole.starts[origin]), "pipeline": PIPELINE}
    _put(place, table.replace_schema_metadata(facts))
    return place


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


def _put(place: str, table: pa.Table) -> None:
    """Write *table* to *place* unless somebody else was first."""
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    if s3.is_uri(place):
        s3.swap(place, content.getvalue(), None)
        return
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as draft:
        draft.write(content.getvalue())
        draft.flush()
        os.fsync(draft.fileno())
    try:
        Path(draft.name).chmod(0o644)
        os.link(draft.name, path)  # fails where a rename would replace
    except FileExistsError:
        pass
    finally:
        Path(draft.name).unlink()
