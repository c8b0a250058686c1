"""From a panel to the files of a forecaster: parts, choice, what ships, its graph."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from pyarrow import parquet

from tests.supermegaretail.models.priced_panel import draw_priced
from trainworks.errors import DataError, ParityError
from trainworks.supermegaretail.backtest.backtest import backtest
from trainworks.supermegaretail.backtest.choose import all_parts, choose, winner
from trainworks.supermegaretail.backtest.learning import Residuals, union
from trainworks.supermegaretail.backtest.origins import origins
from trainworks.supermegaretail.backtest.parts import Part
from trainworks.supermegaretail.backtest.shipped import ship
from trainworks.supermegaretail.delivery.export import export
from trainworks.supermegaretail.models import heads
from trainworks.supermegaretail.models.knobs import Inputs
from trainworks.supermegaretail.panel.panel import Panel, State
from trainworks.supermegaretail.quantiles import COLUMNS

MODELS = "exponential_smoothing + empirical(26) + lift_smoothing + boosting + average(lift_smoothing, boosting)"
INPUTS = Inputs("lag(1, 2) + mean(4, 13) + sold(8)", "promotion@plan + price@plan", "price: down, promotion: up", 4, 1)
SINGLE = ("exponential_smoothing", "empirical(26)", "lift_smoothing", "boosting")


class Run(NamedTuple):
    """A small backtest in folders."""

    panel: Path
    parts: list[Path]
    chosen: Path
    model: Path
    files: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Three origins of 30 series, five models, and what ships."""
    root = tmp_path_factory.mktemp("backtest")
    made = Run(root / "panel", [], root / "chosen", root / "model", root / "files")
    for folder in (made.panel, made.chosen, made.model, made.files):
        folder.mkdir()
    panel = draw_priced()
    panel.state[2, 70:] = State.CLOSED
    panel.demand[2, 70:] = np.nan
    panel.sells[2, 70:] = False
    panel.save(made.panel)
    for model in SINGLE:
        for origin in origins(80, 4, 4, 3):
            made.parts.append(root / f"{model}-{origin}")
            backtest(made.panel, model, origin, INPUTS, "choose", made.parts[-1])
    choose(made.panel, made.parts, MODELS, "choose", 4, made.chosen)
    ship(made.panel, winner(made.chosen, MODELS), INPUTS, "choose", made.model)
    export(made.model, made.panel, made.files)
    return made


def test_a_part_has_a_row_for_each_series_and_period(run):
    """With quantiles that rise, and what was sold where that is demand; a cell that does not sell is 0."""
    part = Part.load(run.parts[2])
    table = part.rows
    assert table.column_names == ["store", "product", "origin", "start", "model", "mean", *COLUMNS, "actual"]
    assert len(table) == 120
    quantiles = np.stack([table[name].to_numpy() for name in COLUMNS], axis=1)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles >= 0).all()
    assert table["actual"].null_count == 8  # a closed store and a series that was never listed
    assert (quantiles[8:12] == 0).all()
    assert part.facts["model"] == "exponential_smoothing"
    assert part.facts["origin"] == str(table["origin"][0])[:10]


def test_the_best_at_all_origins_but_the_newest_ships(run):
    """The scores are those of the rows before; the best baseline stands beside it."""
    recipe = json.loads((run.chosen / "recipe.json").read_text())
    assert recipe["model"] == min(recipe["scores"], key=recipe["scores"].get)
    assert recipe["model"] in ("boosting", "lift_smoothing", "average(lift_smoothing, boosting)")
    assert recipe["baseline"] in ("exponential_smoothing", "empirical(26)")
    assert len(recipe["origins"]) == 2
    actual, quantiles = [], []
    for part in map(Part.load, run.parts):
        if part.facts["model"] == "boosting" and part.facts["origin"] in recipe["origins"]:
            actual.append(part.rows["actual"].to_numpy())
            quantiles.append(np.stack([part.rows[name].to_numpy() for name in COLUMNS], axis=1))
    known = np.isfinite(np.concatenate(actual))
    assert abs(heads.pinball(np.concatenate(actual)[known], np.concatenate(quantiles)[known]).mean() - recipe["scores"]["boosting"]) < 1e-5


@pytest.mark.parametrize(("better", "ships"), [(1, "exponential_smoothing"), (10, "lift_smoothing")])
def test_what_is_better_by_chance_does_not_ship_in_the_place_of_a_baseline(run, tmp_path, better, ships):
    """A model that is the baseline itself but for the series of which it knows what will be sold: one is chance, a third is not."""
    parts = [part for part in map(Part.load, run.parts) if part.facts["model"] == "exponential_smoothing"]
    folders = [tmp_path / f"{model}-{place}" for model in ("exponential_smoothing", "lift_smoothing") for place in range(3)]
    for folder, part in zip(folders, [*parts, *parts], strict=True):
        rows = part.rows
        if folder.name.startswith("lift"):
            known = (np.arange(len(rows)) < 4 * better) & np.isfinite(rows["actual"].to_numpy())
            for name in COLUMNS:
                value = np.where(known, rows["actual"].to_numpy(), rows[name].to_numpy())
                rows = rows.set_column(rows.column_names.index(name), name, [value])
        replace(part, rows=rows, facts={**part.facts, "model": folder.name.rpartition("-")[0]}).save(folder)
    choose(run.panel, folders, "exponential_smoothing + lift_smoothing", "choose", 4, tmp_path)
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["scores"]["lift_smoothing"] < recipe["scores"]["exponential_smoothing"]
    assert recipe["model"] == ships and (recipe["unsure"] == ["lift_smoothing"]) == (ships == recipe["baseline"])


