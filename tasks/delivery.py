"""How a run of any pipeline ends: a bundle is published, and its report shown."""

import atexit
import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from flytekit import Deck
from flytekit.types.directory import FlyteDirectory

from tasks.attempts import on_cluster
from tasks.stage import lasting, path

_GENERATED = re.compile(r"[af][0-9a-z]{19}")
"""An execution's name that Flyte made up."""


class Delivered(NamedTuple):
    """What a run ends with: whether the pointer moved (*released*), whether every gate holds (*passed*), and *why*."""

    bundle: str
    report: str
    released: bool
    why: str
    passed: bool


def folder(release_to: str, pipeline: str) -> str:
    """Where bundles of *pipeline* go: *release_to*, or without one the folder where experiments leave their candidates."""
    return lasting("release_to", release_to or f"artifacts/{pipeline}")


def run_name(arguments: Sequence[str] = (), execution: str = "") -> str:
    """What people call this run, empty if they do not.

    The name that ``pyflyte run --name`` gave among the *arguments* of the command, or on a cluster to the *execution*; or that of the
    experiment file.
    """
    told = dict(pairwise(arguments or sys.argv))
    execution = execution or os.environ.get("FLYTE_INTERNAL_EXECUTION_ID", "")
    given = "" if _GENERATED.fullmatch(execution) else execution
    return told.get("--name") or given or Path(told.get("--inputs-file", "")).stem


def publish(bundle: FlyteDirectory, release_to: str, pipeline: str, title: str) -> Delivered:
    """Publish the bundle; the pointer moves if every gate holds and a place to *release_to* was named, else it is an experiment.

    The report becomes the Deck *title* of the task that calls this, so that every execution shows it, also one whose stages all came from
    the cache. On a machine of one's own the last line says in plain words how the run ended.
    """
    from trainworks.release.releases import release
    from trainworks.release.status import status

    to = folder(release_to, pipeline)
    released = release(path(bundle), to, move=bool(release_to))
    ended = status(released.uri)
    Deck(title, (path(bundle) / "report.html").read_text())
    if not on_cluster():
        atexit.register(print, f"\n{released.uri}/report.html\n{ended.sentence}")  # after what flytekit prints
    return Delivered(released.uri, f"{released.uri}/report.html", released.moved, released.why, ended.passed)
