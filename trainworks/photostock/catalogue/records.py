"""Catalogue files read record by record: a bad record carries its reason, a bad file is a ``DataError``."""

import csv
import difflib
import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from trainworks.errors import DataError
from trainworks.text_files import require_utf8, separator

log = logging.getLogger(__name__)

COLUMNS = ("id", "image", "title", "description", "tags", "contributor", "licence", "group", "exclude")
TEXT_COLUMNS = ("title", "description", "tags")
BATCH = 256
"""Records handled at a time: bounds the memory of a catalogue with embedded pictures, and is the unit of parallel work."""


class Record(NamedTuple):
    """One record of a catalogue file: its values by column, or the reason why it cannot be read."""

    where: str
    values: dict[str, Any]
    reason: str = ""
    detail: str = ""


def records(path: Path) -> Iterator[Record]:
    """The records of a ``.csv``, ``.jsonl`` or ``.parquet`` file, in order.

    A record that cannot be read has a reason: ``not UTF-8``, ``not CSV``, ``wrong number of columns``
    or ``not JSON``. Unknown columns are logged, with the column that may be meant.

    Raises:
        DataError: the file as a whole is of no use, or lacks ``image`` or every text column.
    """
    return READERS[path.suffix.lower()](path)


def _csv(path: Path) -> Iterator[Record]:
    with _open(path) as file:
        lines = _Lines(file)
        declared = separator(next(lines, ""))
        if not declared:
            file.seek(0)
            lines.number = 0
        rows = _csv_rows(lines, declared or ",")
        where, header, reason, detail = next(rows, ("", [], "empty", "expected a header such as image,title,tags"))
        if reason:
            raise DataError(f"{path}: no readable header: {reason}, {detail}")
        header = [name.strip() for name in header]
        if len(header) == 1 and not declared and (separators := [mark for mark in (";", "\t", "|") if mark in header[0]]):
            raise DataError(f"{path}: expected columns separated by commas, found {separators[0]!r} in the header {header[0]!r}")
        _check_columns(path, header)
        for where, cells, reason, detail in rows:
            if not reason and len(cells) != len(header):
                reason, detail = "wrong number of columns", f"{len(cells)} cells, the header has {len(header)}"
            yield Record(where, {} if reason else dict(zip(header, cells, strict=True)), reason, detail)


def _csv_rows(lines: "_Lines", delimiter: str) -> Iterator[tuple[str, list[str], str, str]]:
    """(where, cells, reason, detail) of each row. A quote that is never closed costs its own line only: those after it are read again."""
    rows = csv.reader(lines, strict=True, delimiter=delimiter)
    while True:
        where = f"line {lines.begin()}"
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            lines.push_back()
            yield where, [], "not CSV", str(error)
            continue
        if detail := _not_utf8("".join(cells)):
            yield where, cells, "not UTF-8", detail
        elif cells:
            yield where, cells, "", ""


class _Lines:
    """The lines of a file, counted; those of the record in hand can be pushed back, to be read again."""

    def __init__(self, file: TextIO):
        self.file, self.number = file, 0
        self.record: list[str] = []
        self.pushed_back: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.pushed_back.pop() if self.pushed_back else next(self.file)
        self.record.append(line)
        self.number += 1
        return line

    def begin(self) -> int:
        """Begin a record; the number of its first line."""
        self.record.clear()
        return self.number + 1

    def push_back(self) -> None:
        """Push back all lines of the record but its first."""
        self.pushed_back += reversed(self.record[1:])
        self.number -= len(self.record) - 1


def _jsonl(path: Path) -> Iterator[Record]:
    columns: dict[str, None] = {}
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            record = _json_record(f"line {number}", line)
            columns.update(dict.fromkeys(record.values))
            yield record
    if columns:
        _check_columns(path, columns)


def _json_record(where: str, line: str) -> Record:
    if detail := _not_utf8(line):
        return Record(where, {}, "not UTF-8", detail)
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Record(where, {}, "not JSON", getattr(error, "msg", str(error)))
    if not isinstance(values, dict):
        return Record(where, {}, "not JSON", f"expected an object {{…}}, found {type(values).__name__}")
    return Record(where, values)


