"""What a run reached, as its room tells the hall: the scores in ``metrics.json``, and the one that comparisons and sweeps turn on.

``metrics.json`` of every bundle has two entries in this form; all others in it are the room's own::

    "objective": "accuracy",
    "scores": [{"name": "accuracy", "value": 0.52, "interval": [0.42, 0.62], "better": "higher", "unit": "share",
                "gain": {"over": "the untouched model", "value": 0.15, "interval": [0.08, 0.23]}}]
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

FILE = "metrics.json"

Better = Literal["higher", "lower"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Gain:
    """How much better a score is than that of what *over* names, on the same cases: positive is better, whatever the direction.

    *interval* is where the gain lies with 95 % confidence.

    Raises:
        ValueError: a number is not finite, or the interval is not a rising pair.
    """

    over: str
    value: float
    interval: Interval

    def __post_init__(self) -> None:
        _require_numbers(f"gain over {self.over}", self.value, self.interval)


@dataclass(frozen=True)
class Score:
    """One number that a run reached.

    Attributes:
        name: in words
        value: in *unit*
        interval: where it lies with 95 % confidence, in *unit*
        better: which way is better
        unit: such as ``share`` (0 to 1) or ``pieces``; empty for a bare number
        group: the part of the cases it was measured on; empty for all
        gain: over what was there before, in *unit*

    Raises:
        ValueError: no name, an unknown direction, a number that is not finite, or an interval that is not a rising pair.
    """

    name: str
    value: float
    interval: Interval
    better: Better
    unit: str
    group: str = ""
    gain: Gain | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name):
            raise ValueError(f"a score has the name {self.name!r}; expected words")
        if self.better not in get_args(Better):
            raise ValueError(f"score {self.name!r}: better = {self.better!r}; expected {' or '.join(get_args(Better))}")
        _require_numbers(f"score {self.name!r}", self.value, self.interval)


@dataclass(frozen=True)
class Scores:
    """All scores of a run, and the name of the one that comparisons and sweeps turn on.

    Raises:
        ValueError: two scores have the same name and group, or no score of all cases is called as *objective* says.
    """

    objective: str
    all: tuple[Score, ...]

    def __post_init__(self) -> None:
        labels = [(score.name, score.group) for score in self.all]
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise ValueError(f"score {' of '.join(filter(None, twice))!r} comes twice; give each its own name or group")
        if (self.objective, "") not in labels:
            names = ", ".join(name for name, group in labels if not group) or "none"
            raise ValueError(f"objective = {self.objective!r}: no score of that name over all cases; there are {names}")

    @property
    def main(self) -> Score:
        """The score that *objective* names."""
        return next(score for score in self.all if (score.name, score.group) == (self.objective, ""))

    def entries(self) -> dict[str, Any]:
        """Both entries of ``metrics.json``; an empty group and a missing gain are left out."""
        rows = [{name: value for name, value in asdict(score).items() if value not in ("", None) or name == "unit"} for score in self.all]
        return {"objective": self.objective, "scores": rows}


def parse(metrics: Any) -> Scores:
    """What *metrics*, the content of a ``metrics.json``, says in the form of this module.

    Raises:
        ValueError: an entry is missing or malformed; says which, and what was expected.
    """
    if not isinstance(metrics, Mapping):
        raise ValueError(f"{FILE} is no object but {metrics!r:.80}")
    if missing := [entry for entry in ("objective", "scores") if entry not in metrics]:
        raise ValueError(f"{FILE} has no {' and no '.join(missing)}; expected both, see trainworks/release/scores.py")
    if not isinstance(metrics["scores"], list):
        raise ValueError(f"{FILE}: scores is no list but {metrics['scores']!r:.80}")
    return Scores(metrics["objective"], tuple(_score(entry) for entry in metrics["scores"]))


def of(bundled: Any) -> Scores | None:
    """The scores in the ``metrics.json`` of a bundle, or None if that was made before bundles had scores.

    Raises:
        ValueError: as for `parse`.
    """
    if isinstance(bundled, Mapping) and "objective" not in bundled and "scores" not in bundled:
        return None
    return parse(bundled)


def _score(entry: Any) -> Score:
    try:
        gain = entry.get("gain")
        typed = {**entry, "interval": tuple(entry["interval"])}
        if gain is not None:
            typed["gain"] = Gain(**{**gain, "interval": tuple(gain["interval"])})
        return Score(**typed)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{FILE}: {entry!r:.80} is no score ({type(error).__name__}: {error})") from error


def _require_numbers(what: str, value: object, interval: Iterable[object]) -> None:
    if not _finite(value):
        raise ValueError(f"{what}: its value is {value!r}; expected a finite number")
    ends = list(interval)
    if len(ends) != 2 or not all(map(_finite, ends)) or ends[0] > ends[1]:  # type: ignore[operator]
        raise ValueError(f"{what}: its interval is {ends!r}; expected a low and a high end, both finite")


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
