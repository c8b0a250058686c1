"""Newer sales and a plan, as a service brings them."""

import numpy as np
import pyarrow as pa
import pytest

from tests.supermegaretail import toy_panel
from trainworks.errors import DataError
from trainworks.supermegaretail.panel.panel import State
from trainworks.supermegaretail.serving.newer import with_plan, with_sales

FIRST = "2024-02-26"
"""The first period of the toy panel without sales, and the last known one."""


@pytest.fixture
def panel():
    return toy_panel.panel(stores=2, products=2, known=60, planned=4)


def sales(*lines):
    return dict(zip(("store", "product", "date", "quantity"), map(list, zip(*lines, strict=True)), strict=True))


def plan(**columns):
    starts = ["2024-02-26", "2024-03-04", "2024-03-11", "2024-03-18"]
    return {"store": ["0000"] * 4, "product": ["P0"] * 4, "start": starts, **columns}


def test_lines_of_a_period_add_up_and_what_has_none_sold_nothing(panel):
    """In the store that sent lines; the other one was closed."""
    newer = with_sales(panel, sales(("0000", "P0", FIRST, 2), ("0000", "P0", "2024-03-03", 3), ("0000", "P0", "2024-03-03", -1)))
    assert newer.known == 61 and len(newer.starts) == 64
    assert newer.demand[:, 60].tolist()[:2] == [5, 0] and np.isnan(newer.demand[2:, 60]).all()
    assert newer.state[:, 60].tolist() == [State.SOLD, State.ZERO, State.CLOSED, State.CLOSED]
    assert np.array_equal(newer.demand[:, :60], panel.demand)


def test_a_line_in_a_known_period_replaces_its_cell(panel):
    """And no other."""
    newer = with_sales(panel, sales(("0001", "P1", "2024-02-19", 77)))
    changed = np.argwhere(newer.demand != panel.demand)
    assert newer.demand[3, 59] == 77 and changed.tolist() == [[3, 59]]


def test_a_missing_period_is_not_one_of_zeros(panel):
    """Lines of the week after next alone are refused."""
    with pytest.raises(DataError, match=r"no line in the week of 2024-02-26, but later ones"):
        with_sales(panel, sales(("0000", "P0", "2024-03-04", 2)))


def test_an_unknown_product_begins_with_its_first_line(panel):
    """Before it was not listed."""
    newer = with_sales(panel, sales(("0000", "NEW", FIRST, 2)))
    assert newer.series["product"].to_pylist()[-1] == "NEW" and newer.demand[-1, 60] == 2
    assert np.isnan(newer.demand[-1, :60]).all() and (newer.state[-1, :60] == State.NOT_LISTED).all()


def test_a_plan_replaces_that_of_the_series_that_it_names(panel):
    """In the covariates that it has."""
    newer = with_plan(panel, plan(promotion=[0, 0, 1, 0]), 4)
    assert newer.covariates["promotion"][0, 60:].tolist() == [0, 0, 1, 0]
    assert np.array_equal(newer.covariates["promotion"][1:], panel.covariates["promotion"][1:])
    assert np.array_equal(newer.covariates["price"], panel.covariates["price"])


def test_a_plan_with_a_missing_period_is_refused(panel):
    """By the series and the day that it lacks."""
    short = {name: values[:2] + values[3:] for name, values in plan(promotion=[0, 0, 1, 0]).items()}
    with pytest.raises(DataError, match=r"plan: 0 rows for 0000 P0 on 2024-03-11; expected one"):
        with_plan(panel, short, 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"promotoin": [0] * 4}, "unknown column 'promotoin'.*did you mean 'promotion'"),
        ({"promotion": ["yes"] * 4}, "promotion is no number"),
        ({"start": ["2024-02-27", "2024-03-04", "2024-03-11", "2024-03-18"]}, "starts on 2024-02-27; expected the first days"),
        ({"start": ["soon"] * 4}, "start is no date"),
        ({"product": [7] * 4}, "product is int64.*expected text"),
    ],
)
def test_a_plan_that_is_not_understood_is_refused(panel, change, words):
    """With what was expected instead."""
    with pytest.raises(DataError, match=words):
        with_plan(panel, plan() | change, 4)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"store": ["0000"], "product": ["P0"], "day": [FIRST], "quantity": [1]}, "unknown column 'day', expected"),
        ({"store": ["0000"], "product": ["P0"], "quantity": [1]}, "no column 'date'"),
        (sales(("0000", "P0", FIRST, None)), "a quantity is missing"),
        (sales(("0000", "P0", "1970-01-01", 1)), "before 2023-01-02"),
    ],
)
def test_sales_that_are_not_understood_are_refused(panel, table, words):
    """With what was expected instead."""
    with pytest.raises(DataError, match=words):
        with_sales(panel, table)


def test_months_are_of_the_calendar(panel):
    """The last day of February lies in February."""
    monthly = toy_panel.panel(stores=1, products=1, known=2, planned=0)
    object.__setattr__(monthly, "period", "month")
    object.__setattr__(monthly, "starts", np.array(["2024-01-01", "2024-02-01"], "datetime64[D]"))
    newer = with_sales(monthly, pa.table(sales(("0000", "P0", "2024-03-31", 4))))
    assert newer.starts[-1] == np.datetime64("2024-03-01") and newer.demand[0, 2] == 4
