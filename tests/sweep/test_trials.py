"""What a sweep asks for, what it learns from, and what it is not stopped by."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from trainworks.errors import Interrupted, StorageUnreachable, TrainingError
from trainworks.sweep.trials import Objective, Trial, ask, attempt, best, require_possible, together

ACCURACY, ERROR = Objective("accuracy", "higher", "share"), Objective("error", "lower", "m")
SPACE = {"rate": FloatDistribution(1e-4, 1e-1, log=True), "rules": CategoricalDistribution(["a", "b"])}


def reach(setting):
    """A value that is best at a rate of 0.01 with b; nothing comes of a rate above 0.05."""
    if setting["rate"] > 0.05:
        raise TrainingError("the loss is nan")
    return 0.5 - 0.2 * abs(math.log10(setting["rate"] / 0.01)) + 0.1 * (setting["rules"] == "b")


def run(sampler, trials, parallel, seed=1, better="higher", reach=reach):
    """The trials of a whole sweep, round by round, through JSON as tasks hand them on."""
    asked, answered = [], []
    for first in range(0, trials, parallel):
        drawn = ask(SPACE, sampler, seed, together(asked, answered), min(parallel, trials - first), better)
        asked.append([json.dumps(setting) for setting in drawn])
        answered.append([attempt(setting, reach) for setting in asked[-1]])
    return together(asked, answered)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_sweep_that_was_stopped_goes_on_where_it_was(sampler):
    """The same again is the same; more trials begin with those that were there."""
    whole = run(sampler, trials=16, parallel=4)
    assert run(sampler, trials=16, parallel=4) == whole
    assert run(sampler, trials=6, parallel=4) == whole[:6]


def test_random_trials_do_not_depend_on_the_rounds():
    """One at a time or all at once."""
    assert run("random", trials=6, parallel=1) == run("random", trials=6, parallel=6)


def test_seeds_draw_different_settings():
    """No trial of one seed is a trial of the next one, shifted."""
    first, second = ({trial.setting["rate"] for trial in run("random", 8, 8, seed)} for seed in (1, 2))
    assert not first & second


def test_tpe_learns_where_trials_were_good_and_where_they_failed():
    """After its random beginning it reaches more than random trials do, and seldom fails."""
    mean, failed = {}, {}
    for sampler in ("random", "tpe"):
        later = [trial.value for seed in range(4) for trial in run(sampler, 40, 2, seed)[15:]]
        reached = [each for each in later if each is not None]
        mean[sampler], failed[sampler] = sum(reached) / len(reached), len(later) - len(reached)
    assert mean["tpe"] > mean["random"] + 0.05
    assert failed["tpe"] < 0.2 * len(later)


def test_a_sweep_can_minimise():
    """What is best at 0.01 is also found as the least of a loss, by the same trials."""

    def loss(setting):
        return -reach(setting)

    up, down = run("tpe", 30, 2), run("tpe", 30, 2, better="lower", reach=loss)
    assert [trial.setting for trial in up] == [trial.setting for trial in down]
    assert best(up, ACCURACY) == best(down, ERROR)


def test_a_grid_takes_every_setting_once_and_in_order():
    """Whatever the seed; a range without end is refused before anything starts."""
    space = {"a": IntDistribution(1, 2), "b": CategoricalDistribution(["x", "y"])}
    asked = ask(space, "grid", 1, [Trial({"a": 1, "b": "x"}, 0.9)], 9, "higher")
    assert asked == [{"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]
    with pytest.raises(ValueError, match="sampler = 'grid': the space has a range of numbers without end"):
        require_possible(SPACE, "grid", 1, 1)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), low=st.floats(1e-6, 1e-3), times=st.floats(1.001, 1e4))
def test_drawn_numbers_are_short_and_in_range(seed, low, times):
    """Rounding to three digits never leaves the range."""
    values = FloatDistribution(low, low * times, log=True)
    for setting in ask({"rate": values}, "random", seed, [], 3, "higher"):
        rate = setting["rate"]
        assert values.low <= rate <= values.high
        assert rate in (values.low, values.high, float(f"{rate:.3g}"))


def test_no_setting_is_tried_twice_while_others_are_left():
    """Six choices, six trials: each once, whatever the sampler likes best."""
    space = {"a": CategoricalDistribution([1, 2]), "b": CategoricalDistribution(["x", "y", "z"])}
    first = [Trial({"a": 1, "b": "x"}, 0.9), Trial({"a": 1, "b": "y"}, None, "failed")]
    asked = ask(space, "tpe", 3, first, 4, "higher")
    assert len({json.dumps(setting, sort_keys=True) for setting in [*asked, *(trial.setting for trial in first)]}) == 6


def test_a_failed_trial_keeps_its_error_and_the_others_go_on():
    """Whatever it raised; a machine that was lost has no answer at all."""
    asked = [['{"rate": 0.09, "rules": "a"}', '{"rate": 0.01, "rules": "b"}', '{"rate": 0.02, "rules": "b"}']]
    answered = [[attempt(asked[0][0], reach), attempt(asked[0][1], reach), None]]
    failed, good, lost = together(asked, answered)
    assert failed.value is None and failed.error == "TrainingError: the loss is nan"
    assert good == Trial({"rate": 0.01, "rules": "b"}, 0.6)
    assert lost.value is None and "machine was lost" in lost.error
    assert len(ask(SPACE, "tpe", 1, [failed, good, lost], 2, "higher")) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_a_failure(value):
    """It would else be the least of all losses, or hide it."""
    (trial,) = together([["{}"]], [[attempt("{}", lambda setting: value)]])
    assert trial == Trial({}, None, f"TrainingError: reached {value}, expected a finite number")


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("cause", [Interrupted("SIGTERM"), StorageUnreachable("s3://b: no answer")])
def test_an_interrupted_trial_has_not_failed(cause, wrapped):
    """A trial whose machine is evicted, or whose store is away, is left to whoever tries again, also where a task has made
    another error of it."""

    def stopped(setting):
        if wrapped:
            raise RuntimeError("try again") from cause
        raise cause

    with pytest.raises((Interrupted, StorageUnreachable, RuntimeError)):
        attempt("{}", stopped)


def test_the_best_is_the_first_of_equals():
    """Without one that succeeded, the errors are told, each once."""
    trials = [Trial({}, 0.2), Trial({}, None, "x"), Trial({}, 0.3), Trial({}, 0.3)]
    assert best(trials, ACCURACY) == 2 and best(trials, ERROR) == 0
    with pytest.raises(TrainingError, match=r"no trial of the sweep succeeded:\n  x$"):
        best([Trial({}, None, "x")] * 2, ACCURACY)


@pytest.mark.parametrize(("trials", "parallel", "says"), [(0, 1, "trials = 0"), (1, 0, "parallel = 0"), (3, 1, "has only 2 settings")])
def test_a_sweep_that_cannot_be_is_refused(trials, parallel, says):
    """Before anything is started."""
    with pytest.raises(ValueError, match=says):
        require_possible({"rules": SPACE["rules"]}, "tpe", trials, parallel)


def test_a_round_that_could_not_run_ends_the_sweep():
    """Where every machine was refused, so would be those of the next round."""
    with pytest.raises(TrainingError, match="round 2: none of its 2 trials could run"):
        together([["{}"], ["{}", "{}"]], [['{"value": 0.1}'], [None, None]])
