"""What a sweep leaves behind: a table of its trials, the winner as an experiment file, and a page with plots."""

import logging
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markupsafe import Markup
from optuna.distributions import BaseDistribution, CategoricalDistribution

from trainworks.report.page import Table, curves, percent, render
from trainworks.sweep.plots import by_choice, by_number
from trainworks.sweep.trials import Trial, best

log = logging.getLogger(__name__)


def write(
    trials: Sequence[Trial],
    space: Mapping[str, BaseDistribution],
    winner: Mapping[str, Any],
    tested: Mapping[str, float],
    described: Mapping[str, Any],
    out: Path,
) -> None:
    """Write ``trials.csv``, ``winner.yaml`` and ``sweep.html`` to *out*, and the table to the log.

    *winner* is what an experiment file of the best trial must say, *tested* its recall on the test gallery (``finetuned``, and
    ``baseline`` before training), *described* what the page tells of the sweep itself.
    """
    rows = table(trials)
    rows.to_csv(out / "trials.csv", index=False)
    (out / "winner.yaml").write_text(experiment(trials, winner, tested))
    (out / "sweep.html").write_text(page(trials, space, winner, tested, described), encoding="utf-8")
    log.info("trials    best %d\n%s", best(trials) + 1, rows.to_string(index=False, na_rep="–", max_colwidth=48))


def table(trials: Sequence[Trial]) -> pd.DataFrame:
    """A row for each trial in the order they were asked: its number from 1, validation recall, knobs, and error if it failed."""
    return pd.DataFrame(
        {"trial": number, "val_recall": trial.recall, **trial.setting, "error": " ".join(trial.error.split())}
        for number, trial in enumerate(trials, 1)
    )


def experiment(trials: Sequence[Trial], winner: Mapping[str, Any], tested: Mapping[str, float]) -> str:
    """An experiment file of the best trial; its first line has the result, and asks what one run cannot answer."""
    number = best(trials)
    recall, knobs = trials[number].recall, ", ".join(trials[number].setting)
    assert recall is not None
    return (
        f"# Trial {number + 1}, the best of {len(trials)} over {knobs}: validation recall {percent(recall)}, test R@10 "
        f"{percent(tested['finetuned'])} (untouched {percent(tested['baseline'])}); does it hold with another seed?\n"
        + yaml.safe_dump(dict(winner), sort_keys=False, allow_unicode=True, width=math.inf)
    )


def page(
    trials: Sequence[Trial],
    space: Mapping[str, BaseDistribution],
    winner: Mapping[str, Any],
    tested: Mapping[str, float],
    described: Mapping[str, Any],
) -> str:
    """The sweep as one self-contained HTML page."""
    number = best(trials)
    knobs = list(space)
    return render(
        "sweep/page.html",
        number=number + 1,
        recall=trials[number].recall,
        tested=tested,
        trials=Table(
            "All trials, in the order they were asked",
            ["Trial", "Validation recall", *knobs, "Error"],
            [
                [k, None if trial.recall is None else percent(trial.recall), *(str(trial.setting[knob]) for knob in knobs), trial.error]
                for k, trial in enumerate(trials, 1)
            ],
            strong=[number],
        ),
        failed=sum(trial.recall is None for trial in trials),
        winner=Table("The winner’s experiment file", ["Input", "Value"], [[name, str(value)] for name, value in winner.items()]),
        described=Table("What was asked", ["", ""], [[name, str(value)] for name, value in described.items()]),
        history=_history(trials),
        charts=[(knob, _against(trials, knob, space[knob])) for knob in knobs],
    )


def _history(trials: Sequence[Trial]) -> Markup:
    recalls = [trial.recall for trial in trials]
    reached = list(accumulate((recall or 0.0 for recall in recalls), max))
    series: dict[str, Sequence[float | None]] = {"best so far": reached, "each trial": recalls}
    return curves("Validation recall of each trial, and the best so far", range(1, len(trials) + 1), series, step_name="trial", shares=True)


def _against(trials: Sequence[Trial], knob: str, values: BaseDistribution) -> Markup:
    """The recall of each trial over its value of *knob*."""
    done = [(trial.setting[knob], trial.recall) for trial in trials if trial.recall is not None]
    alt = f"Validation recall of each trial against {knob}"
    if isinstance(values, CategoricalDistribution):
        return by_choice(alt, {str(choice): [recall for value, recall in done if value == choice] for choice in values.choices})
    return by_number(alt, [(float(value), recall) for value, recall in done], name=knob, log=getattr(values, "log", False))
