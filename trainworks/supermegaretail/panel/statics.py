"""What does not change: attributes of products and stores, and the days from and to which they sell."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

SPANS = {"product": ("launched", "delisted"), "store": ("opened", "closed")}
TAKEN = ("step", "scale", "series", "paid", "price")
"""Names that columns of a design have anyway."""


class Statics:
    """The tables of products and stores; the last row of a key counts."""

    def __init__(self, products: list[Path], stores: list[Path]):
        self._tables = {"product": _read(products), "store": _read(stores)}
        self._rows = {key: _last_rows(table, key) for key, table in self._tables.items()}

    @property
    def names(self) -> list[str]:
        """The columns of both tables, without their keys."""
        return [name for key, table in self._tables.items() for name in table.column_names if name != key]

    @property
    def store_names(self) -> list[str]:
        """The columns of the table of stores."""
        return self._tables["store"].column_names

    @property
    def has_launches(self) -> bool:
        """Whether products have a day from which on they sell."""
        table = self._tables["product"]
        return "launched" in table.column_names and _is_time(table.schema.field("launched").type)

    def column(self, key: str, ids: Iterable[str], name: str) -> list[Any]:
        """The attribute *name* of each product or store of *ids*; None where it is not known."""
        table, rows = self._tables[key], self._rows[key]
        if name not in table.column_names:
            return [None for _ in ids]
        values = table[name].to_pylist()
        return [values[rows[each]] if each in rows else None for each in ids]

    def of(self, names: pa.Table, taken: Iterable[str]) -> pa.Table:
        """*names*, the keys of the series, with the attributes of their product and store; one whose name is *taken* says whose it is."""
        columns = {key: names[key] for key in names.column_names}
        for key, table in self._tables.items():
            if key not in names.column_names:
                continue
            ids = names[key].to_pylist()
            for field in table.schema:
                if field.name in (key, *SPANS[key]) or _is_time(field.type):
                    continue
                name = f"{key} {field.name}" if field.name in (*columns, *taken, *TAKEN) else field.name
                values = self.column(key, ids, field.name)
                if pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type):
                    columns[name] = pa.array([None if value is None else float(value) for value in values], pa.float64())
                else:
                    columns[name] = pa.array([None if value is None else str(value) for value in values], pa.string())
        return pa.table(columns)

    def shut(self, names: pa.Table, first_days: np.ndarray) -> np.ndarray:
        """Whether each series is not listed yet or any more, or its store not open, by period: (S, T) bool."""
        shut = np.zeros((len(names), len(first_days) - 1), bool)
        for key, (opens, ends) in SPANS.items():
            if key not in names.column_names:
                continue
            ids = names[key].to_pylist()
            begins = _days(self.column(key, ids, opens), -(2**40))
            last = _days(self.column(key, ids, ends), 2**40)
            shut |= (first_days[1:] <= begins[:, None]) | (first_days[:-1] > last[:, None])
        return shut

    def prices(self, names: pa.Table) -> np.ndarray:
        """The price of each series' product in its table, (S,); NaN where there is none."""
        if "product" not in names.column_names:
            return np.full(len(names), np.nan)
        values = self.column("product", names["product"].to_pylist(), "price")
        return np.array([value if isinstance(value, int | float) else np.nan for value in values], np.float64)


def _read(files: list[Path]) -> pa.Table:
    return pa.concat_tables([parquet.read_table(file) for file in files], promote_options="permissive") if files else pa.table({})


def _last_rows(table: pa.Table, key: str) -> dict[str, int]:
    return {value: place for place, value in enumerate(table[key].to_pylist())} if key in table.column_names else {}


def _is_time(kind: pa.DataType) -> bool:
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def _days(values: list[Any], unknown: int) -> np.ndarray:
    """Days since 1970, *unknown* where a value is no day."""
    return np.array([np.datetime64(value, "D").astype(np.int64) if hasattr(value, "year") else unknown for value in values], np.int64)
