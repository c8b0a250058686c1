"""Sweeps of any pipeline: rounds of trials in parallel, and what is left behind. A room brings its knobs, its trial and its winner.

Its tasks are thin: ``ask`` calls `next_settings`, the dynamic workflow `rounds`, the last one `leave`. A trial's task is not
cached, so that a failed one is tried again when the sweep is run again; its stages are, so that one that finished is found.
"""

import json
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from flytekit import Deck, map_task

from trainworks.config import Section
from trainworks.storage import store

if TYPE_CHECKING:
    from trainworks.sweep.trials import Objective, Trial

Asked = list[list[str]]
"""Round → settings, as JSON."""

Answered = list[list[Optional[str]]]  # noqa: UP045 - what flytekit makes of a mapped task that may fail
"""Round → answers, as JSON; None where the machine was lost."""


class Sampler(Enum):
    """How the next settings are drawn."""

    GRID = "grid"
    RANDOM = "random"
    TPE = "tpe"


class Searched(NamedTuple):
    """All rounds."""

    asked: Asked
    answered: Answered


class Swept(NamedTuple):
    """What a sweep ends with: the winner's experiment file, the table and the page of the trials, and what the winner reached."""

    winner: str
    table: str
    page: str
    reached: float


def next_settings(
    base: Section, seed: int, space: str, sampler: Sampler, objective: "Objective", asked: Asked, answered: Answered, many: int
) -> list[str]:
    """The settings of the next round, as JSON: *many* values for the knobs of *base* that *space* names.

    Raises:
        TrainingError: nothing could be tried in the last round, and nothing would be in this one.
    """
    from trainworks.sweep import space as spaces
    from trainworks.sweep.trials import ask, together

    done = together(asked, answered)
    return [json.dumps(setting) for setting in ask(spaces.parse(space, base), sampler.value, seed, done, many, objective.better)]


def rounds(ask: Callable[..., Any], trial: Callable[..., Any], trials: int, parallel: int) -> Searched:
    """The body of a room's dynamic workflow: rounds of *parallel* trials. A trial whose machine is lost costs only itself.

    Args:
        ask: the task of the next settings, but for ``asked``, ``answered`` and ``many``.
        trial: the task of one trial, but for its ``setting``.
    """
    asked: list = []
    answered: list = []
    for number, first in enumerate(range(0, trials, parallel), 1):
        settings = ask(asked=asked, answered=answered, many=min(parallel, trials - first)).with_overrides(node_name=f"ask-{number}")
        answers = map_task(trial, min_success_ratio=0.0)(setting=settings).with_overrides(node_name=f"trials-{number}")
        asked.append(settings)
        answered.append(answers)
    return Searched(asked, answered)


def leave(
    trials: "list[Trial]",
    space: Any,
    objective: "Objective",
    winner: dict[str, Any],
    tested: tuple[float, str],
    described: dict[str, Any],
) -> Swept:
    """Write the table, the winner's experiment file and the page, which becomes the task's Deck."""
    from trainworks.sweep import page

    folder = store.keep("sweep", partial(page.write, trials, space, objective, winner, tested[1], described))
    Deck("Sweep", (folder / "sweep.html").read_text())
    place = store.address(folder)
    return Swept(f"{place}/winner.yaml", f"{place}/trials.csv", f"{place}/sweep.html", tested[0])
