"""The data card for a reader: the way of the rows from source to split, and what the dataset is made of."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trainworks.errors import DataError
from trainworks.report.page import Quantity, Table, percent, short

_LONG_TABLE = 12


def flow(card: Mapping[str, Any], rejected: Path) -> dict[str, Table]:
    """The way of the rows from source to split, as a ledger whose sums were checked.

    Raises:
        DataError: the data card's rows do not add up.
    """
    reasons = pq.read_table(rejected).group_by(["stage", "reason"], use_threads=False)
    first = {(row["stage"], row["reason"]): row for row in reasons.aggregate([("id", "first"), ("detail", "first")]).to_pylist()}
    rows: list[list[object]] = [["read from the source", card["read"], ""]]
    sums, left = [0], card["read"]
    for stage in card["stages"]:
        name, lost = stage["stage"], sum(stage["rejected"].values())
        if stage["read"] != left or stage["kept"] + lost != left:
            raise DataError(
                f"card.json: {name} took {stage['read']} of {left} rows, kept {stage['kept']} and rejected {lost}; "
                "kept and rejected must add up to the rows the stage before it kept: curate again"
            )
        for reason, count in _largest_first(stage["rejected"].items()):
            example = first.get((name, reason), {})
            words = " ".join(filter(None, [example.get("id_first"), example.get("detail_first")]))
            rows.append([f"{name}: {reason}", Quantity(f"−{count:,}"), short(words, 90)])
        left = stage["kept"]
        sums.append(len(rows))
        rows.append([f"kept by {name}", left, ""])
    kept = card["kept"]
    if sum(kept.values()) != left:
        raise DataError(f"card.json: the splits hold {sum(kept.values())} rows where the last stage kept {left}; curate again")
    uses = {"train": "the model learns from these", "val": "these choose the epoch", "test": "these give the numbers on this page"}
    split: list[list[object]] = [[name, count, percent(count / max(left, 1)), uses[name]] for name, count in kept.items()]
    return {
        "ledger": Table("From source to dataset", ["Rows", "Number", "For example"], rows, strong=sums),
        "split": Table(
            "The split", ["Part", "Pictures", "Share", "Use"], [*split, ["together", left, percent(1), ""]], strong=[len(split)]
        ),
    }


def counts(card: Mapping[str, Any]) -> list[Table]:
    """Licences, contributors and repairs of the pictures kept."""
    kept = sum(card["kept"].values())

    def table(caption: str, head: str, counts: Iterable[tuple[str, int]]) -> Table:
        ordered = _largest_first(counts)
        rows: list[list[object]] = [[name or "not stated", n, percent(n / max(kept, 1))] for name, n in ordered[:_LONG_TABLE]]
        if rest := sum(n for _, n in ordered[_LONG_TABLE:]):
            rows.append([f"{len(ordered) - _LONG_TABLE} others", rest, percent(rest / max(kept, 1))])
        return Table(caption, [head, "Pictures", "Share"], rows)

    tables = [
        table("Licences of the pictures kept", "Licence", card["licences"].items()),
        table("Largest contributors", "Contributor", card["contributors"]["largest"]),
    ]
    if repairs := _largest_first(card["repairs"].items()):
        tables.append(Table("Repairs made on the way", ["Repair", "Rows"], repairs))
    return tables


def _largest_first(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda item: (-item[1], item[0]))