def _parquet(path: Path) -> Iterator[Record]:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check_columns(path, schema.names)
            names = [name for name in schema.names if name in COLUMNS]
            for name in names:
                _check_type(path, name, schema.field(name).type)
            number = 0
            for batch in file.iter_batches(batch_size=BATCH, columns=names):
                for values in zip(*(_values(batch[name]) for name in names), strict=True):
                    number += 1
                    detail = next((str(value) for value in values if isinstance(value, UnicodeDecodeError)), "")
                    yield Record(f"row {number}", dict(zip(names, values, strict=True)), "not UTF-8" if detail else "", detail)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last where a column's name is damaged
        raise DataError(f"{path}: not a readable parquet file ({error}); write it again") from error


def _values(column: pa.Array) -> list[Any]:
    """The column as Python values, a ``UnicodeDecodeError`` in the place of one that is not UTF-8."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return error


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if name == "image" and (_is_bytes(kind) or _is_bytes_and_path(kind)):
        return
    item = kind.value_type if name == "tags" and (pa.types.is_list(kind) or pa.types.is_large_list(kind)) else kind
    if name == "exclude" and pa.types.is_boolean(kind):
        return
    text = pa.types.is_string(item) or pa.types.is_large_string(item) or pa.types.is_string_view(item)
    if not (text or pa.types.is_integer(item) or pa.types.is_floating(item) or pa.types.is_null(item)):
        expected = {"image": "paths or bytes", "tags": "lists of text, or text", "exclude": "true or false, or text"}.get(name, "text")
        raise DataError(f"{path}: column {name!r} is {kind}, expected {expected}")


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_bytes_and_path(kind: pa.DataType) -> bool:
    """Whether *kind* is what Hugging Face's datasets make of an image: its bytes, or else its path."""
    return pa.types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"} and _is_bytes(kind.field("bytes").type)


READERS = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}


def _check_columns(path: Path, columns: Collection[str]) -> None:
    """Refuse a catalogue without ``image`` or any text, or with one column twice; log what is ignored."""
    unknown = [name for name in columns if name not in COLUMNS]
    listed = ", ".join(_with_hint(name, columns) for name in list(columns)[:20])
    if repeated := [name for name, count in Counter(list(columns)).items() if count > 1 and name in COLUMNS]:
        raise DataError(f"{path}: column {repeated[0]!r} appears more than once; found {listed}")
    if "image" not in columns:
        raise DataError(f"{path}: column 'image' is missing; found {listed}")
    if not any(name in columns for name in TEXT_COLUMNS):
        raise DataError(f"{path}: needs at least one of the columns {', '.join(TEXT_COLUMNS)}; found {listed}")
    if unknown:
        log.warning("%s: ignored columns: %s", path, ", ".join(_with_hint(name, columns) for name in unknown[:20]))


def _with_hint(name: str, columns: Collection[str]) -> str:
    """*name* quoted; where no column is called so, with the one that may be meant and is missing from *columns*."""
    near = difflib.get_close_matches(name.strip().lower(), [column for column in COLUMNS if column not in columns], 1)
    return f"{name!r} (did you mean {near[0]!r}?)" if near and name not in COLUMNS else repr(name)


def _open(path: Path) -> TextIO:
    """The file as text whose bytes that are not UTF-8 stay recognisable, with line ends as they are.

    Raises:
        DataError: the file is not UTF-8 at all.
    """
    require_utf8(path)
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _not_utf8(text: str) -> str:
    """The first byte of *text* that is not UTF-8, in words, or ``""``."""
    if text.isascii():
        return ""
    try:
        text.encode()
        return ""
    except UnicodeEncodeError as error:
        before = text[max(0, error.start - 20) : error.start]
        return f"byte 0x{ord(text[error.start]) - 0xDC00:02X} after {before!r}"
