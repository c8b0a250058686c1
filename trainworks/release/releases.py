"""Releases: immutable versions side by side, and one pointer that moves only to a whole bundle whose gates hold.

versions/20260131-120000-0f3c…/   a bundle; appears complete or not at all, and never changes
current.json                      {"version", "manifest_sha256", "previous"}: what a service loads, and what it loaded before

A version on S3 is there when its ``manifest.json`` is, which is written last.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trainworks import grammar
from trainworks.errors import IntegrityError, ReleaseConflict, ReleaseError
from trainworks.release import gates, registry
from trainworks.release.places import POINTER, VERSIONS, Bucket, Folder, Pointer, place
from trainworks.storage import manifest, places, s3

__all__ = ["POINTER", "VERSIONS", "Pointer", "Released", "check_target", "current", "promote", "release", "rollback", "versions"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Released:
    """The outcome: the *version* and its *uri*, whether the pointer names it now (*moved*), and *why*."""

    version: str
    uri: str
    moved: bool
    why: str


def release(bundle: Path, to: str, move: bool = True) -> Released:
    """Copy *bundle* to the release folder *to* as a version, and move the pointer there if its gates hold.

    If they do not, or *move* is false as in an experiment, the version stays as a candidate and the pointer is untouched; ``why`` names
    the gates that failed.
    Repeating a release changes nothing and gives the same answer; releasing an earlier bundle again rolls back to it.

    Raises:
        IntegrityError: the bundle is not whole, or its version is there with other content.
        ReleaseConflict: somebody else moved the pointer since this release began.
        ReleaseError, StorageError, ValueError: *to* cannot hold releases; see `check_target`.
    """
    to = check_target(to)
    there = place(to)
    expected, tag = there.read()
    facts = manifest.verify(bundle)
    checksum = manifest.sha256(bundle / manifest.NAME)
    version = _version(bundle, facts, checksum)
    uri = there.publish(bundle, version, facts, checksum)
    moved = move and facts["verdict"]["passed"] is True
    if moved and not there.swap(expected, tag, Pointer(version, checksum, expected.version if expected else None)):
        names = [pointer.version if pointer else "nothing" for pointer in (expected, there.read()[0])]
        raise ReleaseConflict(
            f"{to}/{POINTER} named {names[0]} when this release began and names {names[1]} now; "
            f"{version} stays a candidate, release it again if it should replace that one"
        )
    log.info("release   %s %s", version, "is current" if moved else "stays a candidate")
    registry.record(bundle, facts, to, version, uri)
    if moved:
        registry.point(facts, to, version, uri)
    return Released(version, uri, moved, gates.why(facts["verdict"]))


def versions(to: str) -> list[str]:
    """The versions at *to*, released ones and candidates, the oldest first; a draft is none."""
    return sorted(place(places.parse("release_to", to)).versions())


def promote(to: str, version: str) -> Pointer:
    """Make *version*, which lies at *to* already, the current one, and give the pointer as it then is.

    Promoting the current version changes nothing; a `rollback` undoes what a `promote` did.

    Raises:
        ReleaseError: there is no such version, or a gate of it failed.
        IntegrityError: it is not whole, or not what its name says.
        ReleaseConflict, StorageError, ValueError: as for `release`.
    """
    to = check_target(to)
    there = place(to)
    expected, tag = there.read()
    return _point(to, there, expected, tag, version, expected.version if expected else None)


def rollback(to: str) -> Pointer:
    """Make the version current that was so before, and give the pointer as it then is.

    It goes back one step only, and forgets the version it left: rolling back again, be it by a retry, is refused and never
    moves forward to what was just withdrawn. To go further back, `promote` a version by name.

    Raises:
        ReleaseError: nothing is current, or the pointer knows of no version before.
        IntegrityError, ReleaseConflict, StorageError, ValueError: as for `promote`.
    """
    to = check_target(to)
    there = place(to)
    expected, tag = there.read()
    if expected is None:
        raise ReleaseError(f"{to}: nothing is current, so there is nothing to roll back; promote a version by name")
    if expected.previous is None:
        raise ReleaseError(
            f"{to}/{POINTER} names {expected.version} and no version before it: it is the first release, or was rolled back to; "
            "promote a version by name"
        )
    return _point(to, there, expected, tag, expected.previous, None)


def check_target(to: str) -> str:
    """The place *to* in its one spelling, or refused if it cannot hold releases, before anything is made that would go there.

    On S3, scratch objects are put and deleted to see what the credentials and the store allow.

    Raises:
        ValueError: *to* is neither a local folder nor ``s3://bucket/prefix``, or is there and is no folder, or has credentials in it.
        StorageError: the bucket cannot be reached, written or read; says what to do.
        ReleaseError: the store would let two releases at once overwrite each other.
    """
    to = places.parse("release_to", to)
    if s3.is_uri(to):
        if not s3.honours_conditions(to):
            raise ReleaseError(
                f"release_to = {to!r}: this store ignores conditional writes (If-None-Match, If-Match), so of two releases at once "
                "one would be lost unseen; release to S3, MinIO or another store that honours them, or to a local folder and copy it"
            )
    elif Path(to).exists() and not Path(to).is_dir():
        raise ValueError(f"release_to = {to!r}: is there and is not a folder")
    return to


def current(to: str | Path) -> Pointer | None:
    """What the releases at *to* point at, or None before the first release.

    Raises:
        IntegrityError: the pointer does not parse.
    """
    return place(places.parse("release_to", to)).read()[0]


def _point(to: str, there: Folder | Bucket, expected: Pointer | None, tag: str | None, version: str, previous: str | None) -> Pointer:
    """Compare and swap the pointer, found as *expected*, to *version* once that was found whole and good."""
    known = sorted(there.versions())
    if version not in known:
        raise ReleaseError(
            f"{to}: no version {version!r} among {len(known)}{grammar.nearest(version, known)}; expected one that list shows"
        )
    facts, checksum = there.verified(version)
    if _version(Path(version), facts, checksum) != version:
        raise IntegrityError(f"{to}/{VERSIONS}/{version}: its manifest is not the one the version is named by; versions never change")
    if not facts["verdict"]["passed"]:
        raise ReleaseError(
            f"{version} stays a candidate: {gates.why(facts['verdict'])}. To release it all the same, run it again with 'waived' after "
            "that gate in the knob gates: the manifest then records who was let through"
        )
    target = Pointer(version, checksum, previous)
    if expected and target.loads_as(expected):
        return expected
    if not there.swap(expected, tag, target):
        names = [pointer.version if pointer else "nothing" for pointer in (expected, there.read()[0])]
        raise ReleaseConflict(f"{to}/{POINTER} named {names[0]} when this began and names {names[1]} now; look, and try again")
    log.info("release   %s is current", version)
    registry.point(facts, to, version, f"{to}/{VERSIONS}/{version}")
    return target


def _version(bundle: Path, facts: dict[str, Any], checksum: str) -> str:
    """Named by the bundle's own time and content, so that a repeated release finds its version there."""
    try:
        if not isinstance(facts["verdict"]["passed"], bool):
            raise TypeError("passed is neither true nor false")
        return f"{datetime.fromisoformat(facts['created']):%Y%m%d-%H%M%S}-{checksum[:12]}"
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{bundle}: its manifest is not that of a bundle ({type(error).__name__}: {error})") from error
