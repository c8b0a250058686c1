"""The data card for a reader: the way of the rows from source to split, and what the dataset is made of."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trainworks.errors import DataError
from trainworks.report.ledger import largest_first, ledger
from trainworks.report.page import Table, percent

_LONG_TABLE = 12
_USES = {"train": "the model learns from these", "val": "these choose the epoch", "test": "these give the numbers on this page"}


def flow(card: Mapping[str, Any], rejected: Path) -> dict[str, Table]:
    """The way of the rows from source to split, as a ledger whose sums were checked.

    Raises:
        DataError: the data card's rows do not add up.
    """
    way = ledger(card["read"], card["stages"], _examples(rejected))
    kept, left = card["kept"], card["stages"][-1]["kept"]
    if sum(kept.values()) != left:
        raise DataError(f"card.json: the splits hold {sum(kept.values())} rows where the last stage kept {left}; curate again")
    parts: list[list[object]] = [[name, count, percent(count / max(left, 1)), _USES[name]] for name, count in kept.items()]
    together = ["together", left, percent(1), ""]
    return {
        "ledger": way,
        "split": Table("The split", ["Part", "Pictures", "Share", "Use"], [*parts, together], strong=[len(parts)]),
    }


def _examples(rejected: Path) -> dict[tuple[str, str], str]:
    """The first row that each stage rejected for each reason, in words."""
    reasons = pq.read_table(rejected).group_by(["stage", "reason"], use_threads=False)
    first = reasons.aggregate([("id", "first"), ("detail", "first")]).to_pylist()
    return {(row["stage"], row["reason"]): " ".join(filter(None, [row["id_first"], row["detail_first"]])) for row in first}


def counts(card: Mapping[str, Any]) -> list[Table]:
    """Licences, contributors and repairs of the pictures kept."""
    kept = sum(card["kept"].values())

    def table(caption: str, head: str, counts: Iterable[tuple[str, int]]) -> Table:
        ordered = largest_first(counts)
        rows: list[list[object]] = [[name or "not stated", n, percent(n / max(kept, 1))] for name, n in ordered[:_LONG_TABLE]]
        if rest := sum(n for _, n in ordered[_LONG_TABLE:]):
            rows.append([f"{len(ordered) - _LONG_TABLE} others", rest, percent(rest / max(kept, 1))])
        return Table(caption, [head, "Pictures", "Share"], rows)

    tables = [
        table("Licences of the pictures kept", "Licence", card["licences"].items()),
        table("Largest contributors", "Contributor", card["contributors"]["largest"]),
    ]
    if repairs := largest_first(card["repairs"].items()):
        tables.append(Table("Repairs made on the way", ["Repair", "Rows"], repairs))
    return tables
