"""Trials of a sweep: what to try next, and what came of it.

Nothing is stored between rounds: what is asked follows from the space, the seed and the trials so far. A sweep that was killed
asks the same again, and finds what had finished where stages are remembered. More trials go on where fewer ended.
"""

import json
import logging
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from trainworks.errors import Interrupted, StorageUnreachable, TrainingError
from trainworks.release.scores import Better
from trainworks.report.page import Quantity, cell, percent
from trainworks.sweep.space import Setting, all_settings, size

log = logging.getLogger(__name__)

DRAWS = 100
"""How often a setting is drawn anew that was tried before."""

DIGITS = 3
"""Significant digits of a drawn number: people read and copy it."""


@dataclass(frozen=True)
class Objective:
    """What the trials of a room are judged by: its *name* in words, which way is *better*, and its *unit*.

    The unit ``share`` stands for values from 0 to 1, which are shown in per cent; an empty one for a bare number.
    """

    name: str
    better: Better
    unit: str = ""

    @property
    def title(self) -> str:
        """The name as it begins a sentence or heads a column."""
        return self.name[0].upper() + self.name[1:]

    @property
    def is_share(self) -> bool:
        """Whether values are shown in per cent."""
        return self.unit == "share"

    def words(self, value: float) -> Quantity:
        """*value* for a reader."""
        return percent(value) if self.is_share else Quantity(" ".join(filter(None, [cell(value), self.unit])))

    def best(self, values: Iterable[float]) -> float:
        """The best of *values*."""
        return max(values) if self.better == "higher" else min(values)


@dataclass(frozen=True)
class Trial:
    """One setting, and the value it reached, or why it has none."""

    setting: Setting
    value: float | None
    error: str = ""


def require_possible(space: Mapping[str, BaseDistribution], sampler: str, trials: int, parallel: int) -> None:
    """Refuse a sweep that cannot be.

    Raises:
        ValueError: naming the input, its value and what is allowed.
    """
    for name, value in {"trials": trials, "parallel": parallel}.items():
        if value < 1:
            raise ValueError(f"sweep.{name} = {value}: must be at least 1")
    if trials > size(space):
        raise ValueError(f"sweep.trials = {trials}: the space has only {size(space)} settings")
    if sampler == "grid" and math.isinf(size(space)):
        raise ValueError("sweep.sampler = 'grid': the space has a range of numbers without end; give choices such as 0.1 | 0.2, or draw")


def ask(
    space: Mapping[str, BaseDistribution], sampler: str, seed: int, trials: Sequence[Trial], many: int, better: Better
) -> list[Setting]:
    """*many* settings to try after *trials*: a function of its arguments.

    *sampler* is ``grid``, which takes all settings in order; ``random``; or ``tpe``, the tree-structured Parzen estimator
    (Bergstra et al. 2011, NeurIPS 24), which draws at random until ten trials are done, goes where values are *better*, and
    keeps away from where trials failed. A setting that was tried is drawn anew, at random.
    """
    known = [trial.setting for trial in trials]
    if sampler == "grid":
        return list(islice((setting for setting in all_settings(space) if setting not in known), many))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if better == "higher" else "minimize")
    for trial in trials:
        # Pruned, which TPE takes for worse than any value. Of failed trials it takes no notice, and goes where they are.
        state = TrialState.PRUNED if trial.value is None else TrialState.COMPLETE
        study.add_trial(create_trial(params=dict(trial.setting), distributions=dict(space), value=trial.value, state=state))
    asked: list[Setting] = []
    for number in range(len(trials), len(trials) + many):
        asked.append(_new(study, space, sampler, int(np.random.SeedSequence((seed, number)).generate_state(1)[0]), known + asked))
    return asked


def _new(study: optuna.Study, space: Mapping[str, BaseDistribution], sampler: str, seed: int, known: Sequence[Setting]) -> Setting:
    at_random = optuna.samplers.RandomSampler(seed=seed)
    study.sampler = _tpe(seed) if sampler == "tpe" else at_random
    for _ in range(DRAWS):
        trial = study.ask(dict(space))
        setting = {name: _readable(value, space[name]) for name, value in trial.params.items()}
        if setting not in known:
            break
        study.tell(trial, state=TrialState.FAIL)
        study.sampler = at_random
    return setting


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)  # else the trials of one round crowd at one place


def _readable(value: float | int | str, values: BaseDistribution) -> float | int | str:
    """A real number with few digits, still within its range."""
    if not isinstance(values, FloatDistribution):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), values.low), values.high)


def attempt(setting: str, reach: Callable[[Setting], float]) -> str:
    """The answer to *setting*, both as JSON: the value that *reach* gives or, so that the other trials go on, its error.

    Raises:
        Interrupted, StorageUnreachable: or what was made of them; the trial did not fail, it goes on when it is run again.
    """
    chosen = json.loads(setting)
    words = ", ".join(f"{name}={value}" for name, value in chosen.items())
    log.info("trial     starts   %s", words)
    try:
        value = reach(chosen)
        if not math.isfinite(value):
            raise TrainingError(f"reached {value}, expected a finite number")
    except Exception as error:  # whatever a setting does to training, memory or the machine's libraries
        if any(isinstance(cause, (Interrupted, StorageUnreachable)) for cause in (error, error.__cause__)):
            raise
        log.warning("trial     failed   %s: %s", words, error)
        return json.dumps({"value": None, "error": f"{type(error).__name__}: {error}"})
    log.info("trial     reached  %.4f with %s", value, words)
    return json.dumps({"value": value})


def together(asked: Sequence[Sequence[str]], answered: Sequence[Sequence[str | None]]) -> list[Trial]:
    """The trials of all rounds: settings and answers as JSON; the answer of a machine that was lost is ``None``.

    Raises:
        TrainingError: no machine of a round gave an answer: nothing could be tried, which another round would not change.
    """
    for number, answers in enumerate(answered, 1):
        if answers and all(answer is None for answer in answers):
            raise TrainingError(f"round {number}: none of its {len(answers)} trials could run; the node of the first one says why")
    return [
        Trial(json.loads(setting), **json.loads(answer or '{"value": null, "error": "its machine was lost; see the log of the task"}'))
        for settings, answers in zip(asked, answered, strict=True)
        for setting, answer in zip(settings, answers, strict=True)
    ]


def best(trials: Sequence[Trial], objective: Objective) -> int:
    """The index of the trial with the best value, the first of equals.

    Raises:
        TrainingError: no trial succeeded.
    """
    values = [trial.value for trial in trials]
    reached = [value for value in values if value is not None]
    if not reached:
        raise TrainingError("\n  ".join(["no trial of the sweep succeeded:", *dict.fromkeys(trial.error for trial in trials)]))
    return values.index(objective.best(reached))
