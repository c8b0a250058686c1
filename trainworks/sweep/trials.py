"""Trials of a sweep: what to try next, and what came of it.

Nothing is stored between rounds: what is asked follows from the space, the seed and the trials so far. A sweep that was killed
asks the same again, and finds what had finished where stages are remembered. More trials go on where fewer ended.
"""

import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from trainworks.errors import Interrupted, StorageUnreachable, TrainingError
from trainworks.sweep.space import Setting, size

log = logging.getLogger(__name__)

DRAWS = 100
"""How often a setting is drawn anew that was tried before."""

DIGITS = 3
"""Significant digits of a drawn number: people read and copy it."""


@dataclass(frozen=True)
class Trial:
    """One setting, and the validation recall it reached or why it has none."""

    setting: Setting
    recall: float | None
    error: str = ""


def require_possible(space: Mapping[str, BaseDistribution], trials: int, parallel: int) -> None:
    """Refuse a sweep that cannot be.

    Raises:
        ValueError: naming the input, its value and what is allowed.
    """
    for name, value in {"trials": trials, "parallel": parallel}.items():
        if value < 1:
            raise ValueError(f"sweep.{name} = {value}: must be at least 1")
    if trials > size(space):
        raise ValueError(f"sweep.trials = {trials}: the space has only {size(space)} settings")


def ask(space: Mapping[str, BaseDistribution], sampler: str, seed: int, trials: Sequence[Trial], many: int) -> list[Setting]:
    """*many* settings to try after *trials*: a function of its arguments.

    *sampler* is ``random`` or ``tpe``, the tree-structured Parzen estimator (Bergstra et al. 2011, NeurIPS 24), which draws at
    random until ten trials are done, and keeps away from where they failed. A setting that was tried is drawn anew, at random.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for trial in trials:
        # Pruned, which TPE takes for worse than any recall. Of failed trials it takes no notice, and goes where they are.
        state = TrialState.PRUNED if trial.recall is None else TrialState.COMPLETE
        study.add_trial(create_trial(params=dict(trial.setting), distributions=dict(space), value=trial.recall, state=state))
    known = [trial.setting for trial in trials]
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
    """The answer to *setting*, both as JSON: the recall that *reach* gives or, so that the other trials go on, its error.

    Raises:
        Interrupted, StorageUnreachable: or what was made of them; the trial did not fail, it goes on when it is run again.
    """
    chosen = json.loads(setting)
    words = ", ".join(f"{name}={value}" for name, value in chosen.items())
    log.info("trial     starts   %s", words)
    try:
        recall = reach(chosen)
    except Exception as error:  # whatever a setting does to training, memory or the machine's libraries
        if any(isinstance(cause, (Interrupted, StorageUnreachable)) for cause in (error, error.__cause__)):
            raise
        log.warning("trial     failed   %s: %s", words, error)
        return json.dumps({"recall": None, "error": f"{type(error).__name__}: {error}"})
    log.info("trial     reached  %.4f with %s", recall, words)
    return json.dumps({"recall": recall})


def together(asked: Sequence[Sequence[str]], answered: Sequence[Sequence[str | None]]) -> list[Trial]:
    """The trials of all rounds: settings and answers as JSON; the answer of a machine that was lost is ``None``."""
    return [
        Trial(json.loads(setting), **json.loads(answer or '{"recall": null, "error": "its machine was lost; see the log of the task"}'))
        for settings, answers in zip(asked, answered, strict=True)
        for setting, answer in zip(settings, answers, strict=True)
    ]


def best(trials: Sequence[Trial]) -> int:
    """The index of the trial with the highest recall, the first of equals.

    Raises:
        TrainingError: no trial succeeded.
    """
    if not (reached := {number: trial.recall for number, trial in enumerate(trials) if trial.recall is not None}):
        raise TrainingError("\n  ".join(["no trial of the sweep succeeded:", *dict.fromkeys(trial.error for trial in trials)]))
    return max(reached, key=lambda number: reached[number])
