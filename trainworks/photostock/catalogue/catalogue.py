"""Acquire: a catalogue becomes a table in which every row is either usable or says why not."""

import hashlib
import logging
import posixpath
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from trainworks.errors import DataError
from trainworks.photostock.catalogue.records import BATCH, READERS, Record, records
from trainworks.photostock.catalogue.repairs import repair
from trainworks.photostock.catalogue.slices import SCHEMA
from trainworks.photostock.preparation.originals import LEAVES, Bucket, Folder, originals
from trainworks.photostock.rejected import Rejected
from trainworks.storage import credentials, s3

log = logging.getLogger(__name__)

SAMPLE = Path(__file__).parents[1] / "sample"

ACCEPTED = "sample, a folder with exactly one catalogue.csv, .jsonl or .parquet, or such a file; folder or file may lie on s3://"

_TAG = re.compile(
    r"(?:&(?:#\d+|#[xX][0-9a-fA-F]+|amp|lt|gt|quot|apos|nbsp|[A-Za-z](?:acute|grave|circ|tilde|uml|cedil|ring|slash|caron|lig));|[^;])+"
)
"""A tag of a ';'-separated text; the ';' that ends an HTML entity does not end the tag."""

EXCLUDED = "excluded"
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no", "")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")
_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[/\\]")
_INVALID = re.compile(r"[\x00\ud800-\udfff]")


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

    Folder and file may lie on ``s3://``: the catalogue is fetched, and its pictures are only listed, once.

    ``image`` is a path relative to the catalogue or, in parquet, bytes. A row without an ``id`` takes its image path,
    or the SHA-256 of its bytes; a rejected row without one of its own is called ``row N``, counted from 1. Of usable
    rows with the same id the first is kept. Metadata is repaired (see ``repairs``); ``fingerprint`` is the SHA-256 of
    the encoded picture, or what the listing tells of it. A catalogue with bytes is held in memory with its pictures, any other without.

    A row whose ``exclude`` is true, 1 or yes (in any case; false, 0, no and nothing are the opposite) is an opt-out: its picture is
    neither read nor kept, nor are its texts, and every other row of its id goes too. It is *excluded*; where it is not clear what
    ``exclude`` says the row is not used either, as *unclear exclude*. A contributor opts out by all of their rows.

    Raises:
        DataError: there is no such catalogue, a needed column is missing, or no row can be used.
        StorageError: S3 does not give it; says what to do.
    """
    if s3.is_uri(source):
        uri = _locate_in_bucket(source)
        with tempfile.TemporaryDirectory(prefix="trainworks-") as folder:
            path = Path(folder, posixpath.basename(uri))
            s3.download(uri, path)
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
        ValueError: the URI has credentials in it.
    """
    credentials.refuse("source", source)
    _locate_in_bucket(source) if s3.is_uri(source) else _locate(source)


def _read(path: Path, root: Path | str, name: object) -> Catalogue:
    """The catalogue in the file *path*, known to people as *name*, whose image paths start from *root*."""
    batches = list(_batches(tqdm(records(path), desc="read", unit=" rows", delay=2)))
    table = _with_unique_ids(pa.Table.from_batches(_fingerprinted(originals(root), batches), SCHEMA))
    _check_usable(name, table)
    return Catalogue(root, table)


def _locate_in_bucket(source: str) -> str:
    """The URI of the catalogue that *source* is or has."""
    uri = source.rstrip("/")
    if Path(uri).suffix in READERS:
        found = [uri] if s3.stat(uri) else []
    else:
        found = [at for suffix in READERS if s3.stat(at := f"{uri}/catalogue{suffix}")]
    if len(found) != 1:
        any(s3.listing(uri))  # a bucket that is not there, or may not be listed, has a message of its own
        names = " and ".join(map(posixpath.basename, found)) or "none"
        raise DataError(f"source {source!r}: found {names}, expected {ACCEPTED}")
    return found[0]


