"""Acquire: a catalogue becomes a table in which every row is either usable or says why not."""

import hashlib
import logging
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from trainworks.errors import DataError
from trainworks.photostock.catalogue.records import BATCH, READERS, Record, records
from trainworks.photostock.catalogue.rows import EXCLUDED, table_row
from trainworks.photostock.catalogue.slices import SCHEMA
from trainworks.photostock.preparation.originals import Bucket, Folder, originals
from trainworks.photostock.rejected import Rejected
from trainworks.progress import Bar
from trainworks.storage import places, s3

log = logging.getLogger(__name__)

SAMPLE = Path(__file__).parents[1] / "sample"

ACCEPTED = "sample, a folder with exactly one catalogue.csv, .jsonl or .parquet, or such a file; folder or file may lie on s3://"


@dataclass(frozen=True)
class Catalogue:
    """Rows with the columns of ``slices.SCHEMA``, and the folder or ``s3://`` URI their image paths start from.

    ``table`` holds every row read, in order, with an ``id`` that is unique. ``rejected`` is ``""`` in a usable row,
    else a short stable reason, with the particulars in ``detail``. Nothing in the table says where the folder is.
    """

    root: Path | str
    table: pa.Table


def read(source: str) -> Catalogue:
    """Read the catalogue at *source*: ``sample``, a folder with one ``catalogue.{csv,jsonl,parquet}``, or such a file.

    Folder and file may lie on ``s3://``: the catalogue is fetched, and its pictures are listed, once.

    ``image`` is a path relative to the catalogue or, in parquet, bytes. A row without an ``id`` takes its image path,
    or the SHA-256 of its bytes; a rejected row without one of its own is called ``row N``, counted from 1. Of usable
    rows with the same id the first is kept. Metadata is repaired (see ``repairs``); ``fingerprint`` is the SHA-256 of
    the encoded picture, or on S3 its size and ETag from the listing. A catalogue with
    bytes is held in memory with its pictures, any other without.

    A row whose ``exclude`` is true, 1 or yes (in any case; false, 0, no and nothing are the opposite) is an opt-out: its picture is
    neither read nor kept, nor are its texts, and every other row of its id goes too. It is *excluded*; where the cell of
    ``exclude`` is anything else the row is not used either, as *unclear exclude*. A contributor opts out by all of their rows.

    Raises:
        DataError: no such catalogue, a needed column is missing, or no row can be used.
        ValueError: *source* names no place, or has credentials in it.
        StorageError: S3 does not give it; the message says what to do.
    """
    source = places.parse("source", source, ACCEPTED)
    if s3.is_uri(source):
        uri = _locate_in_bucket(source)
        with places.opened(uri) as path:
            try:
                return _read(path, posixpath.dirname(uri), uri)
            except DataError as error:
                raise DataError(str(error).replace(str(path), uri)) from error
    path = _locate(source)
    return _read(path, path.parent.resolve(), path)


def check(source: str) -> None:
    """Refuse a *source* that has no catalogue, before anything is made of it.

    Raises:
        DataError, StorageError: as `read` does.
        ValueError: it names no place, or has credentials in it.
    """
    source = places.parse("source", source, ACCEPTED)
    if s3.is_uri(source):
        _locate_in_bucket(source)
    else:
        _locate(source)


def _read(path: Path, root: Path | str, name: object) -> Catalogue:
    """The catalogue in the file *path*, called *name* in messages, whose image paths start from *root*."""
    batches = list(_batches(Bar(records(path), desc="read", unit=" rows")))
    table = _with_unique_ids(pa.Table.from_batches(_fingerprinted(originals(root), batches), SCHEMA))
    _check_usable(name, table)
    return Catalogue(root, table)


def _locate_in_bucket(source: str) -> str:
    """The URI of the one catalogue at *source*, a URI of the catalogue itself or of the prefix above it."""
    if Path(source).suffix.lower() in READERS:
        candidates = [source]
    else:
        candidates = [f"{source}/catalogue{suffix}" for suffix in READERS]
    existing = [candidate for candidate in candidates if s3.stat(candidate)]
    if len(existing) != 1:
        any(s3.listing(source))  # raises a message of its own where the bucket does not exist or may not be listed
        names = " and ".join(map(posixpath.basename, existing)) or "none"
        raise DataError(f"source {source!r}: found {names}, expected {ACCEPTED}")
    return existing[0]


