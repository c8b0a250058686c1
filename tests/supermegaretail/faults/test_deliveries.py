"""A month that is restated, comes twice, late, or half: in the end the panel is the very one of a delivery without a fault."""

import io
import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from tests.supermegaretail.delivery_of import cleaned, deliver
from trainworks.errors import DataError
from trainworks.storage.manifest import sha256
from trainworks.supermegaretail.cleaning.clean import clean
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.tables.acquire import acquire

HEADER = "date,store,product,quantity"
FIRST = date(2026, 1, 5)
CUTS = 8


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """Stages' outputs go into the test's folder."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))


def months() -> dict[str, list[str]]:
    """Name of a month → its lines, week by week, of four stores and four products."""
    rng = np.random.default_rng(0)
    lines: dict[str, list[str]] = {}
    for week in range(20):
        day = FIRST + timedelta(weeks=week)
        sold = [f"{day},{store},P{product},{rng.integers(10, 99)}" for store in "1234" for product in range(4)]
        lines.setdefault(f"{day:%Y-%m}", []).extend(sold)
    return lines


def made(folder: Path, files: dict[str, list[str]]) -> tuple[dict[str, str], set[str]]:
    """The panel of *files* by the digests of its own, and the names of the slices, which are their content."""
    source = deliver(folder / "source", **{f"sales__{name}_csv": "\n".join([HEADER, *lines]) + "\n" for name, lines in files.items()})
    lines = []
    for rows in acquire(str(source), ""):
        lines.append(folder / rows.name)
        lines[-1].mkdir()
        clean(rows, CleanConfig(), lines[-1])
    (folder / "panel").mkdir()
    build(lines, PanelConfig(covariates=""), folder / "panel")
    return {path.name: sha256(path) for path in (folder / "panel").glob("*.parquet")}, {path.name for path in lines}


def restated(files: dict[str, list[str]]) -> tuple[dict, dict]:
    """February had every third quantity wrong; it comes again under another name."""
    wrong = [line if number % 3 else line[:-2] + "98" for number, line in enumerate(files["2026-02"])]
    return files | {"2026-02": wrong}, {"2026-02 corrected": files["2026-02"]}


def duplicated(files: dict[str, list[str]]) -> tuple[dict, dict]:
    """February comes again byte for byte, and in another order too."""
    return files, {"2026-02 again": files["2026-02"], "2026-02 sorted": sorted(files["2026-02"], key=lambda line: line[11:])}


def delayed(files: dict[str, list[str]]) -> tuple[dict, dict]:
    """A store's February comes in May."""
    late = [line for line in files["2026-02"] if line[11] == "3"]
    return files | {"2026-02": [line for line in files["2026-02"] if line not in late]}, {"2026-05 late": late}


def half_written(files: dict[str, list[str]]) -> tuple[dict, dict]:
    """February ends in the middle of a line; then it comes whole."""
    half = files["2026-02"][:37]
    return files | {"2026-02": [*half[:-1], half[-1][:9]]}, {"2026-02 whole": files["2026-02"]}


@pytest.mark.parametrize("fault", [restated, duplicated, delayed, half_written])
def test_what_is_put_right_leaves_the_panel_of_a_delivery_without_a_fault(tmp_path, fault):
    """Byte for byte; of five months, one is cleaned again."""
    files = months()
    expected, _ = made(tmp_path / "without", files)
    first, mend = fault(files)
    wrong, before = made(tmp_path / "wrong", first)
    assert (wrong == expected) == (fault is duplicated)
    mended, after = made(tmp_path / "mended", first | mend)
    assert mended == expected and len(after) == 5 + (fault is half_written)
    assert len(after - before) <= 1 + (fault is half_written)


def written(suffix: str) -> bytes:
    """A month in a file."""
    lines = months()["2026-01"]
    if suffix == "csv":
        return "\n".join([HEADER, *lines]).encode() + b"\n"
    if suffix == "jsonl":
        return "".join(json.dumps(dict(zip(HEADER.split(","), line.split(","), strict=True))) + "\n" for line in lines).encode()
    content = io.BytesIO()
    texts = csv.ConvertOptions(column_types={"date": pa.date32(), "store": pa.string(), "quantity": pa.int64()})
    parquet.write_table(csv.read_csv(io.BytesIO(written("csv")), convert_options=texts), content)
    return content.getvalue()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_of_a_file_that_ends_anywhere_whole_lines_are_kept_and_half_ones_counted(tmp_path, suffix):
    """Of eight cuts each: parquet is refused; of a text at most its last line is rejected, or, cut within its last number, another."""
    whole = written(suffix)
    header, *lines = written("csv").decode().splitlines()
    refused, changed = 0, 0
    for number, cut in enumerate(np.random.default_rng(1).integers(len(header) + 2, len(whole) - 1, CUTS).tolist()):
        folder = tmp_path / str(number)
        (folder / "source").mkdir(parents=True)
        (folder / "source" / f"sales.{suffix}").write_bytes(whole[:cut])
        try:
            rows, ledger = cleaned(folder / "source")
        except DataError as error:
            assert f"sales.{suffix}" in str(error) and suffix == "parquet"
            refused += 1
            continue
        counts = ledger["sales"]
        kept = [",".join(map(str, row.values())) for row in rows["sales"].select(HEADER.split(",")).to_pylist()]
        kept = sorted(line.removesuffix(".0") for line in kept)
        ended = whole[:cut].count(b"\n") - (suffix == "csv")
        assert counts["read"] - ended in (0, 1) and sum(counts["rejected"].values()) <= 1
        other = set(kept) - set(lines)
        changed += len(other)
        assert len(kept) >= ended and all(lines[ended].startswith(line) for line in other)
    assert refused == (CUTS if suffix == "parquet" else 0) and changed <= (CUTS // 5 if suffix == "csv" else 0)
