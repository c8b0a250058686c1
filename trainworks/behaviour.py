"""Behaviour: what a trained model must do on inputs that Hypothesis draws, as a rate per check with its worst failures."""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from trainworks.intervals import wilson

SHOWN = 4
"""Failing examples kept of each check, the worst first."""

THUMBNAIL = 112
"""Longer side of an example's image, in pixels."""

T = TypeVar("T")
_BYTES = 15


@dataclass(frozen=True)
class Case:
    """One try of a check.

    Attributes:
        id: what it was tried on, by the id it has in the data
        what: what was done, in words
        margin: how far the model stayed above its bound; below 0 the case has failed
        numbers: what was measured, by name
        shown: what a person needs to see, by name: texts, of which the report shows ``title``, ``before`` and ``after``, and images,
            which are kept small
    """

    id: str
    what: str
    margin: float
    numbers: Mapping[str, float]
    shown: Mapping[str, str | Image.Image]

    @property
    def passed(self) -> bool:
        """Whether the model held its bound; equal is enough, and what is not a number never passes."""
        return self.margin >= 0


def pick(items: Sequence[T]) -> st.SearchStrategy[T]:
    """Any of *items*, each as likely as any other.

    From bytes, for ``sampled_from`` also tries numbers that Hypothesis finds in the source of whichever modules are loaded:
    then the same model would be tested on other inputs whenever an earlier stage came from the cache. It tries bytes that stand in a
    source as well, if they are as many: so they are more than anybody writes out, which ``b"release"`` is not.
    """
    if not items:
        raise ValueError("expected items to pick from, got none")
    return st.binary(min_size=_BYTES, max_size=_BYTES).map(lambda drawn: items[int.from_bytes(drawn) * len(items) >> 8 * _BYTES])


def drawn(strategy: st.SearchStrategy[T], most: int, by: Callable[[T], Hashable]) -> list[T]:
    """At most *most* examples of *strategy*, no two with the same *by*; the same ones in every run.

    Twice as many are drawn, so that few are missing where there are not many more to choose from.
    """
    found: dict[Hashable, T] = {}  # Hypothesis draws by the source of `collect`: another name would draw other examples

    @settings(
        max_examples=2 * most,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: T) -> None:
        found.setdefault(by(example), example)

    collect()
    return list(found.values())[:most]


def rate(cases: Sequence[Case]) -> dict[str, Any]:
    """The share of *cases* that passed, its 95 % interval, their number, and the mean of what was measured.

    The interval is Wilson's, of ``trainworks.intervals``. Without cases all are null.
    """
    if not cases:
        return {"rate": None, "low": None, "high": None, "cases": 0, "mean": {}}
    passed = sum(case.passed for case in cases)
    low, high = wilson(passed / len(cases), len(cases))
    mean = {name: sum(case.numbers[name] for case in cases) / len(cases) for name in cases[0].numbers}
    return {"rate": passed / len(cases), "low": low, "high": high, "cases": len(cases), "mean": mean}


def worst(cases: Iterable[Case], most: int = SHOWN) -> list[Case]:
    """At most *most* of the *cases* that failed, the furthest below its bound first."""
    return sorted((case for case in cases if not case.passed), key=lambda case: (case.margin, case.id))[:most]


def write(checks: Iterable[tuple[str, Sequence[Case]]], meanings: Mapping[str, str], criterion: Mapping[str, float], out: Path) -> None:
    """Write ``behaviour.json`` to *out*, and the images of its examples, one check after the other.

    ``{"criterion", "checks": {name: {"rate", "low", "high", "cases", "mean", "meaning", "examples"}}}``, where the *criterion* is
    the bounds that checks share. An example has its ``id``, ``what`` was done, its numbers and what it shows, all by name; an
    image is the name of a WebP file in *out*.

    Raises:
        KeyError: a check without a meaning.
    """
    rates = {}
    for name, cases in checks:
        examples = [_example(case, out, f"{name}-{place}") for place, case in enumerate(worst(cases), 1)]
        rates[name] = {**rate(cases), "meaning": meanings[name], "examples": examples}
    (out / "behaviour.json").write_text(
        json.dumps({"criterion": criterion, "checks": rates}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _example(case: Case, out: Path, stem: str) -> dict[str, Any]:
    shown: dict[str, str] = {}
    for name, thing in case.shown.items():
        if isinstance(thing, Image.Image):
            small = thing.copy()
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            small.save(out / f"{stem}-{name}.webp", quality=80)
            thing = f"{stem}-{name}.webp"
        shown[name] = thing
    return {"id": case.id, "what": case.what, **case.numbers, **shown}
