"""The tables of a source: which files there are, on this machine or on S3, and in which order they hold."""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trainworks.errors import DataError
from trainworks.grammar import nearest
from trainworks.storage import places, s3
from trainworks.storage.manifest import sha256

log = logging.getLogger(__name__)

SAMPLE = Path(__file__).parents[1] / "sample"

SUFFIXES = (".csv", ".jsonl", ".parquet")
ACCEPTED = "sample, a folder or an s3:// prefix with sales.csv, .jsonl or .parquet, or a folder sales of such files"


class File(NamedTuple):
    """A file of a table: its name below the source, and where it can be read."""

    name: str
    path: Path


def tables_of(names: list[str]) -> dict[str, list[str]]:
    """Table → its files, of all *names* below a source: ``sales.csv``, or any file in the folder ``sales``.

    Files come in the order in which they hold: by name, numbers by their value, ``2026-01`` before ``2026-01 corrected``.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        hidden = any(part.startswith((".", "_")) for part in path.parts)
        if path.suffix.lower() in SUFFIXES and not hidden:
            found.setdefault(path.parts[0] if len(path.parts) > 1 else path.stem, []).append(name)
    return {table: sorted(files, key=_order) for table, files in sorted(found.items())}


def _order(name: str) -> tuple[list[tuple[int, str]], str]:
    stem = str(PurePosixPath(name).with_suffix(""))
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", stem)], name


def check(source: str) -> dict[str, list[str]]:
    """Table → its files, after a *source* without sales was refused.

    Raises:
        DataError, StorageError: there is no such source, or it has no table of sales.
        ValueError: it names no place, or has credentials in it.
    """
    source = places.parse("source", source, ACCEPTED)
    if s3.is_uri(source):
        names = [entry.name for entry in s3.listing(source)]
    else:
        names = _below(_folder(source))
    found = tables_of(names)
    if "sales" not in found:
        there = ", ".join(found) or "no table"
        raise DataError(f"source {source!r}: no table of sales, found {there}{nearest('sales', found)}; expected {ACCEPTED}")
    return found


@contextmanager
def opened(source: str) -> Iterator[dict[str, list[File]]]:
    """Table → its files, fetched while this lasts where the *source* lies on S3; of files of a table with the same bytes only the first.

    Raises:
        DataError, StorageError, ValueError: as `check`.
    """
    source, found = places.parse("source", source, ACCEPTED), check(source)
    with tempfile.TemporaryDirectory(prefix="trainworks-") as scratch:
        if s3.is_uri(source):
            folder = Path(scratch)
            wanted = {name for names in found.values() for name in names}
            s3.fetch(source, folder, {entry.name: entry.size for entry in s3.listing(source) if entry.name in wanted})
        else:
            folder = _folder(source)
        yield {table: list(_once([File(name, folder / name) for name in names])) for table, names in found.items()}


def _once(files: list[File]) -> Iterator[File]:
    seen: dict[str, str] = {}
    for file in files:
        digest = sha256(file.path) if len(files) > 1 else ""
        if digest in seen:
            log.warning("%s is %s again, byte for byte: counted once", file.name, seen[digest])
            continue
        seen[digest] = file.name
        yield file


def _folder(source: str) -> Path:
    folder = SAMPLE if source == "sample" else Path(source)
    if not folder.is_dir():
        raise DataError(f"source {source!r}: no such folder, expected {ACCEPTED}")
    return folder


def _below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
