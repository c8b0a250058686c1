"""grain and keep, and where periods begin."""

import numpy as np
import pytest

from trainworks.errors import LanguageError
from trainworks.supermegaretail.panel.grain import grain, kept, start_after, start_of
from trainworks.supermegaretail.panel.knobs import PanelConfig


def test_a_grain_is_keys_and_a_period():
    """In the order of the text."""
    assert grain("store, product, week") == (("store", "product"), "week")
    assert grain("region,product,day") == (("region", "product"), "day")


def test_keep_counts_series_or_keys():
    """Empty keeps all."""
    assert kept("product(300) + store(30)", ("store", "product")) == {"product": 300, "store": 30}
    assert kept("", ("product",)) == {}


@pytest.mark.parametrize(
    ("parse", "text", "position", "words"),
    [
        (grain, "store, product", 6, "expected it to end with day, week or month, found 'product'"),
        (grain, "store, product, weak", 15, "did you mean 'week'"),
        (grain, "week", 0, "expected keys in front"),
        (grain, "", 0, "expected it to end with"),
        (grain, "store, store, week", 6, "a second time"),
        (grain, "store; product, week", 0, "expected a name"),
        (lambda text: kept(text, ("product",)), "store(30)", 0, "expected one of series, product"),
        (lambda text: kept(text, ("product",)), "product(0)", 0, "expected a number of them"),
        (lambda text: kept(text, ("product",)), "product", 0, "product(300)"),
    ],
)
def test_a_mistake_has_its_position(parse, text, position, words):
    """And says what was expected there."""
    with pytest.raises(LanguageError) as error:
        parse(text)
    assert error.value.position == position
    assert words in str(error.value)


def test_knobs_are_checked_where_they_are_declared():
    """Before anything is read."""
    with pytest.raises(ValueError, match=r"--panel_on = 'dask': expected one of duckdb, spark"):
        PanelConfig(panel_on="dask")
    with pytest.raises(LanguageError, match="did you mean 'plan'"):
        PanelConfig(covariates="promotion@pln")
    with pytest.raises(ValueError, match=r"--horizon = 0: must be at least 1"):
        PanelConfig(horizon=0)


def test_weeks_begin_on_their_anchor_whatever_the_year():
    """A year of 53 weeks has 53, and a week in which clocks change is a week: days are counted, not hours."""
    thursday = np.datetime64("2020-01-02")
    days = np.arange(np.datetime64("2020-01-02"), np.datetime64("2021-01-07"))
    starts = np.unique(start_of(days, "week", thursday))
    assert len(starts) == 53
    assert (np.diff(starts).astype(int) == 7).all()
    assert start_after(thursday, "week", 52) == np.datetime64("2020-12-31")
    assert start_of(np.array(["2020-03-31"], "datetime64[D]"), "week", thursday)[0] == np.datetime64("2020-03-26")


def test_months_have_their_own_lengths():
    """February too."""
    assert start_after(np.datetime64("2024-01-01"), "month", np.array([-1, 1, 2])).astype(str).tolist() == [
        "2023-12-01",
        "2024-02-01",
        "2024-03-01",
    ]
    assert start_of(np.array(["2024-02-29"], "datetime64[D]"), "month", np.datetime64("2024-01-01"))[0] == np.datetime64("2024-02-01")
