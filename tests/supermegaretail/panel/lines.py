"""Lines of a retailer, written as cleaning hands them on: a parquet file for each table of a slice."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

SCHEMAS = {
    "sales": {
        **{"date": pa.date32(), "store": pa.string(), "product": pa.string()},
        **{"quantity": pa.float64(), "revenue": pa.float64(), "price": pa.float64()},
    },
    "promotions": {
        **{"product": pa.string(), "store": pa.string(), "start": pa.date32(), "end": pa.date32(), "kind": pa.string()},
        **{"price": pa.float64(), "discount": pa.float64()},
    },
    "prices": {"product": pa.string(), "store": pa.string(), "start": pa.date32(), "end": pa.date32(), "price": pa.float64()},
    "calendar": {"date": pa.date32(), "event": pa.string(), "closed": pa.string(), "store": pa.string()},
    "stock": {"date": pa.date32(), "product": pa.string(), "store": pa.string(), "on_hand": pa.float64()},
}


def write_lines(folder: Path, **tables: Sequence[dict[str, Any]]) -> list[Path]:
    """One slice with these *tables*; columns that rows do not have are null."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        kinds = SCHEMAS.get(name)
        if kinds:
            columns = {column: pa.array([row.get(column) for row in rows], kind) for column, kind in kinds.items()}
        else:
            columns = {column: pa.array([row.get(column) for row in rows]) for column in rows[0]}
        parquet.write_table(pa.table(columns), folder / f"{name}.parquet")
    return [folder]


def weeks(first: str, count: int) -> list[date]:
    """*count* days, a week apart."""
    return [date.fromisoformat(first) + timedelta(days=7 * number) for number in range(count)]


def weekly(quantities: dict[tuple[str, str], Sequence[float | None]], first: str = "2024-01-04", price: float | None = 2.0) -> list[dict]:
    """Sales of (store, product) in weeks from *first* on; None is a week without a line."""
    return [
        {"date": day, "store": store, "product": product, "quantity": float(quantity), "revenue": price and price * quantity}
        for (store, product), sold in quantities.items()
        for day, quantity in zip(weeks(first, len(sold)), sold, strict=True)
        if quantity is not None
    ]
