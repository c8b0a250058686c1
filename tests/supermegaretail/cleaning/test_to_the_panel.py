"""From a retailer's files to the panel: acquire, clean and build agree on what they hand on."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.supermegaretail.delivery_of import deliver
from trainworks.supermegaretail import simulated
from trainworks.supermegaretail.cleaning.clean import clean
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel, State
from trainworks.supermegaretail.tables.acquire import acquire

COLUMNS = "date: week_start, product: sku, kind: type"
SALES = "week_start,store,sku,quantity"


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """Stages' outputs go into the test's folder."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))


def panel_of(source: Path, columns: str = "", **knobs) -> tuple[Panel, dict, dict]:
    """The panel of *source*, its ledger, and reason → corrected lines of sales."""
    folders, corrected = [], {}
    for number, rows in enumerate(acquire(str(source), columns)):
        folders.append(source.parent / f"lines-{number}")
        folders[-1].mkdir()
        for reason, count in clean(rows, CleanConfig(), folders[-1]).get("sales", {}).get("corrected", {}).items():
            corrected[reason] = corrected.get(reason, 0) + count
    out = source.parent / "panel"
    out.mkdir()
    ledger = build(folders, PanelConfig(**knobs), out)
    return Panel.load(out), ledger, corrected


def weeks(first: str, count: int) -> list[date]:
    return [date.fromisoformat(first) + timedelta(weeks=week) for week in range(count)]


def rows(store: str, product: str, days: list[date], quantity: int = 20) -> list[str]:
    """Lines of CSV with quantities around *quantity*."""
    return [f"{day},{store},{product},{quantity + number % 5}" for number, day in enumerate(days)]


def csv(header: str, *parts: list[str]) -> str:
    return "\n".join([header, *(row for part in parts for row in part)]) + "\n"


def test_a_drawn_retailer_is_read_as_it_was_drawn(tmp_path):
    """Sales, promotions, prices, closed stores and empty shelves of every table arrive in their cells."""
    truth = simulated.draw(stores=2, products=3, periods=30)
    panel, _, _ = panel_of(simulated.write(truth, tmp_path / "source"))
    known = truth.sold.shape[1]
    open_cells = ~truth.closed[:, :known] & ~truth.empty
    order = [truth.keys.index(key) for key in zip(panel.series["store"].to_pylist(), panel.series["product"].to_pylist(), strict=True)]
    assert panel.starts[0] == truth.starts[0] and panel.known == known
    np.testing.assert_array_equal(panel.demand[open_cells[order]], truth.sold[order][open_cells[order]])
    np.testing.assert_array_equal(panel.covariates["promotion"][:, :known] > 0, truth.promoted[order][:, :known])
    np.testing.assert_allclose(panel.covariates["price"], truth.price[order][:, : panel.covariates["price"].shape[1]], rtol=1e-6)
    assert panel.series["category"].to_pylist() == [f"category {int(product[1:]) % 2}" for product in panel.series["product"].to_pylist()]


def test_returns_are_counted_and_no_demand(tmp_path):
    """A line of its own beside the sale of the week; a store that only takes back sells nothing."""
    days = weeks("2024-01-04", 30)
    sold = [f"{row},sale" for row in rows("0001", "A", days)]
    returned = [f"{day},0001,A,-3,return" for day in days[::4]] + [f"{day},0101,A,-1,return" for day in days]
    panel, ledger, corrected = panel_of(deliver(tmp_path / "source", sales_csv=csv(f"{SALES},kind", sold, returned)), COLUMNS)
    assert corrected == {"a return, which is no demand": 38}
    assert panel.demand[0].tolist() == [20 + number % 5 for number in range(30)] and not panel.demand[1].any()
    assert any("0101" in warning for warning in ledger["warnings"])


def test_weeks_that_begin_on_saturday_stay(tmp_path):
    """A store whose weeks begin on Monday is named, and not shifted."""
    on_saturdays = [rows(f"000{store}", "A", weeks("2024-01-06", 20)) for store in range(4)]
    sales = csv(SALES, *on_saturdays, rows("9999", "A", weeks("2024-01-08", 20)))
    panel, ledger, _ = panel_of(deliver(tmp_path / "source", sales_csv=sales), COLUMNS)
    assert list(ledger["left_out"]["stores"]) == ["9999"] and str(panel.starts[-1]) == "2024-06-15"


def test_an_empty_shelf_is_no_zero(tmp_path):
    """A table of stock with one measure of its own tells: days on which there was any."""
    days = weeks("2024-01-04", 20)
    sales = csv(SALES, rows("0001", "A", days), rows("0100", "A", days[:8] + days[11:]), [f"{day},0100,A,0" for day in days[8:11]])
    stock = csv("week_start,store,sku,in_stock_days", [f"{day},0100,A,{0 if 8 <= week < 11 else 7}" for week, day in enumerate(days)])
    panel, _, _ = panel_of(deliver(tmp_path / "source", sales_csv=sales, stock_csv=stock), COLUMNS)
    assert np.flatnonzero(panel.state[1] == State.OUT_OF_STOCK).tolist() == [8, 9, 10]


def test_a_product_that_is_only_planned_is_a_series(tmp_path):
    """A promotion after the end of sales names a product that nobody sold yet."""
    days = weeks("2024-01-04", 20)
    plan = csv("week_start,store,sku,type,extent", [f"{days[-1] + timedelta(weeks=1)},0001,NEW,feature,1.0"])
    sales = csv(SALES, rows("0001", "A", days), rows("0999", "A", days[-3:]))
    panel, _, _ = panel_of(deliver(tmp_path / "source", sales_csv=sales, promotions_csv=plan), COLUMNS)
    assert list(zip(panel.series["store"].to_pylist(), panel.series["product"].to_pylist(), strict=True)) == [
        ("0001", "A"),
        ("0001", "NEW"),
        ("0999", "A"),
    ]
    assert panel.covariates["promotion.feature"][1, 20] == 1


def test_a_table_of_ones_own_is_a_covariate_whatever_its_columns_are_called(tmp_path):
    """Words of SQL, spaces and signs too."""
    days = weeks("2024-01-04", 20)
    weather = csv("week_start,Rain (mm),order,day", [f"{day},{week / 2},{week},4" for week, day in enumerate(days)])
    source = deliver(tmp_path / "source", sales_csv=csv(SALES, rows("0001", "A", days)), weather_csv=weather)
    panel, _, _ = panel_of(source, COLUMNS, covariates="weather@past(1)")
    assert panel.covariates["weather.Rain (mm)"][0, :3].tolist() == [0, 0.5, 1] and panel.covariates["weather.order"][0, 2] == 2
