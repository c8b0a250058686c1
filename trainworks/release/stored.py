"""A bundle wherever it lies: in a folder or on ``s3://``, named by itself, by the release that points at it, or as one of its versions.

Nothing of a bundle is taken before the manifest vouches for it, and no manifest of a release that is not the one its pointer names.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainworks.errors import IntegrityError
from trainworks.release.places import POINTER, VERSIONS, Pointer, place
from trainworks.storage import manifest, places, s3

_AGAIN = "fetch the bundle again, or point the release at a version that is whole"


@dataclass(frozen=True)
class StoredBundle:
    """One bundle: where it lies, itself and not a release that points at it, and what its verified manifest says."""

    uri: str
    facts: dict[str, Any]

    @property
    def version(self) -> str:
        """The name of the bundle's folder: the version, in a release."""
        return self.uri.rpartition("/")[2]

    def read(self, name: str) -> bytes | None:
        """The small file *name* as the manifest has it, or None if that names none.

        Raises:
            IntegrityError: it is missing, or another file.
        """
        if name not in self.facts["files"]:
            return None
        content = _read(self.uri, name)
        if content is None or hashlib.sha256(content).hexdigest() != self.facts["files"][name]["sha256"]:
            wrong = "is missing" if content is None else "is not the file its manifest names"
            raise IntegrityError(f"{self.uri}: {name} {wrong}; {_AGAIN}")
        return content

    def json(self, name: str) -> Any | None:
        """What the JSON file *name* holds, or None if the manifest names none.

        Raises:
            IntegrityError: it is missing, another file, or no JSON.
        """
        content = self.read(name)
        if content is None:
            return None
        try:
            return json.loads(content)
        except ValueError as error:
            raise IntegrityError(f"{self.uri}: {name} is damaged ({error}); {_AGAIN}") from error

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """The whole bundle on this machine, every file verified; a copy of what lies on S3 is gone after the context.

        Raises:
            IntegrityError: a file is missing, or another one.
        """
        if not s3.is_uri(self.uri):
            manifest.verify(Path(self.uri))
            yield Path(self.uri)
            return
        with tempfile.TemporaryDirectory(prefix="trainworks-") as copy:
            try:
                s3.fetch(self.uri, Path(copy), {name: entry["size"] for name, entry in self.facts["files"].items()})
                Path(copy, manifest.NAME).write_text(manifest.sealed(self.facts))
                manifest.verify(Path(copy))
            except (FileNotFoundError, IntegrityError) as error:
                raise IntegrityError(f"{str(error).replace(copy, self.uri)}; {_AGAIN}") from error
            yield Path(copy)


def locate(uri: str) -> StoredBundle:
    """The bundle at *uri*: a bundle's own folder or ``s3://`` prefix, or a release's, which stands for its current version.

    Raises:
        IntegrityError: neither lies there, the manifest is damaged, or it is not the one that the release's pointer names.
        ValueError: *uri* names no place.
    """
    uri = places.parse("bundle", uri)
    if (content := _read(uri, POINTER)) is None:
        return _bundle(uri, _read(uri, manifest.NAME))
    pointer = Pointer.parse(content, f"{uri}/{POINTER}")
    version = f"{uri}/{VERSIONS}/{pointer.version}"
    text = _read(version, manifest.NAME)
    if hashlib.sha256(text or b"").hexdigest() != pointer.manifest_sha256:
        raise IntegrityError(f"{version}: {manifest.NAME} is not the one that {POINTER} names; {_AGAIN}")
    return _bundle(version, text)


def versions(uri: str) -> list[StoredBundle]:
    """The bundle at *uri*, or every version of the release there, candidates too, the oldest first.

    Raises:
        IntegrityError: as for `locate`.
    """
    uri = places.parse("bundle", uri)
    text = _read(uri, manifest.NAME)
    if text is None:
        parent, _, last = uri.rpartition("/")
        release = (parent or ".") if last == VERSIONS else uri
        all_versions = [f"{release}/{VERSIONS}/{name}" for name in sorted(place(release).versions())]
        if all_versions:
            return [_bundle(version, _read(version, manifest.NAME)) for version in all_versions]
    return [_bundle(uri, text)]


def _bundle(uri: str, text: bytes | None) -> StoredBundle:
    """The bundle at *uri* whose manifest is *text*."""
    if text is None:  # found out before a mistyped prefix fetches a whole bucket
        raise IntegrityError(f"{uri}: neither a bundle (it has no {manifest.NAME}) nor a release (no {POINTER}); is the path right?")
    try:
        return StoredBundle(uri, manifest.parse(text))
    except ValueError as error:
        raise IntegrityError(f"{uri}: {manifest.NAME} is damaged ({error}); {_AGAIN}") from error


def _read(uri: str, name: str) -> bytes | None:
    """One file at *uri*, or None if it is not there."""
    if s3.is_uri(uri):
        return s3.read(f"{uri}/{name}")
    path = Path(uri, name)
    return path.read_bytes() if path.is_file() else None