def test_an_average_is_made_of_its_members_parts(run):
    """Its means are theirs, and nothing is learned again."""
    averages = all_parts([], run.chosen)
    assert len(averages) == 3
    average = Part.load(averages[0])
    members = [part for part in map(Part.load, run.parts) if part.facts["origin"] == average.facts["origin"]]
    means = [part.rows["mean"].to_numpy() for part in members if part.facts["model"] in ("lift_smoothing", "boosting")]
    assert np.allclose(average.rows["mean"].to_numpy(), np.mean(means, axis=0))


def test_what_comes_after_an_origin_changes_no_forecast(run, tmp_path):
    """Sales and states of later periods are others, and every number of the part stays the same bit for bit."""
    panel = Panel.load(run.panel)
    origin = origins(80, 4, 4, 3)[0]
    demand = panel.demand.copy()
    demand[:, origin + 1 :] = np.random.default_rng(0).permutation(demand[:, origin + 1 :].ravel()).reshape(30, -1)
    (tmp_path / "panel").mkdir()
    replace(panel, demand=demand).save(tmp_path / "panel")
    backtest(tmp_path / "panel", "boosting", origin, INPUTS, "choose", tmp_path / "part")
    before = next(part for part in map(Part.load, run.parts) if part.facts["model"] == "boosting").rows
    after = parquet.read_table(tmp_path / "part" / "backtest.parquet")
    assert after.drop_columns("actual").equals(before.drop_columns("actual"))


def test_what_ships_forecasts_as_its_part_at_the_test_origin(run):
    """The graph and head of the files, through the forecaster that serves them."""
    from trainworks.storage import manifest
    from trainworks.supermegaretail.forecaster import Forecaster

    manifest.write(run.files)
    forecaster = Forecaster.load(run.files)
    panel = Panel.load(run.panel)
    table = forecaster.forecast(origin=str(panel.starts[75]))
    recipe = json.loads((run.chosen / "recipe.json").read_text())
    parts = [part for part in map(Part.load, all_parts(run.parts, run.chosen)) if part.facts["model"] == recipe["model"]]
    newest = max(parts, key=lambda part: part.facts["origin"]).rows
    assert np.allclose(table["mean"].to_numpy(), newest["mean"].to_numpy(), rtol=1e-4, atol=1e-5)


def test_a_graph_that_answers_otherwise_is_refused(run, tmp_path):
    """One of another model than the rows that prove it."""
    for file in run.model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    graph = onnx.load(tmp_path / "model.onnx")
    graph.graph.initializer.add().CopyFrom(onnx.numpy_helper.from_array(np.float32(1.001), "more"))
    last = next(node for node in graph.graph.node if node.output[0] == "mean")
    last.output[0] = "before"
    graph.graph.node.append(onnx.helper.make_node("Mul", ["before", "more"], ["mean"]))
    onnx.save(graph, tmp_path / "model.onnx")
    (tmp_path / "out").mkdir()
    with pytest.raises(ParityError, match="mean differs from its model"):
        export(tmp_path, run.panel, tmp_path / "out")


def test_a_missing_part_is_named(run, tmp_path):
    """With its origin."""
    with pytest.raises(DataError, match=r"no part of boosting at 20"):
        choose(run.panel, run.parts[:-1], MODELS, "choose", 4, tmp_path)


def test_a_model_that_cannot_ship_is_told_and_the_next_one_does(run, tmp_path, caplog):
    """ARIMA's part, made the best by hand."""
    for place, part in enumerate(map(Part.load, run.parts[:3])):
        actual = part.rows["actual"].to_numpy()
        rows = part.rows
        for name in ("mean", *COLUMNS):
            rows = rows.set_column(rows.column_names.index(name), name, [np.nan_to_num(actual)])
        model = rows.column_names.index("model")
        rows = rows.set_column(model, "model", [["arima"] * len(rows)])
        replace(part, rows=rows, facts={**part.facts, "model": "arima"}).save(tmp_path / f"arima-{place}")
    choose(run.panel, [*run.parts, *tmp_path.glob("arima-*")], f"{MODELS} + arima", "choose", 4, tmp_path)
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["unshipped"] == "arima"
    assert recipe["model"] == json.loads((run.chosen / "recipe.json").read_text())["model"]
    assert "arima forecasts best, but cannot ship" in caplog.text


def test_the_head_is_the_one_that_fits_the_newest_periods():
    """Smooth sales that vary by a factor take the logarithm; where there are no periods to judge by, counts are assumed."""
    rng = np.random.default_rng(0)
    series, period = np.tile(np.arange(1, 31), 40), np.repeat(np.arange(40), 30)
    mean = np.exp(rng.normal(8, 1, 31))[series]
    sold = mean * np.exp(rng.standard_t(3, len(mean)) * 0.2)
    assert Residuals(mean, sold, series, period, 31).choose(4) == "log_residual"
    newest = period > 37
    assert Residuals(mean[newest], sold[newest], series[newest], period[newest], 31).choose(4) == "negative_binomial"


def test_features_of_all_models_stand_once():
    """In the order in which they are first asked for."""
    assert union(["lag(1, 2) + season", "lag(2, 3) + ewm(0.2)"]) == "lag(1) + lag(2) + season + lag(3) + ewm(0.2)"
