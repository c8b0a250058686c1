"""Gates: what a bundle must reach before it may be released, and how far it fell short."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Gate:
    """One measured *value* against its *bound*; what is not a number never passes."""

    name: str
    value: float
    bound: float
    meaning: str
    must: Literal["at least", "at most"] = "at least"

    @property
    def passed(self) -> bool:
        """Whether *value* holds its *bound*; equal is enough."""
        return self.value >= self.bound if self.must == "at least" else self.value <= self.bound


def verdict(gates: Sequence[Gate]) -> dict[str, Any]:
    """All *gates* as the JSON that the report shows and the release obeys; a value that is not finite becomes null.

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
            "meaning": gate.meaning,
        }
        for gate in gates
    ]
    return {"passed": all(gate.passed for gate in gates), "gates": rows}


def why(verdict: Mapping[str, Any]) -> str:
    """The *verdict* in words: which gates failed, and by how much each."""
    failed = [row for row in verdict["gates"] if not row["passed"]]
    if not failed:
        return "every gate holds"
    return "; ".join(
        f"gate {row['gate']} failed: {row['meaning']} must be {row['must']} {row['bound']:g}, "
        + ("is not a number" if row["value"] is None else f"is {row['value']:g}, {abs(row['bound'] - row['value']):.3g} off")
        for row in failed
    )
