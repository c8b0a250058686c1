"""Acquire: tables become append-only slices, of which a new week changes its own month."""

import boto3
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.supermegaretail.delivery_of import cleaned, deliver, weekly
from trainworks.storage import store
from trainworks.supermegaretail import simulated
from trainworks.supermegaretail.tables.acquire import acquire
from trainworks.supermegaretail.tables.source import tables_of


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """Stages' outputs go into the test's folder."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))


def names(source) -> list[str]:
    """The names of the slices, which are their content."""
    return [folder.name for folder in acquire(str(source), "")]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_formats_give_the_same_lines(tmp_path, suffix):
    """CSV, JSONL and parquet, with typed days and numbers there."""
    rows = [dict(zip(("date", "store", "product", "quantity"), line.split(","), strict=True)) for line in weekly().splitlines()[1:]]
    (tmp_path / "other").mkdir()
    if suffix == "jsonl":
        lines = [str(row).replace("'", '"').replace('"3"', "3") for row in rows]
        (tmp_path / "other" / "sales.jsonl").write_text("\n".join(lines))
    else:
        table = pa.table({name: [row[name] for row in rows] for name in rows[0]})
        table = table.set_column(0, "date", table["date"].cast(pa.date32())).set_column(3, "quantity", table["quantity"].cast(pa.int32()))
        parquet.write_table(table, tmp_path / "other" / "sales.parquet")
    assert names(deliver(tmp_path / "csv", sales_csv=weekly())) == names(tmp_path / "other")


def test_a_new_week_changes_its_month_only(tmp_path):
    """Whether it is appended to the file, comes as a file of its own, or the file is sorted by product."""
    before = names(deliver(tmp_path / "before", sales_csv=weekly()))
    longer = weekly(weeks=("2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26", "2026-02-02", "2026-02-09"))
    within = names(deliver(tmp_path / "within", sales_csv=longer))
    beside = names(deliver(tmp_path / "beside", sales__2026_csv=weekly(), sales__new_csv=weekly(weeks=("2026-03-02",))))
    assert len(before) == 2 and within[0] == before[0] and within[1] != before[1]
    assert beside[:2] == before and len(beside) == 3


def test_tables_are_named_by_file_or_folder():
    """In the order in which they hold: numbers by value, a correction after what it corrects."""
    files = ["sales/2026-10.csv", "sales/2026-9 corrected.csv", "sales/2026-9.csv", "products.parquet", "README.md", ".git/sales.csv"]
    assert tables_of(files) == {
        "products": ["products.parquet"],
        "sales": ["sales/2026-9.csv", "sales/2026-9 corrected.csv", "sales/2026-10.csv"],
    }


def test_a_source_on_s3_gives_the_same_slices(tmp_path, bucket):
    """Below a prefix, in folders of parts."""
    source = deliver(tmp_path / "here", sales__a_csv=weekly(), products_csv="product,brand\nP00,x\n")
    client = boto3.client("s3")
    for path in source.rglob("*.csv"):
        client.upload_file(str(path), bucket.removeprefix("s3://"), f"shop/{path.relative_to(source).as_posix()}")
    assert names(source) == names(f"{bucket}/shop")


def test_a_file_that_comes_twice_is_counted_once(tmp_path):
    """The same bytes under another name."""
    source = deliver(tmp_path / "source", sales__a_csv=weekly(), sales__b_csv=weekly())
    assert cleaned(source)[1]["sales"]["read"] == 100


def test_slices_are_kept_with_the_names_of_their_files(tmp_path):
    """Beside the content, which does not depend on them."""
    (first, *_) = acquire(str(deliver(tmp_path / "source", sales_csv=weekly())), "")
    assert store.notes(first)["files"] == {"sales": ["sales.csv"]}


def test_tables_of_ones_own_keep_their_numbers_and_keys(tmp_path):
    """Numbers as numbers, what all tables share as text; a table without days is left alone."""
    source = deliver(
        tmp_path / "source",
        sales_csv=weekly(),
        weather_csv="date,store,rain,station\n2026-01-05,0001,1.5,07\n2026-01-12,0001,,07\n",
        notes_csv="who,what\nAda,0\n",
    )
    lines, _ = cleaned(source)
    assert set(lines) == {"sales", "weather"}
    assert lines["weather"].to_pydict()["rain"] == [1.5, None] and lines["weather"]["store"].to_pylist() == ["0001"] * 2
    assert lines["weather"]["station"].to_pylist() == ["07"] * 2


def test_attributes_are_numbers_where_they_measure_and_text_where_they_name(tmp_path):
    """A brand's number is a name."""
    products = "product,brand_id,litres,note\nP00,7,1.5,a\nP01,12,2,\n"
    lines, _ = cleaned(deliver(tmp_path / "source", sales_csv=weekly(), products_csv=products))
    assert {field.name: str(field.type) for field in lines["products"].schema if field.name in ("brand_id", "litres", "note")} == {
        "brand_id": "string",
        "litres": "double",
        "note": "string",
    }


def test_a_drawn_retailer_is_kept_whole(tmp_path):
    """What the seed sold is what the lines have, and no line of any table is rejected."""
    truth = simulated.draw(periods=30)
    lines, ledger = cleaned(simulated.write(truth, tmp_path / "source"))
    assert sum(lines["sales"]["quantity"].to_pylist()) == truth.sold.sum()
    assert all(counts["kept"] == counts["read"] for counts in ledger.values())
    assert set(lines) == {table for table, counts in ledger.items() if counts["read"]}
