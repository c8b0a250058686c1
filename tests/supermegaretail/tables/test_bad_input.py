"""What retailers' systems deliver: each fault is refused with the place and what to do, or its lines are counted with a reason."""

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.supermegaretail.delivery_of import WEEKS, cleaned, deliver, weekly
from trainworks.errors import DataError, LanguageError
from trainworks.supermegaretail.tables.acquire import acquire, check


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """Stages' outputs go into the test's folder."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))


REFUSED = {
    "no sales": ({"sale_csv": weekly()}, ["no table of sales", "sale", "did you mean 'sale'"]),
    "no needed column": ({"sales_csv": weekly(header="date,store,product,qty")}, ["sales.csv", "'quantity'", "date, store, product, qty"]),
    "decimal comma": ({"sales_csv": weekly(quantity='"3,5"')}, ["sales.csv, line 2", "'3,5'", "decimal comma"]),
    "thousands separator": ({"sales_csv": weekly() + '2026-02-02,0001,P99,"1,234.50"\n'}, ["line 102", "'1,234.50'", "1234.5"]),
    "thousands apostrophe": ({"sales_csv": weekly() + "2026-02-02,0001,P99,1'234\n"}, ["line 102", "thousands"]),
    "semicolons": ({"sales_csv": weekly().replace(",", ";")}, ["separated by commas", "';'"]),
    "column twice": ({"sales_csv": weekly(header="date,store,store,quantity")}, ["'store'", "2 times"]),
    "day or month": (
        {"sales_csv": weekly(weeks=("03/04/2026", "10/04/2026"))},
        ["line 2", "'03/04/2026'", "day or month first", "2026-11-23"],
    ),
    "two formats": ({"sales_csv": weekly() + "05.01.2026,0001,P99,1\n"}, ["sales.csv, line 102", "'05.01.2026'", "sales.csv, line 2"]),
    "two orders": (
        {"sales_csv": weekly(weeks=("25/03/2026",)) + "03/25/2026,0001,P99,1\n"},
        ["line 2", "line 22", "two orders of day and month"],
    ),
    "two formats in two files": (
        {"sales__a_csv": weekly(), "sales__b_csv": weekly(weeks=("25.03.2026",))},
        ["sales/a.csv, line 2", "sales/b.csv, line 2", "two ways"],
    ),
    "no days": ({"sales_csv": weekly(weeks=("KW 14",))}, ["line 2", "'KW 14'", "expected days"]),
    "files with other columns": (
        {"sales__a_csv": weekly(), "sales__b_csv": "date,product,quantity\n2026-01-05,P1,1\n"},
        ["sales/a.csv", "sales/b.csv", "'store'"],
    ),
    "open quote": ({"sales_csv": weekly() + '2026-02-02,0001,"P99,1\n' + weekly()}, ["sales.csv, line 102", "quote"]),
    "covariate with a decimal comma": (
        {"sales_csv": weekly(), "weather_csv": 'date,rain\n2026-01-05,"1,5"\n2026-01-12,"2,5"\n'},
        ["weather.csv, line 2", "rain", "decimal comma"],
    ),
    "empty": ({"sales_csv": "date,product,quantity\n"}, ["sales.csv", "no line"]),
}


@pytest.mark.parametrize(("files", "words"), REFUSED.values(), ids=REFUSED)
def test_what_could_mean_anything_is_refused(tmp_path, files, words):
    """The message has file and line, what stands there, and what to do."""
    with pytest.raises(DataError) as error:
        acquire(str(deliver(tmp_path / "source", **files)), "")
    assert not [word for word in words if word not in str(error.value)], str(error.value)


@pytest.mark.parametrize(
    ("start", "words"),
    [("Käse".encode("latin-1"), ["line 102", "Latin-1", "UTF-8"]), (b"\xff\xfed\x00a\x00", ["UTF-16"])],
    ids=["latin-1", "utf-16"],
)
def test_another_encoding_is_refused(tmp_path, start, words):
    """A name in Latin-1 or a file in UTF-16 would be another product."""
    source = deliver(tmp_path / "source", sales_csv=weekly())
    text = (source / "sales.csv").read_bytes()
    (source / "sales.csv").write_bytes(start + text if b"\xff" in start else text + b"2026-02-02,0001," + start + b",1\n")
    with pytest.raises(DataError) as error:
        acquire(str(source), "")
    assert not [word for word in words if word not in str(error.value)]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    """Excel writes one before the first column."""
    source = deliver(tmp_path / "source", sales_csv="\ufeff" + weekly())
    assert cleaned(source)[1]["sales"]["kept"] == 100


REJECTED = {
    "no number": ("2026-01-05,0001,P50,n/a", "quantity is no number"),
    "not finite": ("2026-01-05,0001,P50,inf", "quantity is no number"),
    "no day of the calendar": ("2026-02-30,0001,P50,1", "date is no day"),
    "no product": ("2026-01-05,0001,,1", "no product"),
    "no store": ("2026-01-05,,P50,1", "no store"),
    "no quantity": ("2026-01-05,0001,P50,", "no quantity"),
    "too few cells": ("2026-01-05,0001,P50", "3 cells where the header has 4"),
    "1970": ("1970-01-01,0001,P50,1", "day before 1990"),
    "the future": ("2089-01-01,0001,P50,1", "day in the future"),
    "long ago": ("2016-01-05,0001,P50,1", "day more than a year from all others"),
    "a trillion": ("2026-01-05,0001,P50,1000000000000", "a quantity that cannot be"),
    "a bar code as quantity": ("2026-01-05,0001,P00,12345678", "a quantity that cannot be"),
    "repeated": ("2026-01-05,0001,P00,3", "repeated"),
    "conflict": ("2026-01-05,0001,P00,4", "says something else than an earlier line of its file"),
}


@pytest.mark.parametrize(("line", "reason"), REJECTED.values(), ids=REJECTED)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_bad_line_is_rejected_with_a_reason(tmp_path, line, reason, place):
    """Wherever it stands, the others stay, and all lines add up."""
    header, *lines = weekly(products=40).splitlines()
    lines = [line, *lines] if place == "first" else [*lines, line]
    quantities, ledger = cleaned(deliver(tmp_path / "source", sales_csv="\n".join([header, *lines]) + "\n"))
    assert ledger["sales"]["rejected"] == {reason: 1}
    assert ledger["sales"]["read"] == 201 and len(quantities["sales"]) == 200


@pytest.mark.parametrize("word", ["NA", "NULL", "nan", ""])
def test_a_word_for_nothing_is_nothing_in_numbers_and_days(tmp_path, word):
    """Programs write them where there is none; as an id they are names."""
    source = deliver(
        tmp_path / "source",
        sales_csv=f"date,product,quantity,price\n2026-01-05,{word or 'P'},2,{word}\n2026-01-12,P,2,3\n",
        promotions_csv=f"product,start,end\nP,2026-01-05,{word}\n",
    )
    lines, _ = cleaned(source)
    assert [price if price == 3 else None for price in lines["sales"]["price"].to_pylist()] == [None, 3]
    assert lines["sales"]["product"][0].as_py() == (word or "P") and lines["promotions"]["end"].to_pylist() == [None]


def test_columns_may_have_any_name(tmp_path):
    """Names that Trainworks uses itself, or that differ from others by their case only, are a retailer's own."""
    names = ["line", "file", "rejected", "corrected", "day", "Product", "Brand", "brand", "order", 'a "b"']
    products = ",".join(["sku", *(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names)])
    values = ",".join(f"value {number}" for number in range(len(names)))
    source = deliver(tmp_path / "source", sales_csv=weekly(products=1), products_csv=f"{products}\nP00,{values}\n")
    lines, ledger = cleaned(source, "product: sku")
    (row,) = lines["products"].to_pylist()
    assert {f"value {number}" for number in range(len(names))} <= set(row.values()) and row["product"] == "P00"
    assert row["brand"] == "value 7" and row["line"] == "value 0" and ledger["products"]["kept"] == 1


