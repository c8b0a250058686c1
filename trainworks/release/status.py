"""What became of a version: whether it is the current one, whether its gates hold, and what can be done, in plain words."""

from dataclasses import dataclass
from typing import Any

from trainworks.release import gates, stored
from trainworks.release.places import VERSIONS
from trainworks.release.releases import current


@dataclass(frozen=True)
class Status:
    """A *version* of the release folder *to*, which is *current* or a candidate, and the *verdict* of its gates."""

    to: str
    version: str
    current: bool
    verdict: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every gate holds that is not waived."""
        return self.verdict["passed"] is True

    @property
    def sentence(self) -> str:
        """How it stands, on one line."""
        why = gates.why(self.verdict)
        if self.current:
            return f"Released: {self.version} is the current version; {why}."
        if self.passed:
            command = f"python -m trainworks release promote {self.to} {self.version}"
            return f"Not released: {self.version} is a candidate; {why}. To release it: {command}"
        return f"Not released: {self.version} stays a candidate; {why}."


def status(place: str) -> Status:
    """That of the newest version of the release *place*, or of the version whose own folder *place* is.

    Raises:
        IntegrityError: *place* is neither, or what lies there is damaged.
    """
    bundle = stored.versions(place)[-1]
    to = bundle.uri.removesuffix(f"/{VERSIONS}/{bundle.version}")
    pointer = current(to)
    return Status(to, bundle.version, pointer is not None and pointer.version == bundle.version, bundle.facts["verdict"])
