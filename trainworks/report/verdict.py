"""The verdict for a reader: what the model had to reach, and whether it may be released."""

from collections.abc import Mapping
from typing import Any

from trainworks.report.page import Mark, Quantity, Table, cell


def table(verdict: Mapping[str, Any]) -> Table:
    """The *verdict* of ``trainworks.release.gates``, a row per gate."""
    rows: list[list[object]] = []
    for gate in verdict["gates"]:
        word = ("holds" if gate["passed"] else "fails") + (", waived" if gate["waived"] else "")
        result = Mark(gate["passed"], f"{word} ({gate['note']})" if gate["note"] else word)
        rows.append([gate["gate"], gate["meaning"], gate["value"], Quantity(f"{gate['must']} {cell(gate['bound'])}"), result])
    return Table("What the model had to reach", ["Gate", "What it measures", "Value", "Bound", "Result"], rows)
