"""How a run of any pipeline ends: a bundle is published, and its report shown."""

import atexit
import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import yaml
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


def is_experiment(release_to: str, arguments: Sequence[str] = ()) -> bool:
    """Whether a run releases nothing: *release_to* is empty, or neither the experiment file among the *arguments* nor they name it."""
    options = _options(arguments)
    file = options.get("--inputs-file")
    return not release_to or (
        file is not None and "--release_to" not in options and "release_to" not in yaml.safe_load(Path(file).read_text())
    )


def _options(arguments: Sequence[str]) -> dict[str, str]:
    """The options of the command by their names, as ``--name value`` and ``--name=value``."""
    words = [part for word in arguments or sys.argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    return dict(pairwise(words))


def run_name(arguments: Sequence[str] = (), execution: str = "") -> str:
    """What people call this run, empty if they do not.

    The name that ``pyflyte run --name`` gave among the *arguments* of the command, or on a cluster to the *execution*; or that of the
    experiment file.
    """
    options = _options(arguments)
    execution = execution or os.environ.get("FLYTE_INTERNAL_EXECUTION_ID", "")
    given = "" if _GENERATED.fullmatch(execution) else execution
    return options.get("--name") or given or Path(options.get("--inputs-file", "")).stem


def publish(bundle: FlyteDirectory, release_to: str, pipeline: str, title: str) -> Delivered:
    """Publish the bundle; the pointer moves if every gate holds, unless this is an experiment (see `is_experiment`).

    The report becomes the Deck *title* of the task that calls this, so that every execution shows it, also one whose stages all came from
    the cache. On a machine of one's own the last line says in plain words how the run ended.
    """
    from trainworks.release.releases import release
    from trainworks.release.status import status

    to = folder(release_to, pipeline)
    released = release(path(bundle), to, move=not is_experiment(release_to))
    ended = status(released.uri)
    Deck(title, (path(bundle) / "report.html").read_text())
    if not on_cluster():
        atexit.register(print, f"\n{released.uri}/report.html\n{ended.sentence}")  # after what flytekit prints
    return Delivered(released.uri, f"{released.uri}/report.html", released.moved, released.why, ended.passed)
