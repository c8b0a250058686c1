"""What ran, for a reader: knobs, changes since the last release, time, cost and versions.

A room includes ``run_section.html``, or its own template that extends it and fills the blocks ``inputs`` (more terms), ``tables``
(after the knobs) and ``checks`` (beneath the times).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainworks.config import Section, meanings
from trainworks.facts import HOURLY_COST
from trainworks.report.page import Table, dollars, seconds

_DIGEST = 12
"""Characters of a commit or of a data fingerprint that tell it from others."""


def section(facts: Mapping[str, Any], sections: Iterable[type[Section]], data: str, release: Mapping[str, Any]) -> dict[str, Any]:
    """What ``run_section.html`` takes as ``ran``: the *facts* of ``trainworks.facts.run``, and their tables.

    *sections* declare the knobs, *data* is the fingerprint of the dataset, and *release* has the facts of the last release, as its
    manifest has them; without its ``config`` nothing is said of changes.
    """
    return {
        "facts": facts,
        "changed": differences(facts, data, release) if release.get("config") else None,
        "knobs": _knobs(facts, sections),
        "times": _times(facts["stages"]),
        "hourly_cost": HOURLY_COST,
        "versions": Table("Versions", ["Package", "Version"], sorted(facts["versions"].items())),
    }


def differences(facts: Mapping[str, Any], data: str, release: Mapping[str, Any]) -> Table:
    """The knobs, versions, code and *data* (its fingerprint) that are not those of the *release*.

    A dash stands for a knob or a package that only the other has.
    """
    packages = {name: version for name, version in facts["versions"].items() if name != "python"}  # a bundle tells packages only
    now = {"config": facts["knobs"], "packages": packages, "": {"commit": facts["commit"][:_DIGEST], "data": data[:_DIGEST]}}
    then = {name: release.get(name, {}) for name in ("config", "packages")}
    then[""] = {name: str(release.get(name, "unknown"))[:_DIGEST] for name in ("commit", "data")}
    rows = [[name, _words(then[part], name), _words(now[part], name)] for part in then for name in _changed(then[part], now[part])]
    return Table("Changed since the last release", ["What", "Last release", "This run"], rows)


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[str]:
    return (name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name))


def _words(values: Mapping[str, Any], name: str) -> str:
    return str(values[name]) or "(empty)" if name in values else "–"


def _knobs(facts: Mapping[str, Any], sections: Iterable[type[Section]]) -> Table:
    meaning = {name: words for section in sections for name, words in meanings(section).items()}
    defaults = facts.get("defaults", {})
    rows: list[list[object]] = []
    changed = []
    for name, value in facts["knobs"].items():
        words = str(value)
        if name in defaults and defaults[name] != value:
            changed.append(len(rows))
            words += f" (changed from {defaults[name]})"
        rows.append([name, words, meaning.get(name, "")])
    return Table("Knobs", ["Knob", "Value", "Meaning"], rows, strong=changed)


def _times(stages: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[object]] = []
    for stage in stages:
        name = f"{stage['stage']} (from an earlier run)" if stage.get("cached") else stage["stage"]
        rows.append([name, stage["machine"].upper(), seconds(stage["seconds"]), dollars(stage["cost"])])
    total = ["together, from scratch", "", seconds(sum(s["seconds"] for s in stages)), dollars(sum(s["cost"] for s in stages))]
    return Table("Time and cost per stage", ["Stage", "Machine", "Time", "Cost, estimated"], [*rows, total], strong=[len(rows)])
