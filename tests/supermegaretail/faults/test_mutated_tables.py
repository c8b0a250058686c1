"""Damaged sources: each is refused in words, or all its lines are kept, corrected or rejected, and then a panel is made.

Forty of the thousand that were drawn; ``drawn(range(1000), …)`` takes ten minutes.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.supermegaretail.delivery_of import cleaned
from trainworks.errors import TrainworksError
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig

FIRST = date(2026, 1, 5)
TABLES: dict[str, list[str]] = {
    "sales": ["date,store,product,quantity,revenue"]
    + [
        f"{FIRST + timedelta(weeks=week)},{store},P{product},{1 + (week + product) % 5},{2.5 * (1 + (week + product) % 5)}"
        for week in range(12)
        for store in ("01", "02")
        for product in range(3)
    ],
    "products": ["product,category,size,launched"]
    + [f"P{product},c{product % 2},{product + 0.5},2025-01-0{product + 1}" for product in range(3)],
    "stores": ["store,region,opened", "01,north,2020-01-01", "02,south,2021-05-31"],
    "promotions": ["product,start,end,store,kind,price"]
    + [f"P{week % 3},{FIRST + timedelta(weeks=week)},{FIRST + timedelta(weeks=week, days=6)},01,mailer,1.5" for week in range(0, 14, 2)],
    "prices": ["product,start,price"] + [f"P{product},{FIRST + timedelta(weeks=week)},2.5" for product in range(3) for week in (0, 6)],
    "calendar": ["date,event,closed", f"{FIRST},Epiphany,", f"{FIRST + timedelta(days=40)},,1"],
    "stock": ["date,store,product,on_hand"] + [f"{FIRST + timedelta(weeks=week)},01,P1,{week % 4}" for week in range(12)],
    "weather": ["date,store,rain"] + [f"{FIRST + timedelta(weeks=week)},01,{week / 4}" for week in range(12)],
}
"""A retailer's tables, as the lines of a CSV file each."""

FIRST_OF_THEM = 860
"""Of the thousand sources; among these is one of those that crashed, before each of them was mended."""

ODD = ("", " ", "NaN", "-1", "0", "1e9", "1e999", "-0", "inf", "٣", "2026-02-30", "0001-01-01", "9999-12-31", "2026-01-05 25:00:00", "NULL")
ODD += (
    '"',
    "a\u0000b",
    "ü" * 300,
    "=1+1",
    "<b>",
    "';--",
    "\\",
    "1,5",
    "1.234,56",
    "01",
    "TRUE",
    "2026-03-29 02:30:00",
    "x" * 5000,
    "\u202e",
)

Mutation = Callable[[np.random.Generator, list[list[str]]], None]


def another_cell(rng: np.random.Generator, rows: list[list[str]]) -> None:
    """Some cells are something else."""
    for _ in range(rng.integers(1, 9)):
        if row := rows[rng.integers(1, max(len(rows), 2))] if len(rows) > 1 else []:
            row[rng.integers(len(row))] = str(rng.choice(ODD))


def another_column(rng: np.random.Generator, rows: list[list[str]]) -> None:
    """A column is something else throughout, or is gone, or stands twice."""
    place, how, cell = int(rng.integers(len(rows[0]))), rng.integers(4), str(rng.choice(ODD))
    for number, row in enumerate(rows):
        if len(row) <= place:
            continue
        if how == 0:
            row.pop(place)
        elif how == 1:
            row.insert(place, row[place])
        elif number:
            row[place] = cell if how == 2 else str(rng.choice(ODD))


def another_header(rng: np.random.Generator, rows: list[list[str]]) -> None:
    """A name of a column is another."""
    rows[0][rng.integers(len(rows[0]))] = str(rng.choice([*ODD, "date", "product", "quantity", "price", "_file", "_line", "own date"]))


def other_rows(rng: np.random.Generator, rows: list[list[str]]) -> None:
    """Rows come twice, in another order, or not at all; cells are missing or too many."""
    for _ in range(rng.integers(1, 20)):
        place = rng.integers(1, max(len(rows), 2))
        how = rng.integers(4)
        if how == 0 and len(rows) > 1:
            rows.insert(place, list(rows[rng.integers(1, len(rows))]))
        elif how == 1 and len(rows) > place:
            rows.pop(place)
        elif how == 2 and len(rows) > place:
            rows[place] = rows[place][: rng.integers(len(rows[place]) + 1)]
        elif len(rows) > place:
            rows[place].append(str(rng.choice(ODD)))


def other_days(rng: np.random.Generator, rows: list[list[str]]) -> None:
    """Days are written otherwise, in all rows or in some."""
    shapes = ("{d}.{m}.{y}", "{d}/{m}/{y}", "{y}/{m}/{d}", "{y}{m}{d}", "{y}-{m}-{d}T23:30:00Z", "{y}-{m}-{d} 01:30:00+02:00", "{y}-{m}")
    shape, share = str(rng.choice(shapes)), rng.choice([0.02, 1.0])
    for row in rows[1:]:
        for place, cell in enumerate(row):
            if (found := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", cell)) and rng.random() < share:
                row[place] = shape.format(y=found[1], m=found[2], d=found[3])


CELLS: tuple[Mutation, ...] = (*[another_cell] * 4, *[other_rows] * 3, other_days, another_column, another_header)


def other_bytes(rng: np.random.Generator, content: bytearray) -> None:
    """Bytes are flipped, cut off, doubled, or taken out."""
    how = rng.integers(4)
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 200))
    if how == 0:
        for at in rng.integers(len(content), size=rng.integers(1, 9)):
            content[at] ^= 1 << int(rng.integers(8))
    elif how == 1:
        del content[start:]
    elif how == 2:
        content[start:start] = content[start : start + length]
    else:
        del content[start : start + length]