def test_ids_stay_byte_for_byte(tmp_path):
    """NA, 1e5, leading zeros and separators are names, in CSV, JSONL and parquet."""
    names = ["NA", "1e5", "0012", "12", "null", "1,5", " 7", "a;b|c", "007.0", "Käse", "TRUE", "-"]
    rows = [(week, name) for week in WEEKS for name in names]
    source = tmp_path / "source"
    csv = "date,product,quantity\n" + "".join(f'{week},"{name}",2\n' for week, name in rows)
    jsonl = "".join(f'{{"date": "{week}", "product": "j{name}", "quantity": 2}}\n' for week, name in rows)
    deliver(source, sales__a_csv=csv, sales__b_jsonl=jsonl)
    parquet.write_table(
        pa.table({"date": [w for w, _ in rows], "product": [f"p{n}" for _, n in rows], "quantity": [2] * len(rows)}),
        source / "sales" / "c.parquet",
    )
    lines, ledger = cleaned(source)
    assert set(lines["sales"]["product"].to_pylist()) == {prefix + name for prefix in ("", "j", "p") for name in names}
    assert ledger["sales"]["kept"] == 3 * len(rows)


def test_ids_that_went_through_floating_point_are_refused(tmp_path):
    """12.0 was 12 or 0012."""
    source = tmp_path / "source"
    source.mkdir()
    parquet.write_table(pa.table({"date": ["2026-01-05"], "product": [12.0], "quantity": [1]}), source / "sales.parquet")
    with pytest.raises(DataError, match=r"product.*double.*0012"):
        acquire(str(source), "")


