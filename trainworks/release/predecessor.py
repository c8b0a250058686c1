"""The released version that a new model is compared with."""

from collections.abc import Collection
from pathlib import Path

from trainworks.release import stored
from trainworks.release.releases import VERSIONS, current
from trainworks.storage import manifest, places


def predecessor(release_to: str, model: Path, files: Collection[str]) -> str:
    """Folder or ``s3://`` URI of the version that the *model* is compared with, ``""`` before there is one.

    That is the current release at *release_to*; or, if that one holds this very model, the version that it was compared with
    itself, ``release.version`` of its ``metrics.json``: a run that is repeated after its release then asks for the same
    comparison, and finds it in the cache. A version is named by its content, so that the answer names the content too.

    Args:
        model: folder of the new model.
        files: names of the files that make two models the same, in that folder as in a bundle.

    Raises:
        IntegrityError: the pointer or the version it names is damaged.
    """
    if current(release_to) is None:
        return ""
    released = stored.locate(release_to)
    known = released.facts["files"]
    if any(name not in known or known[name]["sha256"] != manifest.sha256(model / name) for name in files):
        return released.uri
    metrics = released.json("metrics.json") or {}
    before = metrics.get("release", {}).get("version")
    return f"{places.parse('release_to', release_to)}/{VERSIONS}/{before}" if before else ""
