"""DuckDB, embedded, that spills to disk what is more than its memory: four fifths of what the machine or the pod has."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb


@contextmanager
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database in memory, in UTC, whose disk is the one of temporary files: a pod's working directory may not be written."""
    with tempfile.TemporaryDirectory() as spilled, duckdb.connect(config={"temp_directory": spilled}) as run:
        run.execute("SET TimeZone = 'UTC'")
        yield run
