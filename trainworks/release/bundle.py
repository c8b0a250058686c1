"""The bundle: the folder a service loads, with a manifest that says where every byte came from."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from trainworks.release import scores
from trainworks.storage import manifest

FACTS = frozenset({"pipeline", "config", "commit", "data", "packages", "seed", "seconds", "verdict"})
"""What a bundle's manifest tells besides its files: the room's name, knobs, git commit, data fingerprint, versions of packages, seed,
seconds per stage, and the verdict of the gates."""

OPTIONAL = frozenset({"name"})
"""What it may tell besides: the name of the run."""


def write(out: Path, files: Mapping[str, Path], texts: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Fill the empty or absent folder *out* with copies of *files*, with *texts*, and last with the manifest.

    *facts* has the keys of ``FACTS``, and may have those of ``OPTIONAL``; the time of writing is added as ``created`` (UTC, ISO 8601).
    One of the files or texts is ``metrics.json``, with entries as in :mod:`trainworks.release.scores`.
    Until the manifest is there, nobody takes the folder for a bundle.

    Raises:
        ValueError: missing or unknown facts, scores missing or malformed, a name given twice or leaving the folder, or *out* has
            something in it.
    """
    if wrong := FACTS ^ (facts.keys() - OPTIONAL):
        raise ValueError(f"facts of a bundle are {', '.join(sorted(FACTS))}; missing or unknown: {', '.join(sorted(wrong))}")
    if twice := files.keys() & texts.keys():
        raise ValueError(f"given as file and as text: {', '.join(sorted(twice))}")
    metrics = texts.get(scores.FILE) or (files[scores.FILE].read_bytes() if scores.FILE in files else b"{}")
    scores.parse(json.loads(metrics))
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise ValueError(f"{out}: a bundle is written to an empty folder, this one has files")
    for name in (*files, *texts):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or name in (manifest.NAME, manifest.RUN):
            raise ValueError(f"{name!r} cannot be a file of a bundle")
        (out / path).parent.mkdir(parents=True, exist_ok=True)
    for name, source in files.items():
        shutil.copyfile(source, out / name)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    manifest.write(out, **facts, created=datetime.now(UTC).isoformat(timespec="seconds"))


def git_commit() -> str:
    """The commit of this code, with ``+dirty`` if the work tree differs from it.

    ``$TRAINWORKS_COMMIT`` answers where there is no git, as in an image; else ``unknown``.
    """
    if stated := os.environ.get("TRAINWORKS_COMMIT"):
        return stated
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # else: installed inside somebody else's repository
        return _git("rev-parse", "HEAD") + ("+dirty" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each of *packages*, sorted; those not installed are left out."""
    installed = {}
    for name in sorted(packages):
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _git(*arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return answer.stdout.strip()
