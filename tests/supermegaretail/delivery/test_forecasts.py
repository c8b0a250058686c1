"""Forecasts where others find them."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from flytekit import workflow
from flytekit.types.directory import FlyteDirectory

from tasks.stage import Artifact
from tests.supermegaretail import toy_panel, toy_run
from trainworks.errors import IntegrityError
from trainworks.release import releases
from trainworks.storage import manifest, s3
from trainworks.supermegaretail.delivery import forecasts
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.panel.panel import Panel
from workflows.supermegaretail import forecasting


@workflow
def mapped(release: str, panel: Artifact, forecasts_to: str) -> str:
    """The part of the workflow that forecasts."""
    _, place = forecasting(release, panel, forecasts_to)
    return place


@pytest.fixture
def newer(tmp_path):
    """The folder of a panel with four planned weeks, two weeks after the one that the release knows."""
    (tmp_path / "panel").mkdir()
    toy_panel.panel(stores=toy_run.STORES, known=62).save(tmp_path / "panel")
    return tmp_path / "panel"


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_the_newest_origin_is_forecast_once(delivered, newer, tmp_path, where, request):
    """With the release's version in the file; the same origin again is the same file, byte by byte, whichever release asks."""
    released = releases.release(delivered["bundle"], str(tmp_path / "release"))
    to = str(tmp_path / "forecasts") if where == "folder" else f"{request.getfixturevalue('bucket')}/forecasts"
    place = forecasts.write(str(tmp_path / "release") if released.moved else released.uri, newer, to)
    assert place == f"{to}/origin=2024-03-04/forecasts.parquet"
    before = s3.read(place) if where == "bucket" else Path(place).read_bytes()
    if where == "folder":
        table = pq.read_table(place)
        assert table.schema.metadata[b"release"].decode() == released.version and len(table) == 4 * toy_run.STORES * 4
        assert sorted(Path(place).parent.iterdir()) == [Path(place)]
    assert forecasts.write(str(delivered["forecaster"]), newer, to) == place
    assert (s3.read(place) if where == "bucket" else Path(place).read_bytes()) == before


def test_shards_of_series_are_forecast_as_the_whole_is(delivered, newer, tmp_path, monkeypatch):
    """The same rows, bit by bit, in the same order, without the other shards in memory."""
    whole = pq.read_table(forecasts.write(str(delivered["forecaster"]), newer, str(tmp_path / "whole")))
    monkeypatch.setattr(forecasts, "SHARD", 5)
    loaded = []
    load = Panel.load
    monkeypatch.setattr(Panel, "load", lambda *at: loaded.append(load(*at)) or loaded[-1])
    sharded = pq.read_table(forecasts.write(str(delivered["forecaster"]), newer, str(tmp_path / "sharded")))
    assert sharded.equals(whole, check_metadata=True)
    assert max(len(panel.series) for panel in loaded) == 5


def test_the_workflow_maps_over_the_shards(delivered, newer, tmp_path, monkeypatch):
    """Each is a task of its own, remembered, and the file that they make is the one of a single shard."""
    manifest.write(newer)
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))
    release, to = str(delivered["forecaster"]), str(tmp_path / "forecasts")
    whole = pq.read_table(forecasts.write(release, newer, str(tmp_path / "whole")))
    monkeypatch.setattr(forecasts, "SHARD", 5)
    place = mapped(release=release, panel=FlyteDirectory(str(newer)), forecasts_to=to)
    assert pq.read_table(place).equals(whole, check_metadata=True)
    assert len(list((tmp_path / "artifacts/stages/forecast").iterdir())) == -(-Panel.count(newer) // 5)
    assert mapped(release=release, panel=FlyteDirectory(str(newer)), forecasts_to=to) == place


def test_a_bundle_that_became_another_one_is_refused(delivered, newer, tmp_path):
    """Between two shards of one file."""
    copy = shutil.copytree(delivered["forecaster"], tmp_path / "forecaster")
    forecasts.gather(str(copy), newer, str(tmp_path / "forecasts"), tmp_path)
    (copy / "more.txt").write_text("another")
    manifest.write(copy)
    with pytest.raises(IntegrityError, match="another bundle than when this began; run it again"):
        forecasts.forecast(0, newer, tmp_path, tmp_path)


def test_what_fails_leaves_nothing(delivered, newer, tmp_path, monkeypatch):
    """No half a file, no draft."""
    monkeypatch.setattr(Forecaster, "of", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        forecasts.write(str(delivered["forecaster"]), newer, str(tmp_path / "forecasts"))
    assert not (tmp_path / "forecasts").exists()


@pytest.mark.parametrize("to", ["", "gs://bucket/prefix", __file__])
def test_a_place_that_cannot_hold_forecasts_is_refused(to):
    """By the name of the input."""
    with pytest.raises(ValueError, match="forecasts_to"):
        forecasts.check_target(to)
