"""The released model that a new one is compared with."""

import hashlib
import json
from pathlib import Path
from typing import Any

from trainworks.errors import IntegrityError
from trainworks.photostock.evaluation import trained_on
from trainworks.release.releases import VERSIONS, current
from trainworks.storage import manifest, s3

ENCODERS = ("image_encoder.onnx", "text_encoder.onnx")


def predecessor(release_to: str, encoders: Path) -> str:
    """Folder or ``s3://`` URI of the version that *encoders* are compared with, ``""`` before there is one.

    That is the current release at *release_to*; or, if that one holds these very encoders, the version that it was compared
    with itself: a run that is repeated after its release then asks for the same comparison, and finds it in the cache. A
    version is named by its content, so that the answer names the content too.

    Raises:
        IntegrityError: the pointer or the version it names is damaged.
    """
    pointer = current(release_to)
    if pointer is None:
        return ""
    versions = f"{release_to.rstrip('/')}/{VERSIONS}"
    uri = f"{versions}/{pointer.version}"
    files = _manifest(uri)["files"]
    if any(files.get(name, {}).get("sha256") != manifest.sha256(encoders / name) for name in ENCODERS):
        return uri
    before = json.loads(_checked(uri, files, "metrics.json") or b"{}").get("release", {}).get("version")
    return f"{versions}/{before}" if before else ""


def told(uri: str) -> dict[str, Any] | None:
    """``trained_on.json`` of the bundle at *uri*, or None if it is older than this file.

    Raises:
        IntegrityError: it is damaged.
    """
    content = _checked(uri, _manifest(uri)["files"], trained_on.FILE)
    return json.loads(content) if content else None


def ran(uri: str) -> dict[str, Any]:
    """What made the bundle at *uri*: the facts of its manifest (``trainworks.release.bundle.FACTS``) that a later run is compared with.

    Raises:
        IntegrityError: the manifest is damaged.
    """
    content = _manifest(uri)
    return {name: content[name] for name in ("config", "commit", "data", "packages", "created") if name in content}


def _manifest(uri: str) -> dict[str, Any]:
    try:
        return manifest.parse(_read(uri, manifest.NAME) or b"")
    except ValueError as error:
        raise IntegrityError(f"{uri}: no readable {manifest.NAME} ({error}); point the release at a version that is whole") from error


def _checked(uri: str, files: dict[str, Any], name: str) -> bytes | None:
    """The file *name* of a bundle as its manifest has it, or None if that names none."""
    if name not in files:
        return None
    data = _read(uri, name)
    if data is None or hashlib.sha256(data).hexdigest() != files[name]["sha256"]:
        raise IntegrityError(f"{uri}/{name}: missing or not the file its manifest names; point the release at a version that is whole")
    return data


def _read(uri: str, name: str) -> bytes | None:
    if uri.startswith(s3.SCHEME):
        return s3.read(f"{uri}/{name}")
    path = Path(uri, name)
    return path.read_bytes() if path.is_file() else None