def _locate(source: str) -> Path:
    if source == "sample":
        return _locate(str(SAMPLE))
    if _URL.match(source):
        raise DataError(f"source {source!r}: URLs cannot be read, expected {ACCEPTED}; copy the catalogue and its pictures here first")
    path = Path(source)
    if path.is_dir():
        found = sorted(p for p in path.glob("catalogue.*") if p.suffix.lower() in READERS and p.is_file())
        if len(found) != 1:
            names = " and ".join(p.name for p in found) or "none"
            raise DataError(f"source {source!r}: expected exactly one catalogue.csv, .jsonl or .parquet in the folder, found {names}")
        return found[0]
    if not path.is_file():
        raise DataError(f"source {source!r}: no such file or folder, expected {ACCEPTED}")
    if path.suffix.lower() not in READERS:
        raise DataError(f"source {source!r}: a {path.suffix or 'suffixless'} file, expected {ACCEPTED}")
    return path


def _batches(found: Iterable[Record]) -> Iterator[pa.RecordBatch]:
    rows = map(_row, found)
    while batch := list(islice(rows, BATCH)):
        yield pa.RecordBatch.from_pylist(batch, SCHEMA)


def _row(record: Record) -> dict[str, Any]:
    """A record as a row of the table, but for its fingerprint; fields after one that is refused stay empty."""
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names, "") | {"bytes": None, "tags": [], "repairs": []}
    try:
        if record.reason:
            raise Rejected(record.reason, record.detail)
        if _is_excluded(record.values.get("exclude")):
            row["id"] = _id_of_excluded(record.values)
            raise Rejected(EXCLUDED, "")
        for name in ("id", "licence", "group"):
            row[name] = _clean(name, _text(name, record.values.get(name)))
        words: dict[str, Any] = {name: _text(name, record.values.get(name)) for name in ("title", "description", "contributor")}
        repaired, row["repairs"] = repair(words | {"tags": _tags(record.values.get("tags"))})
        row |= repaired
        image = record.values.get("image")
        if image and isinstance(image, bytes):
            row["bytes"] = image
        else:
            row["image"] = _relative(_clean("image", _text("image", image or None)))
            row["id"] = row["id"] or row["image"]
    except Rejected as fault:
        row |= {"rejected": fault.reason, "detail": f"{record.where}: {fault.detail}" if fault.detail else record.where}
    return row


def _is_excluded(value: Any) -> bool:
    """Whether a row opts out.

    Raises:
        Rejected: nobody can tell; a row is not used against its contributor's will because of a slip.
    """
    said = str(int(value)) if isinstance(value, bool) or value in (0, 1) else _text("exclude", value)
    if said.strip().lower() not in (*_YES, *_NO):
        raise Rejected("unclear exclude", f"expected {', '.join(_YES)}, or {', '.join(_NO[:-1])} or nothing, found {said[:80]!r}")
    return said.strip().lower() in _YES


def _id_of_excluded(values: Mapping[str, Any]) -> str:
    """The id the row had before it opted out, so that the slices are cut as they were; ``""`` if it never had a good one."""
    image = values.get("image")
    try:
        name = _clean("id", _text("id", values.get("id")))
        if name:
            return name
        if image and isinstance(image, bytes):
            return hashlib.sha256(image).hexdigest()
        return _relative(_clean("image", _text("image", image or None)))
    except Rejected:
        return ""


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if value == value else ""
    raise Rejected("wrong type", f"{name}: expected text, found {type(value).__name__}")


def _tags(value: Any) -> list[str]:
    if isinstance(value, list):
        return [_text("tags", tag) for tag in value if tag is not None]
    if isinstance(value, dict):
        raise Rejected("wrong type", "tags: expected a list of texts, or one text with ';' between them, found dict")
    return _TAG.findall(_text("tags", value))


def _clean(name: str, text: str) -> str:
    text = text.strip()
    if bad := _INVALID.search(text):
        raise Rejected("invalid character", f"{name}: {bad[0]!r} at position {bad.start()} of {text[:80]!r}")
    return text


