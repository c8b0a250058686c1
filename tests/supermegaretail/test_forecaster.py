"""Serving a bundle."""

from datetime import date

import numpy as np
import pytest

from tests.supermegaretail import toy_forecaster, toy_panel
from trainworks.errors import DataError, IntegrityError
from trainworks.storage import manifest
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.quantiles import COLUMNS

STARTS = ["2024-02-26", "2024-03-04", "2024-03-11", "2024-03-18"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy_forecaster.write(toy_panel.panel(), tmp_path_factory.mktemp("forecaster"))


@pytest.fixture(scope="module")
def forecaster(folder):
    return Forecaster.load(folder)


def of(table, product, store="0000"):
    return [row for row in table.to_pylist() if (row["store"], row["product"]) == (store, product)]


def test_it_forecasts_every_series_for_the_periods_after_the_newest(forecaster):
    """Finite means and quantiles in order, none negative."""
    table = forecaster.forecast()
    assert table.column_names == ["store", "product", "start", "mean", *COLUMNS, "pooled"]
    assert [str(row["start"]) for row in of(table, "P3", "0002")] == STARTS and len(table) == 12 * 4
    quantiles = np.stack([table[name].to_numpy() for name in COLUMNS], 1)
    assert np.isfinite(quantiles).all() and (np.diff(quantiles, axis=1) >= 0).all() and (quantiles >= 0).all()
    assert not table["pooled"].to_numpy(zero_copy_only=False).any()


def test_a_planned_promotion_shows_in_its_period_only(forecaster):
    """Step 3 doubles; steps 1, 2 and 4 stay, bit by bit."""
    plan = {"store": ["0000"] * 4, "product": ["P2"] * 4, "start": STARTS}
    without, offered = (
        [row["mean"] for row in of(forecaster.forecast(plan=plan | {"promotion": promotion}), "P2")]
        for promotion in ([0, 0, 0, 0], [0, 0, 1, 0])
    )
    assert offered[2] == pytest.approx(without[2] * np.exp(0.48), rel=1e-5)
    assert offered[:2] + offered[3:] == without[:2] + without[3:]


def test_newer_sales_move_the_origin(forecaster):
    """One week on, the four after it are forecast, from the new level."""
    sales = {"store": ["0000"], "product": ["P0"], "date": [date(2024, 3, 3)], "quantity": [500]}
    rows = of(forecaster.forecast(sales), "P0")
    assert str(rows[0]["start"]) == "2024-03-04" and rows[0]["mean"] > 50


def test_an_earlier_origin_knows_nothing_later(folder, forecaster):
    """Its forecasts are those of a forecaster whose sales end there."""
    panel = forecaster.panel
    known = np.flatnonzero(panel.starts == np.datetime64("2024-01-01"))[0]
    assert forecaster.forecast(origin="2024-01-01").equals(forecaster.of(panel.until(int(known), 4), int(known)))
    assert forecaster.forecast(origin=date(2024, 1, 1)).num_rows == 48


def test_an_origin_that_begins_no_period_is_refused(forecaster):
    """With the range of those that do."""
    with pytest.raises(
        DataError, match=r"origin = '2024-01-02': no week with sales begins then; expected one from 2023-01-02 to 2024-02-19"
    ):
        forecaster.forecast(origin="2024-01-02")


def test_unknown_products_and_stores_are_pooled(forecaster):
    """Flagged, finite, and near the level of their like: P3 of an unknown store sells as P3 elsewhere."""
    starts = [*STARTS, *STARTS]
    plan = {"store": ["0000"] * 4 + ["0999"] * 4, "product": ["NEW"] * 4 + ["P3"] * 4, "start": starts, "promotion": [0] * 8}
    table = forecaster.forecast(plan=plan)
    usual = np.mean([row["mean"] for store in ("0000", "0001", "0002") for row in of(table, "P3", store)])
    for product, store in (("NEW", "0000"), ("P3", "0999")):
        rows = of(table, product, store)
        assert len(rows) == 4 and all(row["pooled"] and np.isfinite(row["q0.99"]) and row["mean"] > 0 for row in rows)
    assert of(table, "P3", "0999")[1]["mean"] == pytest.approx(usual, rel=0.5)


def test_what_is_known_not_to_sell_is_zero(folder, forecaster):
    """A store that is closed in the second week ahead sells nothing in it."""
    panel = toy_panel.panel()
    panel.sells[0, 61] = False
    rows = forecaster.of(panel, 59).to_pylist()[:4]
    assert [row["mean"] > 0 for row in rows] == [True, False, True, True] and rows[1]["q0.99"] == 0


def test_a_panel_of_another_grain_is_refused(forecaster):
    """By both."""
    other = toy_panel.panel()
    object.__setattr__(other, "period", "day")
    with pytest.raises(DataError, match=r"a panel of store, product, day, and a forecaster of store, product, week"):
        forecaster.of(other, 50)


def test_a_panel_without_a_covariate_that_it_reads_is_refused(forecaster):
    """By its name."""
    other = toy_panel.panel()
    del other.covariates["promotion"]
    with pytest.raises(DataError, match=r"a panel without promotion, which this forecaster reads"):
        forecaster.of(other, 50)


@pytest.mark.parametrize("name", ["forecaster.onnx", "features.json", "state.parquet"])
def test_a_changed_byte_is_refused_before_the_file_is_parsed(name, tmp_path):
    """By the manifest."""
    toy_forecaster.write(toy_panel.panel(known=20), tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=name):
        Forecaster.load(tmp_path)


def test_another_pipelines_bundle_is_refused(tmp_path):
    """By its name."""
    toy_forecaster.write(toy_panel.panel(known=20), tmp_path)
    (tmp_path / manifest.NAME).unlink()
    manifest.write(tmp_path, pipeline="photostock")
    with pytest.raises(IntegrityError, match="a bundle of photostock, which is no forecaster"):
        Forecaster.load(tmp_path)


def test_a_schema_of_the_future_is_refused(tmp_path):
    """With the one that is read."""
    toy_forecaster.write(toy_panel.panel(known=20), tmp_path)
    text = (tmp_path / "features.json").read_text().replace('"schema": 1', '"schema": 2')
    (tmp_path / "features.json").write_text(text)
    (tmp_path / manifest.NAME).unlink()
    manifest.write(tmp_path)
    with pytest.raises(IntegrityError, match="has schema 2, this trainworks reads 1"):
        Forecaster.load(tmp_path)
