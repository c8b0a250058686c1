"""How good the files are that ship."""

import json
import math

import pyarrow.parquet as pq
import pytest

from tests.supermegaretail import toy_forecaster, toy_panel, toy_run
from trainworks.errors import DataError
from trainworks.release import scores
from trainworks.supermegaretail.evaluation.evaluate import _plan, evaluate
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.forecaster import Forecaster


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folders = toy_run.folders(tmp_path_factory.mktemp("run"))
    out = folders["panel"].parent / "metrics"
    out.mkdir()
    evaluate(folders["forecaster"], folders["panel"], folders["backtest"], folders["recipe"], "", CostConfig(), out)
    return folders | {"metrics": out}


@pytest.fixture(scope="module")
def metrics(made):
    return json.loads((made["metrics"] / "metrics.json").read_text())


def test_what_is_measured_is_what_the_files_forecast_at_the_test_origin(made, metrics):
    """Through the serving module, four weeks before the end of the sales."""
    rows = pq.read_table(made["metrics"] / "forecasts.parquet")
    served = Forecaster.load(made["forecaster"]).forecast(origin="2024-01-22")
    assert metrics["origin"] == "2024-01-22" and rows["q0.95"].equals(served["q0.95"])
    assert rows.column_names == pq.read_table(made["backtest"][0] / "backtest.parquet").column_names
    assert metrics["shipped"]["rows"] == 160 and rows["actual"].null_count == 0


def test_a_model_that_knows_promotions_beats_one_that_does_not(metrics):
    """By an interval, in units, in money, and where there is a promotion above all."""
    assert metrics["gains"]["pinball_share"]["interval"][0] > 0
    parts = metrics["slices"]["promotion"]
    assert parts["promoted"]["gains"]["pinball"]["value"] > parts["not promoted"]["gains"]["pinball"]["value"]
    weighted = sum(part["rows"] * part["pinball"]["value"] for part in parts.values()) / 160
    assert weighted == pytest.approx(metrics["shipped"]["pinball"]["value"])


def test_scores_are_in_the_halls_form_and_lower_is_better(metrics):
    """The objective is the pinball loss, gained over the best baseline."""
    parsed = scores.parse(metrics)
    assert (parsed.main.name, parsed.main.better, parsed.main.unit) == ("pinball loss", "lower", "units")
    assert parsed.main.gain.over == "the best baseline, naive"
    assert parsed.main.gain.value == pytest.approx(metrics["gains"]["pinball"]["value"])


def test_the_table_has_every_model_at_every_origin_with_its_seconds(made):
    """Whatever ships."""
    table = pq.read_table(made["metrics"] / "scores.parquet").to_pylist()
    assert {(row["model"], row["origin"]) for row in table} == {
        (model, str(toy_panel.panel().starts[origin])) for model in toy_run.MODELS for origin in toy_run.ORIGINS
    }
    assert all(row["seconds"] == 0.01 and math.isfinite(row["pinball"]) for row in table)


@pytest.mark.parametrize(
    ("planned", "missing"), [(0, {"promotion": 12 * 4, "price": 12 * 4}), (2, {"promotion": 24, "price": 24}), (4, {})]
)
def test_where_the_plan_ends_is_told(tmp_path, planned, missing):
    """Cells of the periods ahead of the newest sales for which something else must stand."""
    panel = toy_panel.panel(planned=planned)
    assert _plan(Forecaster.load(toy_forecaster.write(panel, tmp_path)), panel) == {"cells": 48, "missing": missing}


def test_a_release_is_measured_on_the_same_cells(tmp_path, made):
    """Its own files at today's test origin: the same ones gain nothing; one that cannot be compared is told with why."""
    worse = toy_forecaster.write(toy_panel.panel(stores=toy_run.STORES, planned=0), tmp_path / "worse", promotion=-0.5)
    daily = toy_panel.panel(planned=0)
    object.__setattr__(daily, "keys", ("product",))
    other = toy_forecaster.write(daily, tmp_path / "other")
    results = {}
    for name, release in (("same", made["forecaster"]), ("worse", worse), ("other", other)):
        out = tmp_path / f"metrics-{name}"
        out.mkdir()
        evaluate(made["forecaster"], made["panel"], made["backtest"], made["recipe"], str(release), CostConfig(), out)
        results[name] = json.loads((out / "metrics.json").read_text())
    assert results["same"]["over_release"]["pinball"] == {"value": 0, "interval": [0, 0]}
    assert results["worse"]["over_release"]["pinball"]["interval"][0] > 0
    assert "over_release" not in results["other"] and "a forecaster of product, week" in results["other"]["release"]["unreadable"]


def test_a_backtest_without_the_test_origin_is_refused(tmp_path, made):
    """There would be nothing to compare with."""
    parts = [part for part in made["backtest"] if not part.name.endswith("-55")]
    with pytest.raises(DataError, match="the backtest has no row of naive at 2024-01-22"):
        evaluate(made["forecaster"], made["panel"], parts, made["recipe"], "", CostConfig(), tmp_path)
