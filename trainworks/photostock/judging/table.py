"""What judgements came to, as a table."""

from collections.abc import Mapping
from typing import Any

from trainworks.report.page import Quantity, Table


def table(outcome: Mapping[str, Any]) -> Table | None:
    """The *outcome* by kind of query, None without judgements."""
    rows: list[list[object]] = [
        [kind, _preferred(row), _more(row["more"]), row["queries"], row["model"], row["other"], row["same"], row["bad"]]
        for kind, row in outcome["kinds"].items()
    ]
    head = ["Query", "Preferred, %", "To decide", "Queries", "Model", "Other", "Same", "Both bad"]
    return Table(f"Beside {outcome['other']}", head, rows, strong=[0]) if rows else None


def _preferred(row: Mapping[str, Any]) -> Quantity:
    low, high = row["interval"]
    return Quantity(f"{100 * row['preference']:.0f} ({100 * low:.0f} to {100 * high:.0f})")


def _more(more: int | None) -> Quantity:
    return Quantity("decided" if more == 0 else "–" if more is None else f"{more:,} more")
