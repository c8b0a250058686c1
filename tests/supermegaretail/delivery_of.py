"""A source written for a test, and what acquire and clean make of it."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from trainworks.supermegaretail.cleaning.clean import clean
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.tables.acquire import acquire

WEEKS = ("2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26", "2026-02-02")


def deliver(folder: Path, **files: str) -> Path:
    """Write *files*, named like ``sales_csv`` or, below a folder, ``sales__a_csv``, into *folder*."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        path = folder / f"{stem.replace('__', '/')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def weekly(*, quantity: str = "3", header: str = "date,store,product,quantity", products: int = 20, weeks: tuple[str, ...] = WEEKS) -> str:
    """A CSV of a store's weeks, with the same *quantity* in each line."""
    return "\n".join([header, *(f"{week},0001,P{number:02d},{quantity}" for number in range(products) for week in weeks)]) + "\n"


def cleaned(source: Path, columns: str = "", **knobs: Any) -> tuple[dict[str, pa.Table], dict[str, dict[str, Any]]]:
    """The lines of every table of *source*, and its ledger, both over all slices; artifacts go beside the source."""
    lines: dict[str, list[pa.Table]] = {}
    ledger: dict[str, dict[str, Any]] = {}
    for number, folder in enumerate(acquire(str(source), columns)):
        out = source.parent / f"{source.name}-lines-{number}"
        out.mkdir(exist_ok=True)
        clean(folder, CleanConfig(**knobs), out)
        for file in out.glob("*.parquet"):
            lines.setdefault(file.stem, []).append(parquet.read_table(file))
        for table, counts in json.loads((out / "ledger.json").read_text()).items():
            assert counts["read"] == counts["kept"] + sum(counts["corrected"].values()) + sum(counts["rejected"].values())
            total = ledger.setdefault(table, {"read": 0, "kept": 0, "corrected": {}, "rejected": {}})
            for part in ("read", "kept"):
                total[part] += counts[part]
            for part in ("corrected", "rejected"):
                for reason, count in counts[part].items():
                    total[part][reason] = total[part].get(reason, 0) + count
    return {table: pa.concat_tables(parts) for table, parts in lines.items()}, ledger