def _relative(path: str) -> str:
    """An image path in its shortest form, refused unless it stays below the catalogue's folder."""
    if not path:
        raise Rejected("empty image cell", "")
    for refused, reason in (
        (_URL.match(path), "a URL, not a path"),
        (_ABSOLUTE.match(path), "absolute path"),
        ("\\" in path, "backslash in the path"),
        (posixpath.normpath(path).split("/")[0] == "..", LEAVES),
    ):
        if refused:
            raise Rejected(reason, repr(path[:200]))
    return posixpath.normpath(path)


def _fingerprinted(pictures: Folder | Bucket, batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches with the fingerprint of every usable row, the rows without a picture file rejected."""

    def look(batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = batch.select(["id", "rejected", "detail", "image"]).to_pylist()
        for row, data in zip(rows, batch["bytes"], strict=True):
            row["fingerprint"] = ""
            if row["rejected"]:
                continue
            try:
                embedded = data.as_buffer()
                row["fingerprint"] = hashlib.sha256(embedded).hexdigest() if embedded else pictures.fingerprint(row["image"])
                row["id"] = row["id"] or row["fingerprint"]
            except Rejected as fault:
                row["rejected"], row["detail"] = fault.reason, fault.detail
        for name in ("id", "rejected", "detail", "fingerprint"):
            batch = batch.set_column(SCHEMA.get_field_index(name), name, pa.array([row[name] for row in rows], pa.string()))
        return batch

    with ThreadPoolExecutor() as pool, tqdm(desc="fingerprint", total=sum(map(len, batches)), unit=" pictures", delay=2) as bar:
        for batch in pool.map(look, batches):
            bar.update(len(batch))
            yield batch


def _with_unique_ids(table: pa.Table) -> pa.Table:
    """Reject usable rows whose id was used before or opted out, and rename the rejected whose id is empty or taken."""
    columns = {name: table[name].to_pylist() for name in ("id", "rejected", "detail", "fingerprint")}
    ids, rejected, detail, fingerprint = columns.values()
    taken: set[str] = set()
    opted_out = {name for name, reason in zip(ids, rejected, strict=True) if reason == EXCLUDED} - {""}
    for row, name in enumerate(ids):
        if not rejected[row]:
            if name in opted_out:
                rejected[row], detail[row], fingerprint[row] = EXCLUDED, f"another row of {name!r} is", ""
                continue
            if name in taken:
                rejected[row], detail[row], fingerprint[row] = "duplicate id", repr(name), ""
            taken.add(name)
    for row, reason in enumerate(rejected):
        if reason:
            name = ids[row] or f"row {row + 1}"
            if name in taken:
                name = f"row {row + 1}"
            while name in taken:
                name += "'"
            ids[row] = name
            taken.add(name)
    for name, values in columns.items():
        table = table.set_column(SCHEMA.get_field_index(name), name, pa.array(values, pa.string()))
    kept = pc.if_else(pc.equal(table["rejected"], EXCLUDED), pa.scalar(None, pa.binary()), table["bytes"])
    return table.set_column(SCHEMA.get_field_index("bytes"), "bytes", kept)


def _check_usable(path: object, table: pa.Table) -> None:
    """Log how many rows were rejected and why, or refuse the catalogue when none is left."""
    counts = Counter(table["rejected"].to_pylist())
    kept = counts.pop("", 0)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    if not len(table):
        raise DataError(f"{path}: the catalogue has no rows; expected one for each picture")
    if not kept:
        example = table["detail"][table["rejected"].to_pylist().index(counts.most_common(1)[0][0])]
        raise DataError(f"{path}: none of {len(table)} rows can be used: {reasons}; for example {example}")
    log.info("%s: %d rows read, %d usable%s", path, len(table), kept, f"; rejected: {reasons}" if reasons else "")
