"""A folder's manifest: every file's SHA-256 and size, written last and checked before anything is parsed."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from trainworks.errors import IntegrityError

NAME = "manifest.json"
RUN = "run.json"
"""Facts of one run (seconds, host, source folder): beside the content, not part of it."""

SEAL = "seal"
"""The entry that has the SHA-256 of the manifest itself, taken with this entry blank."""

_BLANK = "0" * 64


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of one file, read in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, **facts: Any) -> dict[str, Any]:
    """Write *folder*'s manifest: its files, and whatever *facts* belong beside them."""
    files = {name: {"sha256": sha256(folder / name), "size": (folder / name).stat().st_size} for name in _names(folder)}
    content = {**facts, "files": files}
    (folder / NAME).write_text(sealed(content))
    return content


def sealed(content: dict[str, Any]) -> str:
    """The text of a manifest with this *content*, which :func:`parse` takes back."""
    text = json.dumps({**content, SEAL: _BLANK}, indent=1, sort_keys=True) + "\n"
    return text.replace(_entry(_BLANK), _entry(hashlib.sha256(text.encode()).hexdigest()), 1)


def parse(text: str | bytes) -> dict[str, Any]:
    """What a manifest says, to the last bit as it was written.

    Raises:
        ValueError: it was not, or a file in it has no digest and size, or a name that leaves the folder.
    """
    text = text.decode() if isinstance(text, bytes) else text
    try:
        content = json.loads(text)
        seal = content.pop(SEAL)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an object with a {SEAL}") from error
    if hashlib.sha256(text.replace(_entry(seal), _entry(_BLANK), 1).encode()).hexdigest() != seal:
        raise ValueError("it was changed after it was written")
    files = content.get("files")
    if not isinstance(files, dict):
        raise ValueError("it names no files")
    for name, entry in files.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str) or not isinstance(entry.get("size"), int):
            raise ValueError(f"{name} has no digest and size")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"it names {name!r}, which leaves the folder")
    return content


def _entry(seal: str) -> str:
    return f'"{SEAL}": "{seal}"'


def read(folder: Path) -> dict[str, Any]:
    """The manifest of *folder*, not yet checked against its files.

    Raises:
        IntegrityError: there is none, or `parse` refuses it.
    """
    try:
        return parse((folder / NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{folder}: no readable {NAME} ({error}); the folder is incomplete or damaged, make or fetch it again"
        ) from error


def verify(folder: Path, *names: str) -> dict[str, Any]:
    """The manifest of *folder*, after every file it names, or only *names*, was found to be the one it names.

    Raises:
        IntegrityError: a file is missing or differs, or leaves the folder, or is not in the manifest.
    """
    content = read(folder)
    for name in names or content["files"]:
        path, expected = folder / name, content["files"].get(name)
        if expected is None:
            raise IntegrityError(f"{folder}: {NAME} does not name {name!r}; it was made by another version of the code, make it again")
        if not path.is_file():
            raise IntegrityError(f"{folder}: {name} is missing")
        if path.stat().st_size != expected["size"]:
            raise IntegrityError(f"{path}: {path.stat().st_size} bytes where the manifest has {expected['size']}")
        if (checksum := sha256(path)) != expected["sha256"]:
            raise IntegrityError(f"{path}: SHA-256 {checksum[:12]}… where the manifest has {expected['sha256'][:12]}…")
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
