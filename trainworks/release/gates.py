"""Gates: what a bundle must reach before it may be released, and how far it fell short."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Must = Literal["at least", "at most"]


@dataclass(frozen=True)
class Gate:
    """One measured *value* against its *bound*; what is not a number never passes.

    A *waived* gate is measured and shown like any other, and holds no release back. *note* is what else a person must know of the
    value, such as why there was nothing to measure; *unit* says how value and bound are read, see `in_words`.
    """

    name: str
    value: float
    bound: float
    meaning: str
    must: Must = "at least"
    waived: bool = False
    note: str = ""
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether *value* holds its *bound*; equal is enough."""
        return self.value >= self.bound if self.must == "at least" else self.value <= self.bound


def verdict(gates: Sequence[Gate]) -> dict[str, Any]:
    """All *gates* as the JSON that the report shows and the release obeys; a value that is not finite becomes null.

    ``passed`` is true if every gate that is not waived holds; the ``passed`` of a row tells nothing but whether that one holds.

    Raises:
        ValueError: no gate at all, for nothing measured must not look like everything passed.
    """
    if not gates:
        raise ValueError("a verdict needs at least one gate, got none")
    rows = [
        {
            "gate": gate.name,
            "value": gate.value if math.isfinite(gate.value) else None,
            "must": gate.must,
            "bound": gate.bound,
            "passed": gate.passed,
            "waived": gate.waived,
            "meaning": gate.meaning,
            "note": gate.note,
            **({"unit": gate.unit} if gate.unit else {}),
        }
        for gate in gates
    ]
    return {"passed": all(gate.passed or gate.waived for gate in gates), "gates": rows}


def in_words(value: float, unit: str) -> str:
    """*value* as a person reads it: of ``share`` in per cent, of ``points`` in hundredths, of ``parts`` as one in how many, else as it is.

    >>> in_words(0.384, "share"), in_words(-0.05747, "points"), in_words(5.104e-07, "parts"), in_words(12, "queries")
    ('38.4 %', '−5.7 points', '1 part in 2,000,000', '12 queries')
    """
    match unit:
        case "share":
            words = f"{100 * value:.1f} %"
        case "points":
            words = f"{100 * value:.1f} points"
        case "parts":
            words = f"1 part in {float(f'{1 / value:.2g}'):,.0f}" if value > 0 else "0"
        case _:
            words = f"{value:,.4g} {unit}" if unit else f"{value:g}"
    return words.replace("-", "−") if unit else words


def missed(row: Mapping[str, Any]) -> str:
    """What the gate of *row* asked for, what was measured, and by how much that is off."""
    unit = row.get("unit", "")
    must = f"{row['meaning']} must be {row['must']} {in_words(row['bound'], unit)}"
    if row["value"] is None:
        return f"{must}, is not a number{_noted(row)}"
    off = abs(row["bound"] - row["value"])
    words = in_words(off, {"share": "points", "parts": ""}.get(unit, unit)) if unit else f"{off:.3g}"
    return f"{must}, is {in_words(row['value'], unit)}, {words} off{_noted(row)}"


def why(verdict: Mapping[str, Any]) -> str:
    """The *verdict* in words: which gates failed, by how much each, which were waived, and which hold for want of a value."""
    words = "; ".join(_missed(row) for row in verdict["gates"] if not row["passed"]) or "every gate holds"
    unmeasured = [row for row in verdict["gates"] if row["passed"] and row["value"] is None]
    return "; ".join([words, *(f"gate {row['gate']} holds: {row['note']}" for row in unmeasured)])


def in_short(verdict: Mapping[str, Any]) -> str:
    """``passed``, perhaps with the gates that were waived, or the gates that failed."""
    rows = verdict.get("gates", ())
    waived = [row["gate"] for row in rows if row.get("waived") and not row["passed"]]
    if verdict.get("passed"):
        return f"passed, waived: {', '.join(waived)}" if waived else "passed"
    return "failed: " + ", ".join(row["gate"] for row in rows if not row["passed"] and row["gate"] not in waived)


def _missed(row: Mapping[str, Any]) -> str:
    waived = " and is waived" if row.get("waived") else ""  # bundles made before there were waivers can be released again
    return f"gate {row['gate']} failed{waived}: {missed(row)}"


def _noted(row: Mapping[str, Any]) -> str:
    return f" ({row['note']})" if row.get("note") else ""
