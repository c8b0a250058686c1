"""Releases: immutable versions side by side, and one pointer that moves only to a whole bundle whose gates hold.

versions/20260131-120000-0f3c…/   a bundle; appears complete or not at all, and never changes
current.json                      {"version", "manifest_sha256", "previous"}: what a service loads
"""

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trainworks import gates, manifest
from trainworks.errors import IntegrityError, ReleaseConflict

POINTER = "current.json"
VERSIONS = "versions"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pointer:
    """What ``current.json`` says: the version to load, the SHA-256 of its manifest, and the version before it."""

    version: str
    manifest_sha256: str
    previous: str | None

    @classmethod
    def parse(cls, text: str | bytes, source: object) -> "Pointer":
        """Read ``current.json``, found at *source*.

        Raises:
            IntegrityError: it does not parse, or names something that is no version.
        """
        try:
            pointer = cls(**json.loads(text))
            if not re.fullmatch(r"\w[\w.-]*", pointer.version):
                raise ValueError(f"{pointer.version!r} is no version")
            return pointer
        except (ValueError, TypeError) as error:
            raise IntegrityError(f"{source}: not a release pointer ({error}); restore it, the versions beside it are intact") from error


@dataclass(frozen=True)
class Released:
    """The outcome: the *version* and its *uri*, whether the pointer names it now (*moved*), and *why*."""

    version: str
    uri: str
    moved: bool
    why: str


def release(bundle: Path, to: str) -> Released:
    """Copy *bundle* to the release folder *to* as a version, and move the pointer there if its gates hold.

    If they do not, the version stays as a candidate, the pointer is untouched, and ``why`` names the gates.
    Repeating a release changes nothing and gives the same answer; releasing an earlier bundle again rolls back to it.

    Raises:
        IntegrityError: the bundle is not whole, or its version is there with other content.
        ReleaseConflict: somebody else moved the pointer since this release began.
        ValueError: *to* is not a local folder.
    """
    check_target(to)
    root = Path(to)
    expected = current(root)
    facts = manifest.verify(bundle)
    checksum = manifest.sha256(bundle / manifest.NAME)
    version = _version(bundle, facts, checksum)
    _publish(bundle, root / VERSIONS / version, facts, checksum)
    moved = facts["verdict"]["passed"] is True
    if moved:
        _move(root, expected, Pointer(version, checksum, expected.version if expected else None))
    log.info("release   %s %s", version, "is current" if moved else "stays a candidate")
    return Released(version, str(root / VERSIONS / version), moved, gates.why(facts["verdict"]))


def check_target(to: str) -> None:
    """Refuse a release folder that cannot be one, before anything is made that would go there.

    Raises:
        ValueError: *to* is a URI, or is there and is no folder.
    """
    if not to or "://" in to:
        raise ValueError(f"release_to = {to!r}: expected a local folder")
    if Path(to).exists() and not Path(to).is_dir():
        raise ValueError(f"release_to = {to!r}: is there and is not a folder")


def current(root: Path) -> Pointer | None:
    """What the release folder *root* points at, or None before the first release.

    Raises:
        IntegrityError: the pointer does not parse.
    """
    path = root / POINTER
    return Pointer.parse(path.read_bytes(), path) if path.exists() else None


def _version(bundle: Path, facts: dict[str, Any], checksum: str) -> str:
    """Named by the bundle's own time and content, so that a repeated release finds its version there."""
    try:
        if not isinstance(facts["verdict"]["passed"], bool):
            raise TypeError("passed is neither true nor false")
        return f"{datetime.fromisoformat(facts['created']):%Y%m%d-%H%M%S}-{checksum[:12]}"
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{bundle}: its manifest is not that of a bundle ({type(error).__name__}: {error})") from error


def _publish(bundle: Path, final: Path, facts: dict[str, Any], checksum: str) -> None:
    """Make *final* a verified copy of *bundle*, by a draft beside it; leave it be if it is that already."""
    if final.exists():
        return _require_same(final, checksum)
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        for name in (*facts["files"], manifest.NAME):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / name, draft / name)
            with (draft / name).open("rb") as file:
                os.fsync(file)
        _require_same(draft, checksum)
        draft.chmod(0o755)
        try:
            draft.rename(final)
        except OSError:  # another process was first
            _require_same(final, checksum)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _require_same(folder: Path, checksum: str) -> None:
    manifest.verify(folder)
    if (found := manifest.sha256(folder / manifest.NAME)) != checksum:
        raise IntegrityError(f"{folder}: manifest has SHA-256 {found[:12]}…, the bundle's has {checksum[:12]}…; versions never change")


def _move(root: Path, expected: Pointer | None, target: Pointer) -> None:
    """Compare and swap: the pointer goes to *target* if it still is as *expected*, or is there already."""
    with _locked(root):
        found = current(root)
        if found and (found.version, found.manifest_sha256) == (target.version, target.manifest_sha256):
            return
        if found != expected:
            names = [pointer.version if pointer else "nothing" for pointer in (expected, found)]
            raise ReleaseConflict(
                f"{root / POINTER} named {names[0]} when this release began and names {names[1]} now; "
                f"{target.version} stays a candidate, release it again if it should replace that one"
            )
        draft = root / f".{POINTER}"
        with draft.open("w") as file:
            file.write(json.dumps(asdict(target), indent=1) + "\n")
            file.flush()
            os.fsync(file)
        draft.replace(root / POINTER)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    import fcntl  # reading a pointer must work where there is no such module

    with (root / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
