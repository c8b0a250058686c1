"""The embedded sample: small, free to pass on, credited, as messy as a retailer's tables are; and the program that makes it."""

import csv
import hashlib
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from trainworks.errors import DataError
from trainworks.supermegaretail.tables import completejourney, make_sample

SAMPLE = Path(make_sample.__file__).parents[1] / "sample"
FUEL = "6534178"


def rows_of(name, folder=SAMPLE):
    """The rows of a table, by column."""
    if name.endswith(".parquet"):
        return parquet.read_table(folder / name).to_pylist()
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sales():
    """The sample's lines of receipts."""
    return rows_of("sales.parquet")


@pytest.fixture(scope="module")
def products():
    """The sample's table of products, by product."""
    return {row["product"]: row for row in rows_of("products.csv")}


def test_it_is_small_and_credited():
    """It travels in the repository and the wheel, at most 0.6 MB, and says where it comes from and what was left out."""
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) <= 600_000
    text = (SAMPLE / "CREDITS.md").read_text(encoding="utf-8")
    assert all(word in text for word in ("CC0", "completejourney", "84.51", "Left out"))


def test_its_tables_have_the_columns_of_the_contract():
    """Needed ones and others that are understood; ids are text."""
    assert {path.name for path in SAMPLE.iterdir()} == {*make_sample.TABLES, "calendar.csv", "CREDITS.md"}
    schemas = {name: parquet.read_schema(SAMPLE / f"{name}.parquet") for name in ("sales", "promotions", "prices")}
    assert schemas["sales"].names == ["date", "product", "store", "quantity", "revenue"]
    assert schemas["promotions"].names == ["product", "start", "end", "store", "kind"]
    assert schemas["prices"].names == ["product", "start", "price"]
    assert {str(schema.field("product").type) for schema in schemas.values()} == {"string"}
    assert list(rows_of("products.csv")[0]) == ["product", "department", "category", "type", "brand", "manufacturer", "size"]
    assert list(rows_of("stores.csv")[0]) == ["store", "format"]
    assert list(rows_of("calendar.csv")[0]) == ["date", "event", "closed"]


def test_its_times_are_utc_and_its_days_new_yorks(sales):
    """Whole weeks from 2 January to 31 December in New York; a sixth of the lines would be a day late in UTC."""
    zone = ZoneInfo("America/New_York")
    moments = [row["date"] for row in sales]
    assert all(moment.utcoffset() == timedelta(0) for moment in moments)
    days = [moment.astimezone(zone).date() for moment in moments]
    assert (min(days), max(days)) == (date(2017, 1, 2), date(2017, 12, 31))
    assert date(2017, 12, 25) not in days
    assert {row["date"]: row["closed"] for row in rows_of("calendar.csv")}["2017-12-25"] == "yes"
    late = sum(moment.date() != day for moment, day in zip(moments, days, strict=True))
    assert 0.1 < late / len(sales) < 0.25


def test_it_has_the_mess_of_a_retailer(sales, products):
    """Zero quantities, a product in no table, fuel by the thousandth of a gallon, promotions that come twice."""
    assert sum(row["quantity"] == 0 for row in sales) >= 20
    unknown = {row["product"] for row in sales} - products.keys()
    assert len(unknown) == 1
    assert sum(row["quantity"] for row in sales if row["product"] in unknown) > 0
    fuel = [row for row in sales if row["product"] == FUEL]
    assert products[FUEL]["department"] == "FUEL"
    assert len({row["store"] for row in fuel}) == 1
    assert min(row["quantity"] for row in fuel if row["quantity"]) > 500
    gallon = [row["price"] for row in rows_of("prices.parquet") if row["product"] == FUEL]
    assert all(1 < price < 4 for price in gallon)
    promotions = Counter(tuple(row.values()) for row in rows_of("promotions.parquet"))
    assert sum(count - 1 for count in promotions.values()) >= 1
    assert len({row["kind"] for row in rows_of("promotions.parquet")}) >= 15


def test_it_can_be_learnt_from(sales, products):
    """A few hundred series of which most sell half the time, on promotion in a third of all weeks."""
    series = Counter((row["store"], row["product"]) for row in sales if row["quantity"] > 0)
    assert 300 <= sum(count >= 10 for count in series.values()) <= 1000
    promoted = {(row["store"], row["product"], row["start"]) for row in rows_of("promotions.parquet")}
    assert 0.25 < len(promoted) / (52 * len(series)) < 0.5
    assert {store for store, _ in series} == {row["store"] for row in rows_of("stores.csv")}


