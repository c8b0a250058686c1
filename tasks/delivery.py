"""How a run of any pipeline ends: a bundle is published, and its report shown."""

from typing import NamedTuple

from flytekit import Deck
from flytekit.types.directory import FlyteDirectory

from tasks.stage import lasting, path


class Delivered(NamedTuple):
    """What a run ends with."""

    bundle: str
    report: str
    released: bool
    why: str


def publish(bundle: FlyteDirectory, release_to: str, title: str) -> Delivered:
    """Publish the bundle; the pointer moves if every gate holds.

    The report becomes the Deck *title* of the task that calls this, so that every execution shows it, also one whose stages all came from
    the cache.
    """
    from trainworks.release.releases import release

    released = release(path(bundle), lasting("release_to", release_to))
    Deck(title, (path(bundle) / "report.html").read_text())
    return Delivered(released.uri, f"{released.uri}/report.html", released.moved, released.why)
