"""What people searched: a log of queries, as a search service writes it."""

import csv
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import numpy as np

from trainworks.drift import LEAST
from trainworks.errors import DataError
from trainworks.photostock.catalogue.repairs import repair
from trainworks.storage import places, s3
from trainworks.text_files import require_utf8, separator

MOST = 5_000
"""Queries that are compared at most, the same ones every time."""

TABLES, LINES, LIST, TEXTS = (".csv", ".tsv"), (".jsonl", ".ndjson"), ".json", ("", ".txt", ".log")
READ = "text with a query a line, CSV or TSV with a column 'query', JSON Lines, or a JSON list; in UTF-8"


NAMES = ("queries.csv", "queries.jsonl", "queries.txt")
"""What a log is called that lies in a folder of releases: what people searched by what was released there."""


def read(place: str | Path) -> list[str]:
    """The queries in the file at *place*, here or on S3, each as often as it was asked, cleaned as a catalogue's titles are.

    Text whose first lines are JSON, or a header with ``query``, is read as that. Queries that show nothing are left out.

    Raises:
        DataError: no such file, not UTF-8, a line without a query where one must be, or fewer than LEAST queries.
        ValueError, StorageError: *place* is none, or S3 does not give it.
    """
    place = places.parse("queries", place)
    try:
        with places.opened(place) as path:
            require_utf8(path, place)
            with path.open(encoding="utf-8-sig", newline="") as file:
                asked = [repair({"title": query})[0]["title"] for query in _queries(place, file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{place}: not a readable query log ({error}); expected {READ}") from error
    queries = [query for query in asked if query]
    if len(queries) < LEAST:
        raise DataError(f"{place}: {len(queries)} queries are too few to compare; expected at least {LEAST}")
    return queries


def _queries(place: str, file: TextIO) -> Iterator[str]:
    """The queries of *file* as they stand there."""
    suffix = PurePosixPath(re.sub(r"[.\d-]+$", "", place.lower())).suffix  # without the end of search.log.1
    if suffix not in (*TABLES, *LINES, LIST, *TEXTS):
        raise DataError(f"{place}: a {suffix} file is no query log; expected {READ}")
    first = file.readline()
    header, mark = _header(file, first)
    if suffix in TABLES or (suffix in TEXTS and "query" in header and len(header) > 1):
        if "query" not in header:
            raise DataError(f"{place}: expected a column 'query', found {', '.join(header) or 'no header'}")
        column = header.index("query")
        yield from (row[column] for row in csv.reader(file, delimiter=mark) if len(row) > column)
        return
    file.seek(0)
    listed = _json(file.read()) if suffix not in LINES and first.lstrip().startswith("[") else None
    if isinstance(listed, list):
        yield from (_query(place, f"item {number}", item) for number, item in enumerate(listed, 1))
        return
    file.seek(0)
    is_json = suffix in (*LINES, LIST) or isinstance(_json(first), dict)
    for number, line in enumerate(file, 1):
        if line.strip():
            yield _query(place, f"line {number}", _json(line)) if is_json else line


def _header(file: TextIO, first: str) -> tuple[list[str], str]:
    """The columns of *file*, if it is a table, in lower case, and the mark between them; *first* is its first line, which has been read."""
    declared = separator(first)
    line = file.readline() if declared else first
    mark = declared or max(",;\t", key=line.count)
    return [name.strip().lower() for name in next(csv.reader([line], delimiter=mark), [])], mark


def _json(text: str) -> Any:
    """What *text* says as JSON; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _query(place: str, where: str, value: Any) -> str:
    query = value.get("query") if isinstance(value, dict) else value
    if not isinstance(query, str):
        raise DataError(f'{place}: {where} has no query; expected "text" or {{"query": "text"}}, as JSON')
    return query


def sample(queries: list[str]) -> list[str]:
    """At most MOST of them; a frequent query stays frequent."""
    chosen = np.random.default_rng(0).permutation(len(queries))[:MOST]
    return [queries[k] for k in sorted(chosen.tolist())]


def drawn(release: str, most: int, longest: int) -> list[str]:
    """At most *most* different queries, none of more than *longest* letters, of the log that lies beside the versions at *release*.

    It is called one of NAMES. Which queries they are, and their order, only their words decide; none without a log.

    Raises:
        DataError, StorageError: as `read`.
    """
    for place in (f"{release}/{name}" for name in NAMES):
        if s3.stat(place) if s3.is_uri(place) else Path(place).is_file():
            asked = {query[:longest] for query in read(place)}
            return sorted(asked, key=lambda query: zlib.crc32(query.encode()))[:most]
    return []
