"""Where releases lie, a folder or a bucket: how a version gets there whole, and how the pointer moves."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainworks.errors import IntegrityError
from trainworks.storage import manifest, s3

POINTER = "current.json"
VERSIONS = "versions"


@dataclass(frozen=True)
class Pointer:
    """What ``current.json`` says: the version to load, the SHA-256 of its manifest, and the version before it."""

    version: str
    manifest_sha256: str
    previous: str | None = None

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


def place(to: str) -> "Folder | Bucket":
    """The release folder *to*, local or on ``s3://``."""
    return Bucket(to) if s3.is_uri(to) else Folder(to)


class Folder:
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

    def versions(self) -> Iterator[str]:
        """The names of the versions that are there."""
        return (path.parent.name for path in (self.root / VERSIONS).glob(f"[!.]*/{manifest.NAME}"))

    def verified(self, version: str) -> tuple[dict[str, Any], str]:
        """The manifest of *version* and its SHA-256, after every file was found to be the one it names."""
        folder = self.root / VERSIONS / version
        return manifest.verify(folder), manifest.sha256(folder / manifest.NAME)

    def swap(self, expected: Pointer | None, tag: str | None, target: Pointer) -> bool:
        """Compare and swap: move the pointer to *target* if it still is as *expected*, or is there already."""
        with self._locked():
            pointer, _ = self.read()
            if target.loads_as(pointer):
                return True
            if pointer != expected:
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


class Bucket:
    """Releases on S3: the pointer moves by a conditional put."""

    def __init__(self, to: str):
        self.root = to.rstrip("/")

    def read(self) -> tuple[Pointer | None, str | None]:
        """The pointer, and the ETag it has."""
        uri = f"{self.root}/{POINTER}"
        answer = s3.read_tagged(uri)
        if answer is None:
            return None, None
        content, tag = answer
        return Pointer.parse(content, uri), tag

    def publish(self, bundle: Path, version: str, facts: dict[str, Any], checksum: str) -> str:
        """Make *version* a copy of *bundle*, every file read back before the manifest makes it visible; leave it be if it is there."""
        uri = f"{self.root}/{VERSIONS}/{version}"
        is_new = s3.read(f"{uri}/{manifest.NAME}") is None
        if is_new:
            s3.each(lambda name: s3.upload(bundle / name, f"{uri}/{name}"), _sizes(facts))
        _require_files(uri, facts)
        if is_new:  # if another process was first, it must have written the same
            s3.swap(f"{uri}/{manifest.NAME}", (bundle / manifest.NAME).read_bytes(), None)
        published = hashlib.sha256(s3.read(f"{uri}/{manifest.NAME}") or b"").hexdigest()
        _require_equal(f"{uri}/{manifest.NAME}", published, checksum)
        return uri

    def versions(self) -> Iterator[str]:
        """The names of the versions that are there."""
        names = (entry.name for entry in s3.listing(f"{self.root}/{VERSIONS}"))
        return (match[1] for name in names if (match := re.fullmatch(rf"([^./][^/]*)/{re.escape(manifest.NAME)}", name)))

    def verified(self, version: str) -> tuple[dict[str, Any], str]:
        """The manifest of *version* and its SHA-256, after every file was read and found to be the one it names."""
        uri = f"{self.root}/{VERSIONS}/{version}"
        text = s3.read(f"{uri}/{manifest.NAME}") or b""
        try:
            facts = manifest.parse(text)
        except ValueError as error:
            raise IntegrityError(f"{uri}: no readable {manifest.NAME} ({error}); versions never change, restore it") from error
        _require_files(uri, facts)
        return facts, hashlib.sha256(text).hexdigest()

    def swap(self, expected: Pointer | None, tag: str | None, target: Pointer) -> bool:
        """Compare and swap: move the pointer to *target* if its ETag still is *tag*, or it is there already."""
        if not target.loads_as(expected) and s3.swap(f"{self.root}/{POINTER}", target.dump(), tag):
            return True
        return target.loads_as(self.read()[0])


def _sizes(facts: dict[str, Any]) -> dict[str, int]:
    return {name: entry["size"] for name, entry in facts["files"].items()}


def _require_files(uri: str, facts: dict[str, Any]) -> None:
    """Read every file of the version at *uri* back."""
    files = facts["files"]
    s3.each(lambda name: _require_equal(f"{uri}/{name}", s3.sha256(f"{uri}/{name}"), files[name]["sha256"]), _sizes(facts))


def _require_same(folder: Path, checksum: str) -> None:
    manifest.verify(folder)
    _require_equal(folder / manifest.NAME, manifest.sha256(folder / manifest.NAME), checksum)


def _require_equal(place: object, checksum: str | None, expected: str) -> None:
    if checksum != expected:
        actual = f"has SHA-256 {checksum[:12]}…" if checksum else "is missing"
        raise IntegrityError(f"{place}: {actual}, that of the bundle {expected[:12]}…; versions never change")