def written(rows: list[list[str]], suffix: str) -> bytes:
    """*rows*, the first of which is the header, as a file."""
    if suffix == "csv":
        quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' if set(cell) & set(',"\n\r') else cell for cell in row] for row in rows]
        return ("\n".join(map(",".join, quoted)) + "\n").encode()
    if suffix == "jsonl":
        numbers = re.compile(r"-?(0|[1-9]\d{0,9})(\.\d{1,9})?")
        lines = [
            {name: json.loads(cell) if numbers.fullmatch(cell) else cell for name, cell in zip(rows[0], row, strict=False)}
            for row in rows[1:]
        ]
        return "".join(json.dumps(line) + "\n" for line in lines).encode()
    names = [name if name not in rows[0][:place] else f"{name} {place}" for place, name in enumerate(rows[0])]
    columns = {name: [row[place] if place < len(row) else None for row in rows[1:]] for place, name in enumerate(names)}
    content = io.BytesIO()
    parquet.write_table(pa.table({name: _typed(name, values) for name, values in columns.items()}), content)
    return content.getvalue()


def _typed(name: str, values: list[str | None]) -> pa.Array:
    """As a program would have it: days and numbers by their type, if all are some; ids are text."""
    for kind in (pa.date32(), pa.float64()) if name not in ("store", "product") else ():
        try:
            return pa.array(values, pa.string()).cast(kind)
        except pa.ArrowInvalid:
            continue
    return pa.array(values, pa.string())


def source_of(number: int, folder: Path) -> None:
    """The damaged source of that *number*: one table in one of three formats, with mutations; the others are whole."""
    rng = np.random.default_rng(number)
    names = list(TABLES)
    damaged = names[rng.integers(len(names))] if number % 2 else "sales"
    folder.mkdir(parents=True)
    for name in names:
        rows = [line.split(",") for line in TABLES[name]]
        suffix = str(rng.choice(["csv", "jsonl", "parquet"])) if name == damaged else "csv"
        if name == damaged and (in_cells := number % 4):
            for mutation in rng.choice(len(CELLS), size=in_cells):
                CELLS[mutation](rng, rows)
        content = bytearray(written(rows, suffix))
        if name == damaged and not number % 4:
            other_bytes(rng, content)
        (folder / f"{name}.{suffix}").write_bytes(content)


def outcome(number: int, folder: Path) -> tuple[str, Counter]:
    """How the source of that *number* ends, and its lines; whoever reads it may raise documented errors alone."""
    source_of(number, folder / "source")
    try:
        _, ledger = cleaned(folder / "source")
    except (TrainworksError, ValueError) as error:
        assert not isinstance(error, pa.ArrowInvalid) and str(error)
        return "refused", Counter()
    lines: Counter = Counter()
    for counts in ledger.values():
        corrected, rejected = sum(counts["corrected"].values()), sum(counts["rejected"].values())
        assert counts["kept"] >= 0 and counts["kept"] + corrected + rejected == counts["read"]
        lines.update(read=counts["read"], kept=counts["kept"], corrected=corrected, rejected=rejected)
    (folder / "panel").mkdir()
    try:
        build(sorted(folder.glob("source-lines-*")), PanelConfig(grain="store, product, week"), folder / "panel")
    except (TrainworksError, ValueError) as error:
        assert str(error)
        return "refused by the panel", lines
    return "a panel", lines


def drawn(numbers: range, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Counter, Counter]:
    """How many end how, and their lines."""
    ends, lines = Counter(), Counter()
    for number in numbers:
        monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(folder / str(number) / "artifacts"))
        end, counted = outcome(number, folder / str(number))
        ends[end] += 1
        lines += counted
    return ends, lines


def test_a_source_that_nobody_damaged_is_kept_whole(tmp_path, monkeypatch):
    """So that what is lost below was damaged."""
    monkeypatch.setattr("tests.supermegaretail.faults.test_mutated_tables.CELLS", [lambda *_: None])
    for number in (1, 2, 3):
        ends, lines = drawn(range(number, number + 1), tmp_path, monkeypatch)
        assert ends == {"a panel": 1} and lines["kept"] == lines["read"] == sum(map(len, TABLES.values())) - len(TABLES)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pyarrow's, of a line that is no UTF-8
def test_of_forty_damaged_sources_every_line_is_counted(tmp_path, monkeypatch):
    """Kept, corrected and rejected lines add up to those read; nothing crashes."""
    ends, lines = drawn(range(FIRST_OF_THEM, FIRST_OF_THEM + 40), tmp_path, monkeypatch)
    assert sum(ends.values()) == 40 and ends["a panel"] > 10 and ends["refused"] > 5
    assert lines["kept"] + lines["corrected"] + lines["rejected"] == lines["read"] > 40 * 20
    assert lines["corrected"] and lines["rejected"]
