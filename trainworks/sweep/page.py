"""What a sweep leaves behind: a table of its trials, the winner as an experiment file, and a page with plots."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markupsafe import Markup
from optuna.distributions import BaseDistribution, CategoricalDistribution

from trainworks.report.page import Table, curves, render
from trainworks.sweep.plots import by_choice, by_number
from trainworks.sweep.trials import Objective, Trial, best

log = logging.getLogger(__name__)


def write(
    trials: Sequence[Trial],
    space: Mapping[str, BaseDistribution],
    objective: Objective,
    winner: Mapping[str, Any],
    tested: str,
    described: Mapping[str, Any],
    out: Path,
) -> None:
    """Write ``trials.csv``, ``winner.yaml`` and ``sweep.html`` to *out*, and the table to the log.

    *winner* is what an experiment file of the best trial must say, *tested* what that reached on cases that no trial was chosen
    by, in words, *described* what the page says of the sweep itself.
    """
    rows = table(trials, objective)
    rows.to_csv(out / "trials.csv", index=False)
    (out / "winner.yaml").write_text(experiment(trials, objective, winner, tested))
    (out / "sweep.html").write_text(page(trials, space, objective, winner, tested, described), encoding="utf-8")
    log.info("trials    best %d\n%s", best(trials, objective) + 1, rows.to_string(index=False, na_rep="–", max_colwidth=48))


def table(trials: Sequence[Trial], objective: Objective) -> pd.DataFrame:
    """A row for each trial in the order they were asked: its number from 1, the objective's value, knobs, and error if it failed."""
    column = objective.name.replace(" ", "_")
    return pd.DataFrame(
        {"trial": number, column: trial.value, **trial.setting, "error": " ".join(trial.error.split())}
        for number, trial in enumerate(trials, 1)
    )


def experiment(trials: Sequence[Trial], objective: Objective, winner: Mapping[str, Any], tested: str) -> str:
    """An experiment file of the best trial; its first line has the result, and asks what one run cannot answer."""
    number = best(trials, objective)
    value, knobs = trials[number].value, ", ".join(trials[number].setting)
    assert value is not None
    return (
        f"# Trial {number + 1}, the best of {len(trials)} over {knobs}: {objective.name} {objective.words(value)}, "
        f"{tested}; does it hold with another seed?\n" + yaml.safe_dump(dict(winner), sort_keys=False, allow_unicode=True, width=math.inf)
    )


def page(
    trials: Sequence[Trial],
    space: Mapping[str, BaseDistribution],
    objective: Objective,
    winner: Mapping[str, Any],
    tested: str,
    described: Mapping[str, Any],
) -> str:
    """The sweep as one self-contained HTML page."""
    number = best(trials, objective)
    value = trials[number].value
    assert value is not None
    return render(
        "sweep/page.html",
        number=number + 1,
        objective=objective,
        reached=objective.words(value),
        tested=tested,
        trials=Table(
            "All trials, in the order they were asked",
            ["Trial", objective.title, *space, "Error"],
            [
                [
                    k,
                    None if trial.value is None else objective.words(trial.value),
                    *(_shown(trial.setting[knob]) for knob in space),
                    trial.error,
                ]
                for k, trial in enumerate(trials, 1)
            ],
            strong=[number],
        ),
        failed=sum(trial.value is None for trial in trials),
        winner=Table("The winner’s experiment file", ["Input", "Value"], [[name, str(value)] for name, value in winner.items()]),
        described=Table("What was asked", ["", ""], [[name, str(value)] for name, value in described.items()]),
        history=_history(trials, objective),
        charts=[(knob, _against(trials, objective, knob, values)) for knob, values in space.items()],
    )


def _shown(value: Any) -> str:
    """A knob's value as people read it: four digits of a number, which ``trials.csv`` has in full."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _history(trials: Sequence[Trial], objective: Objective) -> Markup:
    values = [trial.value for trial in trials]
    best_so_far = [objective.best(done) if (done := [v for v in values[:k] if v is not None]) else None for k in range(1, len(values) + 1)]
    series: dict[str, Sequence[float | None]] = {"best so far": best_so_far, "each trial": values}
    alt = f"{objective.title} of each trial, and the best so far"
    return curves(alt, range(1, len(trials) + 1), series, step_name="trial", shares=objective.is_share)


def _against(trials: Sequence[Trial], objective: Objective, knob: str, values: BaseDistribution) -> Markup:
    """The value of each trial over its value of *knob*."""
    done = [(trial.setting[knob], trial.value) for trial in trials if trial.value is not None]
    alt = f"{objective.title} of each trial against {knob}"
    if isinstance(values, CategoricalDistribution):
        return by_choice(alt, {str(choice): [value for chosen, value in done if chosen == choice] for choice in values.choices}, objective)
    return by_number(alt, [(float(chosen), value) for chosen, value in done], objective, name=knob, log=getattr(values, "log", False))
