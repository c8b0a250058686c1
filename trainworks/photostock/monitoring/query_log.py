"""What people searched: a log of queries, as a search service writes it."""

import csv
import json
from pathlib import Path

import numpy as np

from trainworks.drift import LEAST
from trainworks.errors import DataError

MOST = 5_000
"""Queries that are compared at most, the same ones every time."""


def read(path: Path) -> list[str]:
    """The queries in *path*, each as often as it was asked; blank ones are left out.

    Raises:
        DataError: no such file, not UTF-8, a line without a query where one must be, or fewer than LEAST queries.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                table = csv.DictReader(file)
                if "query" not in (table.fieldnames or ()):
                    raise DataError(f"{path}: expected a column 'query', found {', '.join(table.fieldnames or ()) or 'no header'}")
                queries = [row["query"] or "" for row in table]
            elif path.suffix == ".jsonl":
                queries = [_json_query(path, number, line) for number, line in enumerate(file, 1) if line.strip()]
            else:
                queries = list(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable query log ({error}); expected UTF-8 text, CSV or JSONL, one query a line") from error
    queries = [query.strip() for query in queries if query.strip()]
    if len(queries) < LEAST:
        raise DataError(f"{path}: {len(queries)} queries are too few to compare; expected at least {LEAST}")
    return queries


def _json_query(path: Path, number: int, line: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}: line {number} is not JSON ({error})") from error
    query = value.get("query") if isinstance(value, dict) else value
    if not isinstance(query, str):
        raise DataError(f'{path}: line {number} has no query; expected "text" or {{"query": "text"}}')
    return query


def sample(queries: list[str]) -> list[str]:
    """At most MOST of them; a frequent query stays frequent."""
    chosen = np.random.default_rng(0).permutation(len(queries))[:MOST]
    return [queries[k] for k in sorted(chosen.tolist())]