def _locate(source: str) -> Path:
    """The file of the one catalogue at *source*, ``sample``, a folder or the file itself."""
    if source == "sample":
        return _locate(str(SAMPLE))
    path = Path(source)
    if path.is_dir():
        catalogues = sorted(file for file in path.glob("catalogue.*") if file.suffix.lower() in READERS and file.is_file())
        if len(catalogues) != 1:
            names = " and ".join(file.name for file in catalogues) or "none"
            raise DataError(f"source {source!r}: expected exactly one catalogue.csv, .jsonl or .parquet in the folder, found {names}")
        return catalogues[0]
    if not path.is_file():
        raise DataError(f"source {source!r}: no such file or folder, expected {ACCEPTED}")
    if path.suffix.lower() not in READERS:
        raise DataError(f"source {source!r}: a {path.suffix or 'suffixless'} file, expected {ACCEPTED}")
    return path


def _batches(read_records: Iterable[Record]) -> Iterator[pa.RecordBatch]:
    rows = map(table_row, read_records)
    while batch := list(islice(rows, BATCH)):
        yield pa.RecordBatch.from_pylist(batch, SCHEMA)


def _fingerprinted(source_images: Folder | Bucket, batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches with the fingerprint of every usable row, the rows without a picture file rejected."""

    def fingerprinted(batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = batch.select(["id", "rejected", "detail", "image", "repairs"]).to_pylist()
        for row, embedded in zip(rows, batch["bytes"], strict=True):
            row["fingerprint"] = ""
            if row["rejected"]:
                continue
            try:
                data = embedded.as_buffer()
                if row["image"] != (spelt := source_images.spelt(row["image"]) if row["image"] else ""):
                    row["image"], row["repairs"] = spelt, [*row["repairs"], "file found under another normal form of its name"]
                row["fingerprint"] = hashlib.sha256(data).hexdigest() if data else source_images.fingerprint(row["image"])
                row["id"] = row["id"] or row["fingerprint"]
            except Rejected as rejection:
                row["rejected"], row["detail"] = rejection.reason, rejection.detail
        for name in ("id", "rejected", "detail", "fingerprint", "image", "repairs"):
            batch = batch.set_column(SCHEMA.get_field_index(name), name, pa.array([row[name] for row in rows], SCHEMA.field(name).type))
        return batch

    with ThreadPoolExecutor() as pool, Bar(desc="fingerprint", total=sum(map(len, batches)), unit=" pictures") as bar:
        for batch in pool.map(fingerprinted, batches):
            bar.update(len(batch))
            yield batch


def _with_unique_ids(table: pa.Table) -> pa.Table:
    """Reject usable rows whose id was used before or opted out, and rename the rejected whose id is empty or taken."""
    columns = {name: table[name].to_pylist() for name in ("id", "rejected", "detail", "fingerprint")}
    ids, rejected, detail, fingerprint = columns.values()
    taken: set[str] = set()
    opted_out = {id for id, reason in zip(ids, rejected, strict=True) if reason == EXCLUDED} - {""}
    for row, id in enumerate(ids):
        if rejected[row]:
            continue
        if id in opted_out:
            rejected[row], detail[row], fingerprint[row] = EXCLUDED, f"another row of {id!r} is", ""
        elif id in taken:
            rejected[row], detail[row], fingerprint[row] = "duplicate id", repr(id), ""
        else:
            taken.add(id)
    for row, reason in enumerate(rejected):
        if reason:
            id = ids[row] or f"row {row + 1}"
            if id in taken:
                id = f"row {row + 1}"
            while id in taken:
                id += "'"
            ids[row] = id
            taken.add(id)
    for name, values in columns.items():
        table = table.set_column(SCHEMA.get_field_index(name), name, pa.array(values, pa.string()))
    without_excluded = pc.if_else(pc.equal(table["rejected"], EXCLUDED), pa.scalar(None, pa.binary()), table["bytes"])
    return table.set_column(SCHEMA.get_field_index("bytes"), "bytes", without_excluded)


def _check_usable(path: object, table: pa.Table) -> None:
    """Log how many rows were rejected and why, or refuse the catalogue when none is left."""
    counts = Counter(table["rejected"].to_pylist())
    usable = counts.pop("", 0)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    if not len(table):
        raise DataError(f"{path}: the catalogue has no rows; expected one for each picture")
    if not usable:
        example = table["detail"][table["rejected"].to_pylist().index(counts.most_common(1)[0][0])]
        raise DataError(f"{path}: none of {len(table)} rows can be used: {reasons}; for example {example}")
    log.info("%s: %d rows read, %d usable%s", path, len(table), usable, f"; rejected: {reasons}" if reasons else "")
