"""What ran: the facts of a run that the report and the manifest show."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from trainworks.config import Section
from trainworks.release import bundle
from trainworks.storage import store

HOURLY_COST = {"cpu": 0.20, "gpu": 1.00}
"""US dollars for an hour of each kind of machine that a stage runs on, for the estimate of a report.

What a large public cloud asks without any discount (AWS us-east-1, Linux, June 2026), rounded: 4 cores with 16 GB (m7i.xlarge), and
the same with one 24 GB GPU (g5.xlarge). It counts what the stages compute, and neither storage nor waiting.
"""


def knobs(*sections: Section, **more: Any) -> dict[str, Any]:
    """Every knob by name with its value, as JSON has it."""
    values = {**more}
    for section in sections:
        values |= {name: value.value if isinstance(value, Enum) else value for name, value in asdict(section).items()}  # type: ignore[call-overload]
    return values


def defaults(*sections: Section) -> dict[str, Any]:
    """The same knobs with the values they have when nobody sets them."""
    return knobs(*(type(section)() for section in sections))


def run(
    chosen: Mapping[str, Any], usual: Mapping[str, Any], stages: Mapping[str, Iterable[Path]], packages: Iterable[str], name: str = ""
) -> dict[str, Any]:
    """The facts of this run: *chosen* knobs beside the *usual* ones, time and cost per stage, commit, versions, machine, command.

    Also its *name*, if it has one, and when it was ``judged`` (UTC, ISO 8601).

    *stages* are the output folders of each stage. A stage ran on one ``cpu`` machine unless its folders note otherwise as
    ``machine`` and ``machines``; ``cost`` is its time at HOURLY_COST of those, in US dollars.
    """
    return {
        "name": name,
        "judged": datetime.now(UTC).isoformat(timespec="minutes"),
        "knobs": dict(chosen),
        "defaults": dict(usual),
        "stages": [_stage(name, folders) for name, folders in stages.items()],
        "commit": bundle.git_commit(),
        "versions": {"python": platform.python_version(), **bundle.versions(packages)},
        "seed": chosen["seed"],
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def of_bundle(pipeline: str, data: str, report: Path) -> dict[str, Any]:
    """What the manifest of a *pipeline*'s bundle says of its run: the same that the page in the folder *report* shows.

    *data* is the digest of what it learned from.
    """
    ran, verdict = (json.loads((report / name).read_bytes()) for name in ("ran.json", "verdict.json"))
    return {
        "pipeline": pipeline,
        **({"name": ran["name"]} if ran.get("name") else {}),
        "config": ran["knobs"],
        "commit": ran["commit"],
        "data": data,
        "packages": {name: version for name, version in ran["versions"].items() if name != "python"},
        "seed": ran["seed"],
        "seconds": {stage["stage"]: stage["seconds"] for stage in ran["stages"]},
        "verdict": verdict,
    }


def _stage(name: str, folders: Iterable[Path]) -> dict[str, Any]:
    noted = [store.notes(folder) for folder in folders]
    kind = next((notes["machine"] for notes in noted if "machine" in notes), "cpu")
    time, cost = 0.0, 0.0
    for notes in noted:
        time += notes.get("seconds", 0.0)
        cost += notes.get("seconds", 0.0) / 3600 * notes.get("machines", 1) * HOURLY_COST[kind]
    return {"stage": name, "seconds": round(time, 1), "machine": kind, "cost": round(cost, 6)}
