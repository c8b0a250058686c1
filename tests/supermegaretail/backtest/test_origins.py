"""Origins of a backtest: where they lie, and which histories are too short for them."""

import pytest

from trainworks.errors import DataError
from trainworks.supermegaretail.backtest.origins import origins, within


def test_the_newest_origin_leaves_one_horizon_for_the_test():
    """52 weeks: the last origin is the 48th week, the one before four weeks earlier."""
    assert origins(52, 4, 4, 4) == [35, 39, 43, 47]
    assert origins(52, 4, 1, 2) == [46, 47]


def test_the_shortest_history_that_fits_does():
    """One period less is refused, with what would fit."""
    assert origins(16, 4, 2, 4) == [5, 7, 9, 11]
    with pytest.raises(DataError, match="need 16 periods of sales, but only 15 have some: take origins = 3"):
        origins(15, 4, 2, 4)
    assert origins(15, 4, 2, 3) == [6, 8, 10]


def test_a_horizon_longer_than_the_history_is_refused():
    """Before anything is trained."""
    with pytest.raises(DataError, match=r"horizon = 12 periods, but only 9 periods have sales"):
        origins(9, 12, 1, 2)
    with pytest.raises(DataError, match="take a shorter horizon or a finer grain"):
        origins(9, 4, 1, 2)


@pytest.mark.parametrize(("horizon", "step", "count", "words"), [(0, 1, 2, "horizon = 0"), (1, 0, 2, "step = 0"), (1, 1, 1, "origins = 1")])
def test_knobs_out_of_bounds_are_refused(horizon, step, count, words):
    """One origin alone would choose and test at once."""
    with pytest.raises(ValueError, match=words):
        origins(52, horizon, step, count)


@pytest.mark.parametrize(("history", "count"), [(10_000, 4), (13, 4), (8, 2), (9, 3), (2, 2)])
def test_origins_before_a_short_history_do_not_choose(history, count):
    """Of four, four periods apart: the newest, which is the test, and those less than the history before it; one chooses at the least."""
    assert within(history, 4, 4) == count
