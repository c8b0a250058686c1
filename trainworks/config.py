"""Knobs: each declared once, as a field of a frozen dataclass section, with meaning, unit and bounds."""

from dataclasses import Field, field, fields
from typing import Any


def knob(default: Any, meaning: str, *, least: float | None = None, most: float | None = None, above: float | None = None) -> Any:
    """A dataclass field that knows what it means and which values it allows.

    ``least`` and ``most`` are inclusive bounds, ``above`` an exclusive one.
    """
    return field(default=default, metadata={"meaning": meaning, "least": least, "most": most, "above": above})


class Section:
    """Base of a knob section: a subclass is a frozen dataclass and has a ``name``, such as ``train``.

    Raises:
        ValueError: a knob out of its bounds, as ``--epochs = 0: must be at least 1``, which is how it is typed.
    """

    name: str = ""

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            self._check_bounds(f)

    def _check_bounds(self, f: Field) -> None:
        value = getattr(self, f.name)
        if isinstance(value, float) and value != value:
            self.refuse(f.name, "must be a number")
        for bound, ok, words in (
            ("least", lambda low: value >= low, "at least"),
            ("most", lambda high: value <= high, "at most"),
            ("above", lambda low: value > low, "above"),
        ):
            limit = f.metadata.get(bound)
            if limit is not None and not ok(limit):
                self.refuse(f.name, f"must be {words} {limit}")

    def refuse(self, knob_name: str, why: str) -> None:
        """Raise the ``ValueError`` of a bad knob."""
        raise ValueError(f"--{knob_name} = {getattr(self, knob_name)!r}: {why}")


def meanings(section: type[Section]) -> dict[str, str]:
    """Knob name → what it means, in order of declaration; a field that only passes on another section's knob says nothing."""
    return {f.name: f.metadata["meaning"] for f in fields(section) if f.metadata}  # type: ignore[arg-type]
