"""The verdict for a reader: what the model had to reach, whether it may be released, and what else the first screen must tell."""

from collections.abc import Mapping
from typing import Any

from trainworks.release.gates import in_words, missed
from trainworks.report.page import Mark, Quantity, Table

WEAK = 0.6
"""A behaviour that is kept in a smaller share of cases stands on the first screen."""

ENOUGH = 50
"""Cases below which no verdict means anything: the interval of a share is 27 points wide."""

_DIGEST = 12


def table(verdict: Mapping[str, Any]) -> Table:
    """The *verdict* of ``trainworks.release.gates``, a row per gate; the result comes first, where a narrow screen shows it too."""
    rows: list[list[object]] = []
    for gate in verdict["gates"]:
        word = ("holds" if gate["passed"] else "fails") + (", waived" if gate["waived"] else "")
        result = Mark(gate["passed"], f"{word} ({gate['note']})" if gate["note"] else word)
        unit = gate.get("unit", "")
        value = None if gate["value"] is None else Quantity(in_words(gate["value"], unit))
        rows.append([gate["gate"], result, value, Quantity(f"{gate['must']} {in_words(gate['bound'], unit)}"), gate["meaning"]])
    return Table("What the model had to reach", ["Gate", "Result", "Value", "Bound", "What it measures"], rows)


def screen(
    verdict: Mapping[str, Any], ran: Mapping[str, Any], data: str, checks: Mapping[str, Mapping[str, Any]], change: str, small: str = ""
) -> dict[str, Any]:
    """What ``verdict.html`` shows of a run: why it may be released or not, when and of what it was made, and where it is weak.

    Args:
        ran: the facts of ``trainworks.facts.run``; *data* is the fingerprint of the data.
        checks: those of ``behaviour.json``.
        change: against the last release, in words.
        small: why the test is too small to decide, empty if it is not.
    """
    failed = [gate for gate in verdict["gates"] if not gate["passed"]]
    told = {"Judged": ran.get("judged", "").replace("T", " ").removesuffix("+00:00"), "Run": ran.get("name"), "Data": data[:_DIGEST]}
    weak = [(check["rate"], name.replace("_", " "), check["cases"]) for name, check in checks.items() if check["cases"]]
    return {
        "small": small,
        "failed": [f"{gate['gate']}: {missed(gate)}" for gate in failed if not gate["waived"]],
        "waived": [f"{gate['gate']}: {missed(gate)}" for gate in failed if gate["waived"]],
        "change": change,
        "weak": [f"{name} {100 * rate:.0f} % of {cases}" for rate, name, cases in sorted(weak) if rate < WEAK],
        "facts": {name: value for name, value in (told | {"Commit": ran["commit"][:_DIGEST]}).items() if value},
    }


def too_small(cases: int, of: str) -> str:
    """Why a test of *cases* (``queries``, ``series``) decides nothing, empty if it does."""
    return f"{cases} {of} are too few to decide; it takes {ENOUGH}" if cases < ENOUGH else ""


def change(paired: Mapping[str, Any] | None, cases: int, of: str) -> str:
    """What a paired difference of shares says of the last release; None if there is none to compare with."""
    if paired is None:
        return "There is no earlier release to compare with."
    difference, low, high = (f"{100 * value:+.1f}".replace("-", "−") for value in (paired["difference"], *paired["interval"]))
    sure = paired["interval"][0] > 0 or paired["interval"][1] < 0
    surely = "" if sure else ": no sure difference"
    return f"Against the last release: {difference} points ({low} to {high}, on the same {cases:,} {of}){surely}."
