"""Files of tables as Arrow tables: CSV and JSONL as text, byte for byte, parquet with its own types."""

import csv as plain
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from trainworks.errors import DataError
from trainworks.supermegaretail.tables.source import File
from trainworks.text_files import require_utf8, separator

BATCH = 2**20
"""Rows that are made into a table at once."""

COLUMNS, LINE = 2_000, 2**24
"""The most columns of a table, and bytes of a line."""

BOMB, SMALL = 200, 2**28
"""Times its own size that a file may take of memory; bytes that any may take."""


@dataclass
class Rows:
    """The rows of a file by its own columns, and reason → number of lines that are no rows.

    ``is_text`` says that every value is the text that stands there, and "" one that is not.
    """

    file: File
    table: pa.Table
    is_text: bool
    broken: Counter[str] = field(default_factory=Counter)
    first: int = 0
    """The position of the first row in its file."""

    def where(self, position: int) -> str:
        """The file and line of a row, for people."""
        row = self.first + position
        return f"{self.file.name}, line {row + 2}" if self.file.path.suffix.lower() == ".csv" else f"{self.file.name}, row {row + 1}"

    def batches(self) -> Iterator["Rows"]:
        """The rows of a parquet file in parts, taken out of ``table``, so that each is freed when it has been used; text is one part."""
        if self.is_text or not len(self.table):
            yield self
            return
        parts = self.table.to_batches(BATCH)[::-1]
        self.table, first = self.table.slice(0, 0), 0
        while parts:
            table = pa.Table.from_batches([parts.pop()])
            yield Rows(self.file, table, self.is_text, first=first)
            first += len(table)


def read(file: File) -> Rows:
    """The rows of a CSV, JSONL or parquet *file*.

    Raises:
        DataError: the file as a whole cannot be read; says what to do.
    """
    return {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}[file.path.suffix.lower()](file)


def header(file: File) -> list[str]:
    """The columns of *file*; of JSONL those of its first line.

    Raises:
        DataError: as `read`.
    """
    suffix = file.path.suffix.lower()
    if suffix == ".parquet":
        try:
            return _few(file, parquet.read_schema(file.path).names)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file.name}: not a readable parquet file ({error}); write it again") from error
    if suffix == ".jsonl":
        text = _first_lines(file)[0]
        try:
            return _few(file, list(json.loads(text))) if text.strip() else []
        except (TypeError, ValueError, RecursionError):
            return []
    return _columns(file)[0]


