"""Sources of the kinds that users of such tools have reported faults with: what is right of each, from its tables to its forecasts."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.supermegaretail import stages
from trainworks.errors import DataError
from trainworks.supermegaretail.backtest.parts import COLUMNS as QUANTILES
from trainworks.supermegaretail.models.heads import pinball
from trainworks.supermegaretail.simulated import write_csv

COLUMNS = "date: week_start, product: sku, kind: type"
HEADER = "week_start store sku quantity"
FIRST, WEEKS, LEVEL = date(2024, 1, 4), 60, 20


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """What acquire keeps goes into the test's folder."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))


def week(number: int, first: date = FIRST) -> str:
    """The first day of a week, counted from 0."""
    return str(first + timedelta(weeks=number))


def sold(stores: list[str], weeks: range = range(WEEKS), first: date = FIRST, seed: int = 1, sku: str = "A", times=None) -> list[list]:
    """Lines of sales around LEVEL; *times* multiplies that of (store's place, week)."""
    draws = np.random.default_rng(seed)
    return [
        [week(at, first), store, sku, draws.poisson(LEVEL * (times(place, at) if times else 1))]
        for place, store in enumerate(stores)
        for at in weeks
    ]


LEARNING = "exponential_smoothing + boosting"
STORES = [f"{number:04d}" for number in range(8)]


def ahead(table: pa.Table, **keys: str) -> dict[str, list]:
    """The forecasts of one series, step by step."""
    for name, value in keys.items():
        table = table.filter(pc.equal(table[name], value))
    return table.to_pydict()


def is_sound(table: pa.Table) -> bool:
    """Whether all quantiles are finite, none negative, and each at least the one below it."""
    quantiles = np.stack([table[name].to_numpy() for name in QUANTILES], axis=1)
    return bool(np.isfinite(quantiles).all() and (quantiles >= 0).all() and (np.diff(quantiles, axis=1) >= 0).all())


def test_a_new_store_and_a_new_product_are_forecast_like_the_others_and_flagged(tmp_path):
    """A store of three weeks and a product that is only in the plan sell what stores sell, not nothing, and say so."""
    write_csv(tmp_path / "source/sales.csv", HEADER, [*sold(STORES), *sold(["0999"], range(WEEKS - 3, WEEKS))])
    write_csv(tmp_path / "source/promotions.csv", "week_start store sku type", [[week(WEEKS + 1), "0001", "NEW", "feature"]])
    table = stages.run(tmp_path / "source", tmp_path / "made", COLUMNS).forecaster.forecast()
    assert is_sound(table) and len(table) == 4 * (len(STORES) + 2)
    for one in (ahead(table, store="0999"), ahead(table, product="NEW")):
        assert one["pooled"] == [True] * 4 and all(LEVEL / 2 < median < LEVEL * 2 for median in one["q0.5"])
    assert not any(ahead(table, store="0001", product="A")["pooled"])


@pytest.fixture
def leaking(tmp_path):
    """Sales that treble at random, and footfall that is the very sales of its week."""
    trebled = np.random.default_rng(0).random((len(STORES), WEEKS)) < 0.15
    times = lambda place, at: 3 if trebled[place, at] else 1  # noqa: E731
    lines = sold(STORES, times=times)
    write_csv(tmp_path / "source/sales.csv", HEADER, lines)
    write_csv(tmp_path / "source/footfall.csv", "week_start store sku footfall", lines)
    return tmp_path


@pytest.mark.parametrize("when", ["plan", "always"])
def test_what_is_known_only_afterwards_is_no_plan(leaking, when):
    """It is refused by its name, with what to declare."""
    with pytest.raises(DataError, match=rf"footfall@{when}.*2025-02-20.*known only afterwards.*footfall@past\(1\)"):
        stages.to_panel(leaking / "source", leaking / "made", COLUMNS, covariates=f"footfall@{when}")


def test_a_covariate_that_is_the_sales_themselves_betrays_nothing(leaking):
    """Declared as past, what ships with it forecasts as well as without it, to a fiftieth, and what learns from it no better."""
    shipped, learned = [], []
    for covariates in ("", "footfall@past(1)"):
        made = stages.run(leaking / "source", leaking / f"with {covariates}", COLUMNS, LEARNING, covariates=covariates)
        shipped.append(made.json("metrics/metrics.json")["shipped"]["pinball"]["value"])
        rows = made.backtest.filter(pc.equal(made.backtest["model"], "boosting"))
        quantiles = np.stack([rows[name].to_numpy() for name in QUANTILES], axis=1)
        learned.append(pinball(rows["actual"].to_numpy(), quantiles).mean())
    assert shipped[1] == pytest.approx(shipped[0], rel=0.02) and learned[1] > 0.9 * learned[0]


def test_a_promotion_is_forecast_in_its_week_alone(tmp_path):
    """Without its row only that week's forecast is another; all models of a plan see it at any step."""
    offered = lambda place, at: (place * 5 + at) % 8 == 0  # noqa: E731
    times = lambda place, at: 3 if offered(place, at) else 1  # noqa: E731
    promoted = [[week(at), store, "A", "feature"] for place, store in enumerate(STORES) for at in range(WEEKS) if offered(place, at)]
    models = "exponential_smoothing + lift_smoothing + boosting + average(lift_smoothing, boosting)"
    tables = []
    for planned in ([[week(WEEKS + 2), "0000", "A", "feature"]], []):
        source = tmp_path / f"with {len(planned)}"
        write_csv(source / "sales.csv", HEADER, sold(STORES, times=times))
        write_csv(source / "promotions.csv", "week_start store sku type", [*promoted, *planned])
        made = stages.run(source, tmp_path / f"made {len(planned)}", COLUMNS, models)
        assert made.forecaster.features["model"] != "exponential_smoothing"
        tables.append(made.forecaster.forecast())
    steps, without = (ahead(table, store="0000") for table in tables)
    assert steps["q0.5"][2] >= 1.8 * steps["q0.5"][1]
    for name in ("mean", *QUANTILES):
        assert [steps[name][at] for at in (0, 1, 3)] == [without[name][at] for at in (0, 1, 3)]
        assert steps[name][2] > without[name][2]


