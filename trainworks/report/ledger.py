"""The way of the rows from source to dataset, as a ledger that adds up: read = kept + rejected + corrected, stage by stage."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainworks.errors import DataError
from trainworks.report.page import Quantity, Table, short

_EXAMPLE = 90
"""Characters of an example."""


def ledger(read: int, stages: Sequence[Mapping[str, Any]], examples: Mapping[tuple[str, str], str]) -> Table:
    """The rows *read*, what each of the *stages* rejected and corrected, by reason, and what it handed on in bold.

    A stage has its ``stage`` (name), the numbers of rows it ``read`` and ``kept`` as they were, and, where it has any, reason → rows
    ``rejected`` and ``corrected``: rejected rows end there, corrected ones go on. *examples* are words for a (stage, reason).

    Raises:
        DataError: the rows of a stage do not add up, or are not those that the stage before handed on.
    """
    rows: list[list[object]] = [["read from the source", read, ""]]
    sums, left = [0], read
    for stage in stages:
        name, rejected, corrected = stage["stage"], stage.get("rejected", {}), stage.get("corrected", {})
        lost, mended = sum(rejected.values()), sum(corrected.values())
        if stage["read"] != left or stage["kept"] + mended + lost != left:
            kept = f"kept {stage['kept']}, corrected {mended}" if corrected else f"kept {stage['kept']}"
            raise DataError(
                f"card.json: {name} took {stage['read']} of {left} rows, {kept} and rejected {lost}; "
                f"these must add up to the rows the stage before it handed on: {stages[-1]['stage']} again"
            )
        left -= lost
        for reason, count in largest_first(rejected.items()):
            rows.append([f"{name}: {reason}", Quantity(f"−{count:,}"), short(examples.get((name, reason), ""), _EXAMPLE)])
        sums.append(len(rows))
        rows.append([f"kept by {name}", left, ""])
        for reason, count in largest_first(corrected.items()):
            rows.append([f"of these corrected: {reason}", Quantity(f"{count:,}"), short(examples.get((name, reason), ""), _EXAMPLE)])
    return Table("From source to dataset", ["Rows", "Number", "For example"], rows, strong=sums)


def largest_first(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Name and number, the largest number first, then in order of the alphabet."""
    return sorted(counts, key=lambda item: (-item[1], item[0]))
