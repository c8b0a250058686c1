"""A folder's manifest: every file's SHA-256 and size, written last and checked before anything is parsed."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainworks.errors import IntegrityError

NAME = "manifest.json"
RUN = "run.json"
"""Facts of one run (seconds, host, source folder): beside the content, not part of it."""


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of one file, read in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, **facts: Any) -> dict[str, Any]:
    """Write *folder*'s manifest: its files, and whatever *facts* belong beside them."""
    files = {name: {"sha256": sha256(folder / name), "size": (folder / name).stat().st_size} for name in _names(folder)}
    content = {**facts, "files": files}
    (folder / NAME).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    return content


def read(folder: Path) -> dict[str, Any]:
    """The manifest of *folder*, not yet checked against its files.

    Raises:
        IntegrityError: there is none, or it does not parse.
    """
    try:
        content = json.loads((folder / NAME).read_text())
        for name, entry in content["files"].items():
            if not isinstance(entry["sha256"], str) or not isinstance(entry["size"], int):
                raise TypeError(f"{name} has no digest and size")
        return content
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{folder}: no readable {NAME} ({error}); the folder is incomplete or damaged, make or fetch it again"
        ) from error


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of *folder*, after every file it names was found to be the one it names.

    Raises:
        IntegrityError: a file is missing or differs, or leaves the folder.
    """
    content = read(folder)
    for name, expected in content["files"].items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise IntegrityError(f"{folder}: {NAME} names {name!r}, which leaves the folder")
        if not path.is_file():
            raise IntegrityError(f"{folder}: {name} is missing")
        if path.stat().st_size != expected["size"]:
            raise IntegrityError(f"{path}: {path.stat().st_size} bytes where the manifest has {expected['size']}")
        if (found := sha256(path)) != expected["sha256"]:
            raise IntegrityError(f"{path}: SHA-256 {found[:12]}… where the manifest has {expected['sha256'][:12]}…")
    return content


def digest(folder: Path) -> str:
    """What *folder* contains, as one SHA-256 over the names and hashes in its manifest."""
    files = {name: entry["sha256"] for name, entry in read(folder)["files"].items()}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _names(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (NAME, RUN):
            yield name
