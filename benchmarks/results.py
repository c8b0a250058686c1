"""The page: every row with its ratio, spread and target, and what was compared."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import Row

MISSED = Path(__file__).parent / "missed.md"
"""Where a target is missed: the profile, what was tried, and why no more was done."""


def page(results: Mapping[str, Any], descriptions: Mapping[str, str]) -> str:
    """``RESULTS.md`` of the sections with *results*, in the order of *descriptions*, which has a text for each."""
    sections = {name: [Row(**row) for row in results[name]["rows"]] for name in descriptions if name in results}
    judged = [row for rows in sections.values() for row in rows if row.met is not None]
    lines = [
        "# Side by side",
        "",
        "Written by `make bench`. A ratio is the median over repeats, each side in turn in a process of its own, with the least and",
        f"the most behind it. {sum(bool(row.met) for row in judged)} of {len(judged)} targets are met; what was missed is explained below.",
        "",
    ]
    for name, rows in sections.items():
        section = results[name]
        lines += [f"## {name.replace('_', ' ').capitalize()}", "", descriptions[name].strip(), ""]
        lines += ["| work | peer or limit | ratio | target | of | ours | peer | |", "|---|---|---|---|---|---|---|---|"]
        lines += [line(row) for row in rows]
        lines += ["", f"`{section['command']}`, {section['seconds']} s, {section['machine']}", ""]
    if MISSED.exists():
        lines += [MISSED.read_text()]
    return "\n".join(lines)


def line(row: Row) -> str:
    """One row of a table."""
    spread = f" ({_short(min(row.ratios))}–{_short(max(row.ratios))})" if len(row.ratios) > 1 else ""
    target = row.target.replace(">=", "≥").replace("<=", "≤") + {True: "", False: " **missed**", None: ""}[row.met]
    return f"| {row.work} | {row.peer} | {_short(row.ratio)}{spread} | {target} | {row.of} | {row.ours} | {row.theirs} | {row.note} |"


def machine() -> str:
    """Processor, cores and memory; no names."""
    names = [text.partition(":")[2].strip() for text in Path("/proc/cpuinfo").read_text().splitlines() if text.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else platform.machine()}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