def test_returns_are_no_demand_and_are_counted(tmp_path):
    """Demand is what was sold; a series of returns alone is forecast as nothing; each line of them is in the ledger."""
    returned = [[week(at), "0101", "A", -1] for at in range(WEEKS)] + [[week(at), "0000", "A", -25] for at in range(3, WEEKS, 3)]
    write_csv(tmp_path / "source/sales.csv", HEADER, [*sold(STORES), *returned])
    made = stages.run(tmp_path / "source", tmp_path / "made", COLUMNS, LEARNING)
    table = made.forecaster.forecast()
    counted = [ledger for ledger in (made.json(f"{lines.name}/ledger.json").get("sales") for lines in made.lines) if ledger]
    assert sum(ledger["corrected"]["a return, which is no demand"] for ledger in counted) == len(returned)
    assert is_sound(table) and ahead(table, store="0101")["q0.99"] == [0] * 4
    assert all(LEVEL * 0.8 < median < LEVEL * 1.2 for median in ahead(table, store="0000")["q0.5"])
    assert "store 0101 product A has lines, but never sold anything" in made.panel_ledger["warnings"]


def test_weeks_may_begin_on_any_day_and_a_store_with_others_is_refused_by_name(tmp_path):
    """The weeks ahead begin on the same day; what belongs to no week of the others is not shifted into one."""
    saturday, monday = date(2024, 1, 6), date(2024, 1, 1)
    write_csv(tmp_path / "source/sales.csv", HEADER, [*sold(["9999"], first=monday), *sold(STORES, first=saturday)])
    made = stages.run(tmp_path / "source", tmp_path / "made", COLUMNS)
    table = made.forecaster.forecast()
    assert [str(start) for start in ahead(table, store="0000")["start"]] == [week(WEEKS + step, saturday) for step in range(4)]
    assert is_sound(table) and set(table["store"].to_pylist()) == set(STORES)
    reason = "its periods begin on Monday, those of the others on Saturday"
    assert made.panel_ledger["left_out"]["stores"] == {"9999": reason}
    assert f"store 9999 is left out: {reason}" in made.panel_ledger["warnings"]


EMPTY = range(WEEKS - 6, WEEKS)


@pytest.fixture
def emptied(tmp_path):
    """A store without stock in its newest six weeks."""
    lines = [[day, store, sku, 0 if store == "0003" and day >= week(EMPTY[0]) else units] for day, store, sku, units in sold(STORES)]
    write_csv(tmp_path / "source/sales.csv", HEADER, lines)
    return tmp_path


def test_an_empty_shelf_is_not_a_lack_of_demand(emptied):
    """With stock the weeks are neither learned from nor judged by, and the store is forecast as before."""
    in_stock = [[week(at), "0003", "A", 0 if at in EMPTY else 7] for at in range(WEEKS)]
    write_csv(emptied / "source/stock.csv", "week_start store sku in_stock_days", in_stock)
    made = stages.run(emptied / "source", emptied / "made", COLUMNS)
    assert all(LEVEL * 0.8 <= median <= LEVEL * 1.2 for median in ahead(made.forecaster.forecast(), store="0003")["q0.5"])
    judged = ahead(made.backtest, store="0003", model="exponential_smoothing")
    assert [actual is None for actual in judged["actual"]] == [str(start) >= week(EMPTY[0]) for start in judged["start"]]
    assert not made.panel_ledger["warnings"]


def test_without_stock_zeros_that_cannot_be_chance_get_a_warning_with_their_name(emptied):
    """It says which series, since when, and how unlikely it is."""
    (warning,) = stages.to_panel(emptied / "source", emptied / "made", COLUMNS).panel_ledger["warnings"]
    assert "store 0003 product A sold nothing for 6 weeks from 2025-01-16" in warning and "1 in 10^5" in warning


def test_series_of_one_observation_zeros_or_a_constant_are_forecast_too(tmp_path):
    """What never varies stays as it is, what never sold stays at nothing, and a single week is no level of its own."""
    odd = [[week(at), "zero", "A", 0] for at in range(WEEKS)] + [[week(at), "same", "A", 7] for at in range(WEEKS)]
    write_csv(tmp_path / "source/sales.csv", HEADER, [*sold(STORES), *odd, [week(WEEKS - 2), "once", "A", 12]])
    made = stages.run(tmp_path / "source", tmp_path / "made", COLUMNS)
    table = made.forecaster.forecast()
    assert is_sound(table) and "store zero product A has lines, but never sold anything" in made.panel_ledger["warnings"]
    assert ahead(table, store="zero")["q0.99"] == [0] * 4
    assert ahead(table, store="same")["mean"] == pytest.approx([7] * 4, rel=0.05)
    assert ahead(table, store="once")["pooled"] == [True] * 4 and ahead(table, store="once")["q0.5"][0] > 0
