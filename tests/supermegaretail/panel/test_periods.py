"""Periods as the dates of sales say: their first day, and which of them are whole."""

import numpy as np
import pyarrow as pa
import pytest

from trainworks.errors import DataError
from trainworks.supermegaretail.panel.periods import Periods, length_of_rows, periods

NONE = np.zeros(0, "datetime64[D]")


def days(first: str, last: str, step: int = 1) -> np.ndarray:
    """Every *step*-th day from *first* to *last*."""
    return np.arange(np.datetime64(first), np.datetime64(last) + 1, step)


def of(stores: dict[str, np.ndarray], period: str = "week", planned: np.ndarray = NONE, closed: np.ndarray = NONE) -> Periods:
    """The periods of stores that have one line on each of their days."""
    names = [store for store, dates in stores.items() for _ in dates]
    dates = np.concatenate(list(stores.values())).astype(np.int64)
    return periods(period, pa.table({"store": names, "day": dates, "lines": np.ones(len(names), np.int64)}), planned, closed)


def test_weekly_sales_say_on_which_day_weeks_begin():
    """Saturdays; nothing is incomplete, for a date stands for its week."""
    made = of({"a": days("2024-01-06", "2024-03-02", 7)})
    assert (made.starts[0], made.starts[-1], len(made.starts), made.dropped) == (
        np.datetime64("2024-01-06"),
        np.datetime64("2024-03-02"),
        9,
        0,
    )
    assert made.finest == "week"


def test_daily_sales_take_the_weekday_of_the_plan_or_monday():
    """Promotions from Thursday to Wednesday make weeks from Thursday."""
    sales = {"a": days("2024-01-01", "2024-03-31")}
    assert of(sales).starts[0] == np.datetime64("2024-01-01")
    assert of(sales, planned=days("2024-01-04", "2024-03-28", 7)).starts[0] == np.datetime64("2024-01-04")
    assert of(sales, planned=days("2024-01-04", "2024-03-28", 5)).starts[0] == np.datetime64("2024-01-01")


def test_incomplete_first_and_last_weeks_are_dropped_and_counted():
    """A Sunday in front and two days behind."""
    made = of({"a": days("2024-01-07", "2024-03-05"), "b": days("2024-01-07", "2024-03-05")})
    assert (made.starts[0], made.starts[-1], made.dropped) == (np.datetime64("2024-01-08"), np.datetime64("2024-02-26"), 2 * (1 + 2))


def test_days_on_which_stores_are_shut_do_not_make_a_week_incomplete():
    """Sundays as ever, and a holiday by the calendar."""
    sales = days("2024-01-01", "2024-03-30")
    weekdays = sales[(sales - np.datetime64("2024-01-01")).astype(int) % 7 != 6]
    assert of({"a": weekdays}).starts[-1] == np.datetime64("2024-03-25")
    without_saturday = weekdays[weekdays < np.datetime64("2024-03-30")]
    assert of({"a": without_saturday}).starts[-1] == np.datetime64("2024-03-18")
    assert of({"a": without_saturday}, closed=days("2024-03-30", "2024-03-30")).starts[-1] == np.datetime64("2024-03-25")


def test_months_are_whole_too():
    """Of daily sales the last month ends with its last day; monthly sales are dated with its first."""
    assert of({"a": days("2024-01-01", "2024-06-29")}, "month").starts[-1] == np.datetime64("2024-05-01")
    monthly = days("2024-01", "2024-06").astype("datetime64[M]").astype("datetime64[D]")
    assert of({"a": monthly}, "month").starts.astype(str).tolist()[-1] == "2024-06-01"
    with pytest.raises(DataError, match="sales come by the month; take month"):
        of({"a": monthly}, "week")


def test_a_missing_week_is_known_by_its_place():
    """Nobody sold anything in it."""
    weeks = np.delete(days("2024-01-06", "2024-03-02", 7), 4)
    made = of({"a": weeks, "b": weeks})
    assert (made.missing, len(made.starts)) == ((4,), 9)


def test_a_store_on_other_weekdays_is_refused_by_name():
    """Whether it has its own weekday or several."""
    saturdays = days("2024-01-06", "2024-03-02", 7)
    made = of({"a": saturdays, "b": saturdays, "c": saturdays + 2, "d": saturdays[:2]})
    assert made.refused == {"c": "its periods begin on Monday, those of the others on Saturday"}
    assert of({"a": saturdays, "b": saturdays, "e": days("2024-01-06", "2024-01-09")}).refused.keys() == {"e"}


def test_what_a_promotion_without_an_end_lasts():
    """Its period if it begins with one, a week if all begin on one weekday, else the day."""
    made = of({"a": days("2024-01-06", "2024-03-02", 7)})
    ones = np.ones(9, np.int64)
    assert length_of_rows(days("2024-01-06", "2024-03-02", 7), ones, made) == "period"
    assert length_of_rows(days("2024-01-03", "2024-02-28", 7), ones, made) == "week"
    assert length_of_rows(days("2024-01-03", "2024-01-11"), ones, made) == "day"