def test_files_of_other_types_are_refused_by_name(tmp_path):
    """Whole numbers in one file and text in another may be two names of one product."""
    folder = tmp_path / "source" / "sales"
    folder.mkdir(parents=True)
    for name, product in (("a", [12]), ("b", ["0012"])):
        parquet.write_table(pa.table({"date": ["2026-01-05"], "product": product, "quantity": [1]}), folder / f"{name}.parquet")
    with pytest.raises(DataError, match=r"sales/b.parquet: 'product' is text, in sales/a.parquet it is numbers"):
        acquire(str(folder.parent), "")


@pytest.mark.parametrize(
    ("columns", "position", "words"),
    [
        ("date: week_strat, product: sku", 6, "did you mean 'week_start'"),
        ("dat: week_start", 0, "'date'"),
        ("date: week_start, date: week_start", 18, "second time"),
        ("date week_start", 0, "pair"),
    ],
)
def test_misspelt_columns_are_refused_with_their_position(tmp_path, columns, position, words):
    """Before anything is read but the headers."""
    source = deliver(tmp_path / "source", sales_csv=weekly(header="week_start,store,sku,quantity"))
    with pytest.raises(LanguageError) as error:
        check(str(source), columns, "UTC")
    assert error.value.position == position and words in str(error.value)


def test_names_of_tables_that_are_not_there_are_let_be(tmp_path):
    """One line of columns serves several sources; kind is a column of promotions, which this one has not."""
    source = deliver(tmp_path / "source", sales_csv=weekly(header="week_start,store,sku,quantity"))
    check(str(source), "date: week_start, product: sku, kind: type", "UTC")


def test_an_unknown_time_zone_is_refused(tmp_path):
    """With the one that may be meant."""
    with pytest.raises(ValueError, match="America/New_York"):
        check(str(deliver(tmp_path / "source", sales_csv=weekly())), "", "America/NewYork")


@pytest.mark.parametrize("source", ["/nowhere", "https://example.org/tables"])
def test_no_such_source_is_refused(source):
    """With what is accepted."""
    with pytest.raises((DataError, ValueError), match="expected sample, a folder"):
        check(source, "", "UTC")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_first_line_of_a_spreadsheet_names_its_separator(tmp_path, mark):
    """Its lines are counted with it."""
    text = f"sep={mark}\n" + weekly(header="date,store,product,qty").replace(",", mark)
    with pytest.raises(DataError, match="date, store, product, qty"):
        check(str(deliver(tmp_path / "a", sales_csv=text)), "", "UTC")
    lines, ledger = cleaned(deliver(tmp_path / "b", sales_CSV=f"sep={mark}\n" + weekly().replace(",", mark)))
    assert ledger["sales"]["read"] == ledger["sales"]["kept"] == 100 and len(lines["sales"]) == 100
    with pytest.raises(DataError, match=r"line 103"):
        acquire(str(deliver(tmp_path / "c", sales_csv=(f"sep={mark}\n" + weekly() + "05.01.2026,0001,P99,1\n").replace(",", mark))), "")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_that_is_not_utf_8_at_all_is_refused_as_such(tmp_path, encoding):
    """With a byte order mark or without."""
    source = deliver(tmp_path / "source", sales_csv="")
    (source / "sales.csv").write_bytes(weekly().encode(encoding))
    with pytest.raises(DataError, match=r"sales\.csv: expected UTF-8, found UTF-16; save it as UTF-8"):
        check(str(source), "", "UTC")
