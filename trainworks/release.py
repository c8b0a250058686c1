"""Releases: immutable versions side by side, and one pointer that moves only to a whole bundle whose gates hold.

versions/20260131-120000-0f3c…/   a bundle; appears complete or not at all, and never changes
current.json                      {"version", "manifest_sha256", "previous"}: what a service loads

A version on S3 is there when its ``manifest.json`` is, which is written last.
"""

import hashlib
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

from trainworks import gates, manifest, s3
from trainworks.errors import IntegrityError, ReleaseConflict, ReleaseError

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

    def dump(self) -> bytes:
        """The content of ``current.json``."""
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    def loads_as(self, other: "Pointer | None") -> bool:
        """Whether a service finds the same with both."""
        return other is not None and (self.version, self.manifest_sha256) == (other.version, other.manifest_sha256)


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
        ReleaseError, StorageError, ValueError: *to* cannot hold releases; see `check_target`.
    """
    check_target(to)
    place = _place(to)
    expected, tag = place.read()
    facts = manifest.verify(bundle)
    checksum = manifest.sha256(bundle / manifest.NAME)
    version = _version(bundle, facts, checksum)
    uri = place.publish(bundle, version, facts, checksum)
    moved = facts["verdict"]["passed"] is True
    if moved and not place.swap(expected, tag, Pointer(version, checksum, expected.version if expected else None)):
        names = [pointer.version if pointer else "nothing" for pointer in (expected, place.read()[0])]
        raise ReleaseConflict(
            f"{to}/{POINTER} named {names[0]} when this release began and names {names[1]} now; "
            f"{version} stays a candidate, release it again if it should replace that one"
        )
    log.info("release   %s %s", version, "is current" if moved else "stays a candidate")
    return Released(version, uri, moved, gates.why(facts["verdict"]))


def check_target(to: str) -> None:
    """Refuse a place that cannot hold releases, before anything is made that would go there.

    On S3, scratch objects are put and deleted to see what the credentials and the store allow.

    Raises:
        ValueError: *to* is neither a local folder nor ``s3://bucket/prefix``, or is there and is no folder.
        StorageError: the bucket cannot be reached, written or read; says what to do.
        ReleaseError: the store would let two releases at once overwrite each other.
    """
    if not to or ("://" in to and not to.startswith(s3.SCHEME)):
        raise ValueError(f"release_to = {to!r}: expected a local folder or {s3.SCHEME}bucket/prefix")
    if to.startswith(s3.SCHEME):
        if not s3.honours_conditions(to):
            raise ReleaseError(
                f"release_to = {to!r}: this store ignores conditional writes (If-None-Match, If-Match), so of two releases at once "
                "one would be lost unseen; release to S3, MinIO or another store that honours them, or to a local folder and copy it"
            )
    elif Path(to).exists() and not Path(to).is_dir():
        raise ValueError(f"release_to = {to!r}: is there and is not a folder")


def current(to: str | Path) -> Pointer | None:
    """What the releases at *to* point at, or None before the first release.

    Raises:
        IntegrityError: the pointer does not parse.
    """
    return _place(str(to)).read()[0]


def _version(bundle: Path, facts: dict[str, Any], checksum: str) -> str:
    """Named by the bundle's own time and content, so that a repeated release finds its version there."""
    try:
        if not isinstance(facts["verdict"]["passed"], bool):
            raise TypeError("passed is neither true nor false")
        return f"{datetime.fromisoformat(facts['created']):%Y%m%d-%H%M%S}-{checksum[:12]}"
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{bundle}: its manifest is not that of a bundle ({type(error).__name__}: {error})") from error


def _place(to: str) -> "_Folder | _Bucket":
    return _Bucket(to) if to.startswith(s3.SCHEME) else _Folder(to)


class _Folder:
    """Releases on a file system: a version appears by renaming, the pointer moves under a lock."""

    def __init__(self, to: str):
        self.root = Path(to)

    def read(self) -> tuple[Pointer | None, None]:
        """The pointer; the tag is for stores that need one."""
        path = self.root / POINTER
        return (Pointer.parse(path.read_bytes(), path) if path.exists() else None), None

    def publish(self, bundle: Path, version: str, facts: dict[str, Any], checksum: str) -> str:
        """Make *version* a verified copy of *bundle*, by a draft beside it; leave it be if it is that already."""
        final = self.root / VERSIONS / version
        if final.exists():
            _require_same(final, checksum)
            return str(final)
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
        return str(final)

    def swap(self, expected: Pointer | None, tag: str | None, target: Pointer) -> bool:
        """Compare and swap: move the pointer to *target* if it still is as *expected*, or is there already."""
        with self._locked():
            found, _ = self.read()
            if target.loads_as(found):
                return True
            if found != expected:
                return False
            draft = self.root / f".{POINTER}"
            with draft.open("wb") as file:
                file.write(target.dump())
                file.flush()
                os.fsync(file)
            draft.replace(self.root / POINTER)
            return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl  # reading a pointer must work where there is no such module

        with (self.root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class _Bucket:
    """Releases on S3: the pointer moves by a conditional put."""

    def __init__(self, to: str):
        self.root = to.rstrip("/")

    def read(self) -> tuple[Pointer | None, str | None]:
        """The pointer, and the ETag it has."""
        uri = f"{self.root}/{POINTER}"
        found = s3.read_tagged(uri)
        return (Pointer.parse(found[0], uri), found[1]) if found else (None, None)

    def publish(self, bundle: Path, version: str, facts: dict[str, Any], checksum: str) -> str:
        """Make *version* a copy of *bundle*, every file read back before the manifest makes it visible; leave it be if it is there."""
        uri = f"{self.root}/{VERSIONS}/{version}"
        is_new = s3.read(f"{uri}/{manifest.NAME}") is None
        for name in facts["files"] if is_new else ():
            s3.upload(bundle / name, f"{uri}/{name}")
        for name, entry in facts["files"].items():
            _require_equal(f"{uri}/{name}", s3.sha256(f"{uri}/{name}"), entry["sha256"])
        if is_new:  # if another process was first, it must have written the same
            s3.swap(f"{uri}/{manifest.NAME}", (bundle / manifest.NAME).read_bytes(), None)
        found = hashlib.sha256(s3.read(f"{uri}/{manifest.NAME}") or b"").hexdigest()
        _require_equal(f"{uri}/{manifest.NAME}", found, checksum)
        return uri

    def swap(self, expected: Pointer | None, tag: str | None, target: Pointer) -> bool:
        """Compare and swap: move the pointer to *target* if its ETag still is *tag*, or it is there already."""
        if not target.loads_as(expected) and s3.swap(f"{self.root}/{POINTER}", target.dump(), tag):
            return True
        return target.loads_as(self.read()[0])


def _require_same(folder: Path, checksum: str) -> None:
    manifest.verify(folder)
    _require_equal(folder / manifest.NAME, manifest.sha256(folder / manifest.NAME), checksum)


def _require_equal(place: object, found: str | None, expected: str) -> None:
    if found != expected:
        found = f"has SHA-256 {found[:12]}…" if found else "is missing"
        raise IntegrityError(f"{place}: {found}, that of the bundle {expected[:12]}…; versions never change")
