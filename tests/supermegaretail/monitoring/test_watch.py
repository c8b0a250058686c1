"""Forecasts beside sales: what a watch says, and when it asks for a new training."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.supermegaretail import toy_panel, toy_run
from trainworks.errors import DataError, IntegrityError, ReleaseError
from trainworks.release import releases, stored
from trainworks.storage import s3
from trainworks.supermegaretail.delivery import forecasts
from trainworks.supermegaretail.evaluation.losses import pinball
from trainworks.supermegaretail.monitoring import realised
from trainworks.supermegaretail.monitoring.knobs import WatchConfig
from trainworks.supermegaretail.monitoring.watch import ALERT, Watched, concluded, least, recall, watch
from trainworks.supermegaretail.panel.panel import State
from trainworks.supermegaretail.quantiles import COLUMNS

FIRST = 60
"""The newest week with sales when the release begins to forecast."""


class Shop:
    """A release of the toy panel, forecast and watched week by week."""

    def __init__(self, home: Path, bundle: Path, to: str = ""):
        self.home, self.to = home, to or str(home / "forecasts")
        self.release = str(home / "release")
        released = releases.release(bundle, self.release)
        assert released.moved, released.why
        self.version, self.uri = released.version, released.uri
        self.panel = toy_panel.panel(stores=toy_run.STORES, known=FIRST + 16)

    def at(self, week: int) -> Path:
        """The folder of the panel as it is known at the end of a week."""
        folder = self.home / f"week-{week}"
        folder.mkdir(exist_ok=True)
        self.panel.until(week, 4).save(folder)
        return folder

    def forecast(self, *weeks: int, times: float = 1, version: str = "", drop: tuple[str, ...] = ()) -> None:
        """Forecast from the end of each week; all numbers *times* as high as the release has it."""
        for week in weeks:
            place = Path(forecasts.write(self.release, self.at(week), self.to))
            table = forecasts.read(str(place)).drop_columns(list(drop))
            for name in ("mean", *COLUMNS):
                table = table.set_column(table.column_names.index(name), name, pc.multiply(table[name], times))
            pq.write_table(table.replace_schema_metadata({"release": version or self.version}), place)

    def watch(self, week: int, **knobs) -> Watched:
        """What is said at the end of a week."""
        return watch(self.release, self.at(week), self.to, WatchConfig(**knobs))

    @property
    def alert(self) -> dict:
        """The content of ``alert.json``."""
        return recall(self.to)


@pytest.fixture
def shop(delivered, tmp_path):
    """A release that has forecast nothing yet."""
    return Shop(tmp_path, delivered["bundle"])


def test_before_anything_was_sold_there_is_nothing_to_compare(shop):
    """That is ok, and said; so where nothing was ever forecast."""
    assert shop.watch(FIRST).why == f"nothing to compare yet: of what {shop.version} forecast nothing has been sold so far"
    shop.forecast(FIRST)
    watched = shop.watch(FIRST)
    assert watched.verdict == "ok" and watched.why.startswith("nothing to compare yet")
    assert shop.alert["cells"] == dict.fromkeys(shop.alert["cells"], 0) | {realised.NOT_YET: 160}


def test_forecasts_as_good_as_promised_are_ok(shop):
    """Losses are those of the forecasts and of the baseline of the bundle; every cell is counted; the page needs nothing from outside."""
    shop.forecast(*range(FIRST, FIRST + 4))
    watched = shop.watch(FIRST + 4)
    assert watched.verdict == "ok" and "as good as promised" in watched.why
    cells, periods = shop.alert["cells"], shop.alert["periods"]
    assert sum(cells.values()) == 4 * 160 and cells[realised.COMPARED] == sum(period["cells"] for period in periods)
    first = forecasts.read(forecasts.written(shop.to)[str(shop.panel.starts[FIRST])])
    first = first.filter(pc.equal(first["start"].cast(pa.string()), str(shop.panel.starts[FIRST + 1])))
    quantiles = np.stack([first[name].to_numpy() for name in COLUMNS], 1)
    assert periods[0]["loss"] == pytest.approx(pinball(shop.panel.demand[:, FIRST + 1], quantiles).mean())
    page = Path(watched.report).read_text()
    assert page == watched.page and "<svg" in page and not re.search(r"(src|href)=.(?!#|data:)|<script", page)


def test_as_many_bad_weeks_as_the_patience_ask_for_a_training(shop):
    """One less warns; that the training has not ended is no reason not to ask again; when it has, there is a rest."""
    shop.forecast(*range(FIRST, FIRST + 12), times=4)
    said = [shop.watch(FIRST + ahead, patience=3).verdict for ahead in (1, 2, 3, 3)]
    assert said == ["warn", "warn", "retrain", "retrain"]
    with pytest.raises(ReleaseError, match=f"^retrained, but kept {shop.version}: gate gain failed"):
        concluded(shop.to, released=False, why="gate gain failed")
    rested = [shop.watch(FIRST + ahead, patience=3, cooldown=3) for ahead in (3, 4, 5, 6)]
    assert [each.verdict for each in rested] == ["warn", "warn", "warn", "retrain"]
    assert rested[1].why.endswith("retrained 1 week ago, a candidate: gate gain failed")


@pytest.mark.parametrize("recovered", [True, False])
def test_a_break_is_trained_for_again_when_all_there_is_to_learn_has_come_since(shop, recovered):
    """History, step and horizon after it began, until such a training is released; not if what was saved before is saved again."""
    knobs = {"patience": 2, "cooldown": 1, "history": 2}
    shop.forecast(FIRST, FIRST + 1, times=4)
    shop.forecast(*range(FIRST + 5, FIRST + 12))
    assert [shop.watch(FIRST + ahead, **knobs).verdict for ahead in (1, 2)] == ["warn", "retrain"]
    concluded(shop.to, released=True, why="")
    alert = shop.alert
    if not recovered:
        alert["retrained"]["broke"]["floor"] = 0.99
    Path(shop.to, ALERT).write_text(json.dumps(alert))
    said = [shop.watch(FIRST + ahead, **knobs) for ahead in (9, 10)]
    assert [each.verdict for each in said] == ["ok", "ok" if recovered else "retrain"]
    if not recovered:
        assert (
            said[1].why == f"it has not recovered since {shop.panel.starts[FIRST + 1]}, and the 2 weeks to learn from have all come since"
        )
        concluded(shop.to, released=True, why="")
    assert shop.watch(FIRST + 11, **knobs).verdict == "ok" and shop.alert["retrained"]["broke"] is None


def test_one_good_week_ends_a_row_of_bad_ones(shop):
    """So two, one and two are no three in a row."""
    for week in range(12):
        shop.forecast(FIRST + week, times=1 if week == 2 else 4)
    verdicts = []
    for week in (1, 2):
        verdicts.append(shop.watch(FIRST + week, patience=4).verdict)
    # What was forecast of the third week by others than the newest is bad: the newest alone are kept.
    for origin in (FIRST, FIRST + 1):
        place = forecasts.written(shop.to)[str(shop.panel.starts[origin])]
        table = forecasts.read(place)
        pq.write_table(table.filter(pc.not_equal(table["start"].cast(pa.string()), str(shop.panel.starts[FIRST + 3]))), place)
    verdicts += [shop.watch(FIRST + week, patience=4).verdict for week in (3, 4, 5, 6)]
    assert verdicts[:2] == ["warn", "warn"] and "retrain" not in verdicts
    assert shop.watch(FIRST + 7, patience=4).verdict == "retrain"


def test_what_was_said_already_is_not_new(shop):
    """So that who is notified is not, week after week; the retraining is."""
    shop.forecast(*range(FIRST, FIRST + 4), times=4)
    said = []
    for week in (1, 1, 2, 3):
        shop.watch(FIRST + week, patience=3)
        said.append(shop.alert["new"])
    assert said == [True, False, False, True]


def test_another_release_is_left_out_and_named(shop):
    """Such as one that was rolled back meanwhile."""
    shop.forecast(FIRST, FIRST + 1, times=9, version="20260101-000000-withdrawn")
    watched = shop.watch(FIRST + 2)
    assert watched.verdict == "ok"
    assert watched.why.endswith("nothing has been sold so far; 20260101-000000-withdrawn forecast them and is not current")
    assert shop.alert["others"] == {"20260101-000000-withdrawn": [str(shop.panel.starts[week]) for week in (FIRST, FIRST + 1)]}


def test_forecasts_of_another_grain_are_refused(shop):
    """By keys, and by the day on which a period begins."""
    shop.forecast(FIRST, drop=("store",))
    with pytest.raises(DataError, match="forecasts of product, and sales of store, product; compare those of one grain"):
        shop.watch(FIRST + 1)
    Path(forecasts.written(shop.to)[str(shop.panel.starts[FIRST])]).unlink()
    shop.forecast(FIRST)
    shop.panel = replace(shop.panel, starts=shop.panel.starts + 2)
    with pytest.raises(DataError, match="no week of the sales begins on 2024-02-26; these forecasts are of another grain or calendar"):
        shop.watch(FIRST + 1)


def test_what_overlaps_only_in_part_is_compared_in_part(shop):
    """The cells of series that the sales have not are counted, and so are those that were no demand."""
    shop.forecast(FIRST)
    shop.panel.demand[3, FIRST + 1] = np.nan
    shop.panel = shop.panel.take(np.arange(36))
    shop.watch(FIRST + 2)
    expected = {realised.COMPARED: 71, realised.NO_DEMAND: 1, realised.UNKNOWN: 8, realised.NOT_YET: 80, realised.BEFORE: 0}
    assert shop.alert["cells"] == expected


def test_a_store_that_sends_nothing_is_named_and_nothing_is_trained(shop):
    """A missing delivery is no zero, and no fault of the model; a closing that was planned is no missing delivery."""
    shop.forecast(*range(FIRST, FIRST + 4))
    for store, sells in ((2, True), (5, False)):
        rows = slice(4 * store, 4 * store + 4)
        shop.panel.state[rows, FIRST + 3], shop.panel.demand[rows, FIRST + 3] = State.CLOSED, np.nan
        shop.panel.sells[rows, FIRST + 3] = sells
    watched = shop.watch(FIRST + 3)
    assert watched.verdict == "warn"
    assert watched.why == f"store 0002 sent no line in 1 of 4 weeks, first on {shop.panel.starts[FIRST + 3]}"


def test_series_that_are_new_or_dead_are_told(shop):
    """By their share."""
    shop.forecast(*range(FIRST, FIRST + 4))
    shop.panel.demand[: toy_run.STORES, FIRST + 1 :] = 0
    shop.watch(FIRST + 4)
    dead = next(sign for sign in shop.alert["signs"] if sign["sign"] == "dead series")
    assert dead["warns"] and dead["value"] > 0.2 and "sold nothing" in shop.alert["why"]
    place = forecasts.written(shop.to)[str(shop.panel.starts[FIRST + 3])]
    pq.write_table(forecasts.read(place).slice(0, 120), place)
    shop.watch(FIRST + 4)
    new = next(sign for sign in shop.alert["signs"] if sign["sign"] == "new series")
    assert new["warns"] and new["value"] == pytest.approx(1 / 3)


def test_a_plan_that_changed_explains_and_does_not_alarm(shop):
    """Prices a quarter higher are seen; as long as the forecasts hold, nobody is woken."""
    shop.panel.covariates["price"][:, FIRST + 1 :] *= 1.25
    told = [sign for sign in signs_of(shop) if sign["explains"]]
    assert [sign["sign"] for sign in told] == ["prices"] and not told[0]["warns"]
    shop.forecast(*range(FIRST, FIRST + 4), times=4)
    assert "prices have changed" in shop.watch(FIRST + 4).why


def signs_of(shop: Shop) -> list[dict]:
    """The signs of four weeks without a forecast."""
    assert shop.watch(FIRST + 4).verdict == "ok"
    return shop.alert["signs"]


def test_a_watch_that_is_stopped_leaves_what_was_there(shop, monkeypatch):
    """The memory is replaced whole or not at all; one that is damaged is named."""
    shop.forecast(FIRST)
    shop.watch(FIRST + 1)
    place = Path(shop.to, ALERT)
    before = place.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            shop.watch(FIRST + 2)
    assert place.read_bytes() == before
    place.write_bytes(before[:-40])
    with pytest.raises(IntegrityError, match=r"not what watch left .* remove it, and the watch begins anew"):
        shop.watch(FIRST + 2)


def test_late_sales_change_what_was_said_of_their_week(shop):
    """The newest weeks are compared anew, by the sales as they then are."""
    shop.forecast(FIRST, FIRST + 1)
    shop.watch(FIRST + 1)
    before = shop.alert["periods"][0]
    shop.panel.demand[:, FIRST + 1] += 5
    shop.watch(FIRST + 2)
    assert shop.alert["periods"][0]["start"] == before["start"] and shop.alert["periods"][0]["loss"] > before["loss"]


def test_forecasts_in_a_bucket_are_watched_there(delivered, tmp_path, bucket):
    """The page and the alert lie beside them."""
    shop = Shop(tmp_path, delivered["bundle"], f"{bucket}/watched")
    forecasts.write(shop.release, shop.at(FIRST), shop.to)
    watched = shop.watch(FIRST + 1)
    assert json.loads(s3.read(watched.alert))["verdict"] == watched.verdict and s3.read(watched.report)


@pytest.mark.parametrize(
    ("usual", "spread", "floor"), [(0.5, 0.01, 0.4), (0.5, 0.1, 0.3), (0.4, 0.4, 0.0), (0.0, 0.0, -0.1), (0.05, 0.3, -0.05)]
)
def test_a_wide_spread_does_not_excuse_a_model_that_loses_to_its_baseline(usual, spread, floor):
    """Such as that of a backtest across a break; a baseline that ships may lose the tolerance."""
    assert least(usual, spread, tolerance=0.1) == pytest.approx(floor)


def test_a_promise_is_what_each_week_of_the_backtest_gained(shop):
    """By hand, from the rows of the bundle."""
    table = pq.read_table(Path(shop.uri, "backtest.parquet"))
    by_hand = []
    for origin in sorted(set(table["origin"].to_pylist())):
        for start in sorted(set(table.filter(pc.equal(table["origin"], origin))["start"].to_pylist())):
            cells = table.filter(pc.and_(pc.equal(table["origin"], origin), pc.equal(table["start"], start)))
            losses = [
                pinball(rows["actual"].to_numpy(), np.stack([rows[name].to_numpy() for name in COLUMNS], 1)).mean()
                for rows in (toy_run.of_model(cells, "toy"), toy_run.of_model(cells, "naive"))
            ]
            by_hand.append(1 - losses[0] / losses[1])
    assert len(by_hand) == 12 and sorted(realised.promised(stored.locate(shop.release))) == pytest.approx(sorted(by_hand))