def write_rows(file, names, rows):
    """*rows* as a parquet file with the columns *names*."""
    columns = zip(*rows, strict=True)
    parquet.write_table(pa.table({name: list(column) for name, column in zip(names, columns, strict=True)}), file)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Five products, fuel and one in no table among them, in three stores over a year, with the columns of the real package."""
    folder = tmp_path_factory.mktemp("package")
    monday = datetime(2017, 1, 2, 15)
    lines = []
    for week in range(2, 54):
        for store in (8, 12, 330):
            for product, quantity, price in ((900, 2, 1.5), (1200, 1, 4.0), (31, 0, 0.0), (77, 3, 2.0), (6534178, 9000, 0.0025)):
                if store == 330 or product in (900, 31):
                    at = monday + timedelta(days=7 * (week - 2), minutes=store)
                    lines.append((store, product, quantity, quantity * price * 0.75, quantity * price * 0.25, 0.0, week, at))
    names = ("store_id", "product_id", "quantity", "sales_value", "retail_disc", "coupon_match_disc", "week", "transaction_timestamp")
    write_rows(folder / "transactions.parquet", names, lines)
    shown = [(900, 330, "1", "A", week) for week in range(1, 54)]
    shown += [(900, 330, "1", "A", 5), (1200, 330, "0", "D", 5), (31, 8, "7", "0", 6)]
    write_rows(folder / "promotions.parquet", ("product_id", "store_id", "display_location", "mailer_location", "week"), shown)
    rows = {
        "product_id": [31, 900, 1200, 6534178],
        "manufacturer_id": [2, 69, 69, 2],
        "department": ["GROCERY", "GROCERY", "PASTRY", "FUEL"],
        "brand": ["National", "Private", "Private", "Private"],
        "product_category": ["FRZN ICE", None, "BREAD", "COUPON/MISC ITEMS"],
        "product_type": ["ICE", None, "BREAD:ITALIAN/FRENCH", "GASOLINE-REG UNLEADED"],
        "package_size": ["22 LB", None, None, None],
    }
    parquet.write_table(pa.table(rows), folder / "products.parquet")
    return folder


@pytest.fixture(scope="module")
def source(package, tmp_path_factory):
    """The tables that are written from the small package."""
    folder = tmp_path_factory.mktemp("data") / "completejourney"
    completejourney.write(package, folder)
    return folder


def digests(folder):
    """SHA-256 of each file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_every_line_of_the_package_is_written(source, package):
    """Ids as text, times as they are, the revenue as it came in; nothing is repaired."""
    sales = parquet.read_table(source / "sales.parquet")
    given = parquet.read_table(package / "transactions.parquet")
    assert sorted(zip(sales["store"].to_pylist(), sales["product"].to_pylist(), sales["quantity"].to_pylist(), strict=True)) == sorted(
        (str(store), str(product), quantity)
        for store, product, quantity in zip(*(given[name].to_pylist() for name in ("store_id", "product_id", "quantity")), strict=True)
    )
    assert pc.min(sales["date"]).as_py() == datetime(2017, 1, 2, 15, 8, tzinfo=UTC)
    assert pc.sum(sales["revenue"]).as_py() == pytest.approx(pc.sum(given["sales_value"]).as_py(), abs=0.5)
    assert [row["product"] for row in rows_of("products.csv", source)] == ["31", "900", "1200", "6534178"]


def test_a_display_and_a_mailer_are_two_promotions_of_a_week(source):
    """From Monday to Sunday, with the kind in words; what comes twice stays twice."""
    rows = Counter(tuple(row.values()) for row in rows_of("promotions.parquet", source))
    week = (date(2017, 1, 23), date(2017, 1, 29))
    assert {row: count for row, count in rows.items() if row[1] == week[0]} == {
        ("900", *week, "330", "display store front"): 2,
        ("900", *week, "330", "mailer interior page feature"): 2,
        ("1200", *week, "330", "mailer front page feature"): 1,
    }
    assert rows["31", date(2017, 1, 30), date(2017, 2, 5), "8", "display in aisle"] == 1


def test_a_price_tells_nothing_of_the_weeks_that_it_is_valid_for(package, tmp_path):
    """Whatever is sold, and for how much, the price list is the same until four weeks later; fuel is priced by the gallon."""
    changed = tmp_path / "changed"
    changed.mkdir()
    for name in ("products", "promotions"):
        (changed / f"{name}.parquet").write_bytes((package / f"{name}.parquet").read_bytes())
    lines = parquet.read_table(package / "transactions.parquet")
    dearer = pc.multiply(lines["sales_value"], pc.if_else(pc.greater_equal(lines["week"], 20), 3.0, 1.0))
    parquet.write_table(lines.set_column(3, "sales_value", dearer), changed / "transactions.parquet")
    lists = []
    for number, folder in enumerate((package, changed)):
        completejourney.write(folder, tmp_path / str(number))
        lists.append(rows_of("prices.parquet", tmp_path / str(number)))
    before, after = lists
    assert before == [row for row in after if row["start"] < date(2017, 5, 8) + timedelta(weeks=4)]
    assert {row["product"]: row["price"] for row in before} == {"900": 1.5, "1200": 4.0, "77": 2.0, FUEL: 2.5}
    assert min(row["start"] for row in after if row not in before) == date(2017, 6, 12)


def test_made_again_it_is_the_same(source, package, tmp_path):
    """Byte for byte, in place of what was there; a folder with anything else is left alone."""
    again = tmp_path / "again"
    for _ in range(2):
        completejourney.write(package, again)
        assert digests(again) == digests(source)
    (again / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"notes\.txt"):
        completejourney.write(package, again)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(digests(again)) == 7


def test_the_sample_is_a_part_of_the_source(source, tmp_path, monkeypatch):
    """The stores with most lines, the products most sold on promotion, one in no table, the fuel of one store; made again, the same."""
    monkeypatch.setattr(make_sample, "CHOICE", tuple(text.replace("LIMIT 60", "LIMIT 1") for text in make_sample.CHOICE))
    for name in ("one", "two"):
        make_sample.make(source, tmp_path / name)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert {row["product"] for row in rows_of("sales.parquet", tmp_path / "one")} == {"900", "77", FUEL}
    assert [row["product"] for row in rows_of("products.csv", tmp_path / "one")] == [FUEL, "900"]
    assert min(row["start"] for row in rows_of("promotions.parquet", tmp_path / "one")) == date(2017, 1, 2)


def test_without_the_source_one_is_told_how_to_get_it(tmp_path):
    """The message names the command, and nothing is written."""
    with pytest.raises(DataError, match="make completejourney"):
        make_sample.make(tmp_path, tmp_path / "sample")
    assert not list(tmp_path.iterdir())