def _first_lines(file: File) -> list[str]:
    """The first two lines of a text *file*, "" where it has none."""
    require_utf8(file.path, file.name)
    first = [*islice(_lines(file), 2), b"", b""][:2]
    for number, line in enumerate(first, 1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raise _not_utf8(file, number, line) from error
    return [line.decode("utf-8-sig") for line in first]


def _columns(file: File) -> tuple[list[str], str, int]:
    """The columns of a CSV *file*, the mark between them, and how many lines come before the first row."""
    first, second = _first_lines(file)
    declared = separator(first)
    try:
        header_row = next(plain.reader([second if declared else first], delimiter=declared or ","), [])
    except plain.Error as error:
        raise DataError(f"{file.name}: no header of a CSV file ({error}); expected one such as date,store,product,quantity") from error
    names = _few(file, [name.strip() for name in header_row])
    if len(names) == 1 and not declared and (marks := [mark for mark in (";", "\t", "|") if mark in names[0]]):
        raise DataError(
            f"{file.name}: expected columns separated by commas, found {marks[0]!r} in the header {names[0]!r}; save it with commas"
        )
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{file.name}: the column {repeated[0]!r} stands in the header {names.count(repeated[0])} times")
    return names, declared or ",", 2 if declared else 1


def _few(file: File, names: list[str]) -> list[str]:
    """*names* of columns, if they are not too many."""
    if len(names) > COLUMNS:
        raise DataError(f"{file.name}: {len(names):,} columns, expected at most {COLUMNS:,}; leave out those that are no attributes")
    return names


def _lines(file: File) -> Iterator[bytes]:
    """The lines of a text, with their ends."""
    with file.path.open("rb") as content:
        number = 0
        while line := content.readline(LINE + 1):
            number += 1
            if len(line) > LINE:
                raise DataError(f"{file.name}, line {number}: longer than {LINE:,} bytes; is a quote or the end of a line missing?")
            yield line


def _require_proportion(file: File, memory: int) -> None:
    """Refuse a *file* that takes out of all proportion to its size so many bytes of *memory*."""
    if memory > max(SMALL, BOMB * file.path.stat().st_size):
        raise DataError(
            f"{file.name}: has {file.path.stat().st_size:,} bytes and takes {memory:,} or more of memory, as what is made to fill it does; "
            "if that is meant, deliver it in several files"
        )


def _csv(file: File) -> Rows:
    names, delimiter, before = _columns(file)
    if not names:
        raise DataError(f"{file.name}: an empty file; expected a header such as date,store,product,quantity")
    broken: Counter[str] = Counter()

    unclosed: list[str] = []

    def skip(row: Any) -> str:
        if "\n" in row.text.strip():
            unclosed.append(
                f"{file.name}, line {row.number}: a quote that opens here does not close in its line: {row.text.splitlines()[0]!r}"
            )
            return "error"
        broken[f"{row.actual_columns} cells where the header has {row.expected_columns}"] += 1
        return "skip"

    def parse(across_lines: bool) -> pa.Table:
        broken.clear()
        return csv.read_csv(
            file.path,
            read_options=csv.ReadOptions(use_threads=False, column_names=names, skip_rows=before, block_size=2**24),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=across_lines, invalid_row_handler=skip),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )

    try:
        try:
            table = parse(across_lines=False)
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error):
                raise
            table = parse(across_lines=True)
    except pa.ArrowInvalid as error:
        if unclosed:
            raise DataError(unclosed[0]) from error
        for number, line in enumerate(_lines(file), 1):
            try:
                line.decode()
            except UnicodeDecodeError as why:
                raise _not_utf8(file, number, line) from why
        raise DataError(f"{file.name}: not a readable CSV file ({error}); write it again") from error
    return Rows(file, table, True, broken, first=before - 1)


def _not_utf8(file: File, number: int, line: bytes) -> DataError:
    text = line.decode("latin-1").strip()
    return DataError(f"{file.name}, line {number}: not UTF-8, it may be Latin-1: {text[:60]!r}; save the file as UTF-8")


def _jsonl(file: File) -> Rows:
    header(file)
    columns: dict[str, list[str]] = {}
    count = 0
    broken: Counter[str] = Counter()
    for number, line in enumerate(_lines(file), 1):
        if line.isspace():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"), parse_int=str, parse_float=str, parse_constant=str)
        except UnicodeDecodeError as error:
            raise _not_utf8(file, number, line) from error
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or any(isinstance(value, dict | list) for value in row.values()):
            broken["not a flat JSON object"] += 1
            continue
        for name, value in row.items():
            if name not in columns:
                columns[name] = [""] * count
                _few(file, list(columns))
            columns[name].append(_json_text(value))
        count += 1
        if count % 1000 == 0:
            _require_proportion(file, 8 * count * len(columns))  # cells that are not there take memory too
        for values in columns.values():
            if len(values) < count:
                values.append("")
    return Rows(file, pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), True, broken)


def _json_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value).lower()


def _parquet(file: File) -> Rows:
    header(file)
    try:
        texts = [field.name for field in parquet.read_schema(file.path) if pa.types.is_string(field.type)]
        with parquet.ParquetFile(file.path, read_dictionary=texts) as content:
            groups = [content.metadata.row_group(number) for number in range(content.num_row_groups)]
            _require_proportion(file, sum(group.total_byte_size for group in groups))
            batches, memory = [], 0
            for batch in content.iter_batches(BATCH):
                batch.validate(full=True)  # a damaged file may have codes that stand for nothing
                batches.append(batch)
                memory += batch.nbytes
                _require_proportion(file, memory)
            table = pa.Table.from_batches(batches, batches[0].schema if batches else content.schema_arrow)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name}: not a readable parquet file ({error}); write it again") from error
    return Rows(file, table, False)
