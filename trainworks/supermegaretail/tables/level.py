"""What a row of sales is: the only one of its product, store and period, or one of several lines, as a till writes them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainworks.supermegaretail.database import database
from trainworks.supermegaretail.tables.typed import FILE, OWN, REJECTED, has_times

PERIOD, LINES = "period", "lines"

DIFFERENT = {True: 0.2, False: 0.05}
"""Share of the rows that say something else of a key than another row of their file, from which on rows are lines: with days that are
starts of weeks or months, and without."""

MOSTLY = 0.95
"""Share of the rows that lie on one weekday, or one day of the month, where days are starts of periods."""


def quoted(name: str) -> str:
    """A column's name in SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def level(sales: pa.Table) -> str:
    """Whether the rows of *sales* are ``lines`` or each the one of its ``period``.

    What has a time of the day is a line. Else rows that differ decide: a second row of the same product, store and day is a mistake
    where it is rare, unless it is what came back.
    """
    if has_times(sales["date"]):
        return LINES
    columns = ", ".join(map(quoted, key_columns(sales, PERIOD)))
    with database() as run:
        run.register("sales", sales)
        # Rows of a file and key, once for each set of values that they have.
        different, rows, weekday, monthday = run.sql(f"""
            WITH said AS (
                SELECT count(*) AS rows, count(DISTINCT (quantity, revenue, price)) AS ways, any_value(date) AS day
                FROM sales WHERE {REJECTED} = '' GROUP BY {FILE}, {columns}, quantity < 0
            ),
            days AS (SELECT day, sum(rows) AS rows FROM said GROUP BY day)
            SELECT
                (SELECT coalesce(sum(rows), 0) FROM said WHERE ways > 1),
                (SELECT coalesce(sum(rows), 0) FROM said),
                (SELECT coalesce(max(rows), 0) FROM (SELECT sum(rows) AS rows FROM days GROUP BY dayofweek(day)) by_weekday),
                (SELECT coalesce(max(rows), 0) FROM (SELECT sum(rows) AS rows FROM days GROUP BY dayofmonth(day)) by_monthday)
        """).fetchall()[0]
    starts_of_periods = max(weekday, monthday) >= MOSTLY * rows
    return LINES if different > DIFFERENT[starts_of_periods] * rows else PERIOD


SAME_KEY = 0.1
"""Share of the lines that have the key of another in their file, from which on it does not tell them apart."""

ENOUGH = 1_000_000
"""About how many lines are looked at for that: all that have some of the keys."""


def key(sales: pa.Table, of: str) -> list[str]:
    """The columns by which a repeat of a row *of* a period or of a line is known; none where lines may be equal, two sales of one thing."""
    columns = key_columns(sales, of)
    if of == PERIOD:
        return columns
    if columns[3:] or has_times(sales["date"]):
        with database() as run:
            run.register("sales", sales)
            listed = ", ".join(map(quoted, [FILE, *columns]))
            some = f"hash({listed}) % {1 + len(sales) // ENOUGH} = 0"
            rows, keys = run.sql(f"""
                SELECT coalesce(sum(rows), 0), count(*)
                FROM (SELECT count(*) AS rows FROM sales WHERE {REJECTED} = '' AND {some} GROUP BY {listed})
            """).fetchall()[0]
        if rows - keys < SAME_KEY * rows:
            return columns
    return []


AGAIN = 0.9
"""Share of an earlier file's lines that stand in a later one too, from which on that restates them: parts of one delivery share fewer."""


def without_restated(sales: pa.Table) -> pa.Table:
    """*sales* that no key tells apart, of which a file's lines of a store's day are rejected where a later file says that day again."""
    if pc.count_distinct(sales[FILE]).as_py() < 2:
        return sales
    with database() as run:
        columns = sales.select([FILE, "date", "store", "product", "quantity", REJECTED])
        run.register("sales", columns.append_column("place", pa.array(np.arange(len(sales)))))
        said = run.sql(f"""
            WITH lines AS (
                SELECT {FILE} AS file, CAST(date AS DATE) AS day, coalesce(store, '') AS store, date, product, quantity, count(*) AS lines
                FROM sales WHERE {REJECTED} = '' GROUP BY ALL
            ),
            days AS (SELECT file, day, store, sum(lines) AS lines FROM lines GROUP BY ALL),
            shared AS (
                SELECT earlier.file AS file, later.file AS later, day, store, earlier.lines AS lines
                FROM days AS earlier JOIN days AS later USING (day, store) WHERE earlier.file < later.file
            ),
            same AS (
                SELECT earlier.file AS file, later.file AS later, sum(least(earlier.lines, later.lines)) AS same
                FROM lines AS earlier JOIN lines AS later USING (day, store, date, product, quantity)
                WHERE earlier.file < later.file GROUP BY ALL
            ),
            restated AS (
                SELECT file, later FROM shared JOIN same USING (file, later)
                GROUP BY file, later HAVING any_value(same) >= {AGAIN} * sum(lines)
            ),
            gone AS (SELECT DISTINCT file, day, store FROM shared JOIN restated USING (file, later))
            SELECT gone.file IS NOT NULL AND {REJECTED} = '' AS again
            FROM sales LEFT JOIN gone
            ON gone.file = {FILE} AND gone.day = CAST(date AS DATE) AND gone.store = coalesce(sales.store, '')
            ORDER BY place
        """).to_arrow_table()["again"]
    if not pc.any(said).as_py():
        return sales
    rejected = pc.if_else(pa.array(said.to_numpy().astype(np.bool_)), "said again by a later file", sales[REJECTED])
    return sales.set_column(sales.column_names.index(REJECTED), REJECTED, rejected)


def key_columns(sales: pa.Table, of: str) -> list[str]:
    """The columns that tell rows of *sales* apart where they are *of* a period or lines: of a period no numbers, which may be measures."""
    own = [name for name in sales.column_names if name.startswith(OWN)]
    if of == PERIOD:
        own = [name for name in own if not _has_numbers(sales[name])]
    return ["date", "store", "product", *own]


def _has_numbers(values: pa.ChunkedArray) -> bool:
    unique = values.unique()
    return len(unique) > 0 and bool(pc.all(pc.match_substring_regex(unique, r"^\s*$|^[+-]?[0-9.]+(?:[eE][+-]?\d+)?$")).as_py())
