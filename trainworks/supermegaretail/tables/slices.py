"""Slices: the tables cut by months of their days, so that what is new changes few of the slices."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from trainworks.supermegaretail.tables.columns import Kind, schema
from trainworks.supermegaretail.tables.typed import FILE, REJECTED, has_times, plain

FACTS = "slice.json"

LARGE = 500_000
"""Rows from which on a table other than sales is cut too."""

FIRST, LAST = date(1990, 1, 1), date(2100, 1, 1)
"""Days outside are what systems write for none, or mistakes."""
MONTH, YEAR = 31, 366
"""Days ahead that the date of a period's end may lie; days without any sale that tell mistakes from the others."""
FEW, VERY_FEW = 0.05, 0.001
"""Share of sales that may have wrong days, far off or near; where there are more, they are meant."""

NO_MONTH = 0


def slices(tables: dict[str, pa.Table]) -> Iterator[dict[str, pa.Table]]:
    """The *tables* in parts: first what has no day, tables that are small and lines whose day is wrong; then the months, in order.

    Takes the small ones out of *tables*.
    """
    months: dict[str, np.ndarray] = {}
    whole = {}
    for name in list(tables):
        table = _with_days(_without_wrong_days(name, tables.pop(name)), name)
        day = _day(name)
        if day and (name == "sales" or len(table) >= LARGE):
            tables[name], months[name] = table, _months(table, day)
        else:
            whole[name] = table
    for month in sorted({NO_MONTH}.union(*(np.unique(of).tolist() for of in months.values()))):
        parts = {name: tables[name].filter(pa.array(of == month)) for name, of in months.items() if (of == month).any()}
        if month == NO_MONTH:
            parts |= whole
        if parts:
            yield {name: parts[name] for name in sorted(parts)}


def write(tables: Mapping[str, pa.Table], facts: Mapping[str, Mapping], out: Path) -> None:
    """Write a slice into *out*: a parquet file for each of its *tables*, and *facts* of them, table → what a row is."""
    for name, table in tables.items():
        files = table[FILE].to_numpy()
        rank = pa.array(np.unique(files, return_inverse=True)[1].astype(np.int32))  # other slices' files do not count
        rows = plain(table.set_column(table.column_names.index(FILE), FILE, rank), schema(name).kinds).combine_chunks()
        parquet.write_table(rows, out / f"{name}.parquet", compression="zstd")
    (out / FACTS).write_text(json.dumps({name: fact for name, fact in facts.items() if name in tables}, sort_keys=True))


def _day(name: str) -> str | None:
    """The column with the day of a row; none of attributes, which may have a column of that name that is none."""
    return next((day for day in ("start", "date") if day in schema(name).needed), None)


def _without_wrong_days(name: str, table: pa.Table) -> pa.Table:
    """*table* with the lines rejected whose day cannot be true: it is no sale that happened, and no plan."""
    day = _day(name)
    if day is None or not len(table) or (name != "sales" and _possible(table[day])):
        return table
    values = table[day].cast(pa.date32(), safe=False).to_numpy()
    wrong = {"day before 1990": values < np.datetime64(FIRST), "day in the future": values >= np.datetime64(LAST)}
    if name == "sales":
        known = np.where(np.logical_or.reduce(list(wrong.values())), np.datetime64("NaT"), values)
        for reason, days in _wrong_days_of_sales(known).items():
            wrong[reason] = wrong.get(reason, False) | days
    if not any(mask.any() for mask in wrong.values()):
        return table
    reasons = np.select(list(wrong.values()), list(wrong), "")
    rejected = pc.if_else(pa.array((reasons != "") & pc.equal(table[REJECTED], "").to_numpy()), pa.array(reasons), table[REJECTED])
    null = pa.scalar(None, table[day].type)
    dayless = pc.if_else(pa.array(reasons != ""), null, table[day])
    table = table.set_column(table.column_names.index(REJECTED), REJECTED, rejected)
    return table.set_column(table.column_names.index(day), day, dayless)


def _possible(days: pa.ChunkedArray) -> bool:
    """Whether all *days* lie between FIRST and LAST."""
    ends = pc.min_max(days.cast(pa.date32(), safe=False)).as_py()
    return ends["min"] is None or (ends["min"] >= FIRST and ends["max"] < LAST)


def _wrong_days_of_sales(days: np.ndarray) -> dict[str, np.ndarray]:
    """Reason → which of *days* are after tomorrow, or more than a year from all others, if they are few."""
    ahead = (days - (np.datetime64(datetime.now(UTC).date()) + 1)).astype(np.int64)
    ahead[np.isnat(days)] = 0
    future = np.zeros(len(days), bool)
    for least, share in ((0, VERY_FEW), (MONTH, FEW)):
        late = ahead > least
        future |= late & (late.sum() < share * len(days))
    known = np.sort(days[~np.isnat(days) & ~future])
    after = np.flatnonzero(np.diff(known) > np.timedelta64(YEAR, "D")) + 1
    first = max((at for at in after if at < FEW * len(known)), default=0)
    last = min((at for at in after if len(known) - at < FEW * len(known)), default=len(known))
    apart = (days < known[first]) | (days > known[last - 1]) if len(known) else future
    return {"day in the future": future, "day more than a year from all others": apart & ~future}


def _with_days(table: pa.Table, name: str) -> pa.Table:
    """*table* with days as dates, but for columns that have times."""
    for column, kind in schema(name).kinds.items():
        if kind is Kind.DAY and pa.types.is_timestamp(table[column].type) and not has_times(table[column]):
            table = table.set_column(table.column_names.index(column), column, table[column].cast(pa.date32()))
    return table


def _months(table: pa.Table, day: str) -> np.ndarray:
    """(N,) the month of each row as a number that grows with time; NO_MONTH without a day."""
    months = [pc.add(pc.multiply(pc.year(days), 12), pc.month(days)) for days in table[day].chunks]
    return np.concatenate([pc.fill_null(month, NO_MONTH).to_numpy(zero_copy_only=False).astype(np.int16) for month in months])
