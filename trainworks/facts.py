"""What ran: the facts of a run that the report and the manifest tell."""

import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from trainworks import bundle, store
from trainworks.config import Section


def knobs(*sections: Section, **more: Any) -> dict[str, Any]:
    """Every knob by name with its value, as JSON has it."""
    found = {**more}
    for section in sections:
        found |= {name: value.value if isinstance(value, Enum) else value for name, value in asdict(section).items()}  # type: ignore[call-overload]
    return found


def defaults(*sections: Section) -> dict[str, Any]:
    """The same knobs with the values they have when nobody sets them."""
    return knobs(*(type(section)() for section in sections))


def run(
    chosen: Mapping[str, Any], usual: Mapping[str, Any], stages: Mapping[str, Iterable[Path]], packages: Iterable[str]
) -> dict[str, Any]:
    """The facts of this run: *chosen* knobs beside the *usual* ones, seconds per stage, commit, versions, machine, command."""
    return {
        "knobs": dict(chosen),
        "defaults": dict(usual),
        "stages": [{"stage": stage, "seconds": _seconds(folders)} for stage, folders in stages.items()],
        "commit": bundle.git_commit(),
        "versions": {"python": platform.python_version(), **bundle.versions(packages)},
        "seed": chosen["seed"],
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _seconds(folders: Iterable[Path]) -> float:
    return round(sum(store.notes(folder).get("seconds", 0.0) for folder in folders), 1)
