"""The watch as a workflow, from files of sales to the next release."""

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import watching
from trainworks.release import releases, stored
from trainworks.supermegaretail.delivery import forecasts
from trainworks.supermegaretail.monitoring.watch import recall
from trainworks.supermegaretail.quantiles import COLUMNS
from workflows.supermegaretail import watch

HISTORY, MODELS = 30, "exponential_smoothing + promotion_regression"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # flytekit's own
def test_a_release_that_forecasts_badly_is_replaced_in_the_same_workflow(tmp_path, monkeypatch):
    """By one with its knobs, trained on the newest sales; forecasts of the old one count no more, so that the next watch trains nothing."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))
    shop = watching.retailer(tmp_path, (), stores=2, products=4, history=HISTORY)
    release, to = str(tmp_path / "release"), str(tmp_path / "forecasts")
    origin = shop.whole.known - 3
    assert watching.train(shop.lines, shop.whole.until(origin, 4), release, tmp_path / "train", MODELS, "ordered >= 1", 2).moved
    first = releases.current(release).version
    (tmp_path / "week").mkdir()
    shop.whole.until(origin, 4).save(tmp_path / "week")
    place = Path(forecasts.write(release, tmp_path / "week", to))
    table = forecasts.read(str(place))
    for name in ("mean", *COLUMNS):
        table = table.set_column(table.column_names.index(name), name, pc.multiply(table[name], 5.0))
    pq.write_table(table, place)
    inputs = {"source": str(tmp_path / "source"), "release": release, "forecasts": to, "patience": 2, "history": 8}
    assert watch(**inputs).verdict == "retrain"
    assert recall(to)["retrained"]["outcome"] == "released" and recall(to)["release"] == first
    second = releases.current(release)
    assert second.version != first and second.previous == first
    knobs = stored.locate(release).facts["config"]
    assert (knobs["models"], knobs["history"], knobs["origins"]) == (MODELS, 8, 2)
    assert watch(**inputs).verdict == "ok" and recall(to)["others"] == {first: [str(shop.whole.starts[origin])]}
    assert releases.current(release) == second
