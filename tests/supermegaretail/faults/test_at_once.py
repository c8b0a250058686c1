"""Two forecasts of one origin at once: one of them is the file, and nobody ever sees another."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.supermegaretail import toy_forecaster, toy_panel
from trainworks.storage import s3
from trainworks.supermegaretail.delivery import forecasts

WRITERS = 4


@pytest.mark.parametrize(("where", "rounds"), [("folder", 20), ("bucket", 5)])
def test_of_forecasts_of_one_origin_at_once_one_is_the_file(tmp_path, where, rounds, request, monkeypatch):
    """Each writer, of one of two releases that forecast differently, reads the same bytes as soon as its own writing is done."""
    panel = toy_panel.panel(stores=1, known=20)
    releases = [str(toy_forecaster.write(panel, tmp_path / str(k), promotion=0.2 + k)) for k in range(2)]
    (tmp_path / "panel").mkdir()
    panel.save(tmp_path / "panel")
    to = str(tmp_path / "forecasts") if where == "folder" else f"{request.getfixturevalue('bucket')}/forecasts"
    raced, put = [], forecasts._put
    start = threading.Barrier(WRITERS)

    def counted(place, table):
        raced.append(place)
        put(place, table)

    def write(number: int, below: str) -> bytes:
        start.wait()
        place = forecasts.write(releases[number % 2], tmp_path / "panel", below)
        return s3.read(place) if where == "bucket" else Path(place).read_bytes()

    monkeypatch.setattr(forecasts, "_put", counted)
    with ThreadPoolExecutor(WRITERS) as pool:
        seen = [set(pool.map(write, range(WRITERS), [f"{to}/{number}"] * WRITERS)) for number in range(rounds)]
    assert [len(contents) for contents in seen] == [1] * rounds
    assert len(raced) > rounds, "nobody was second"
    if where == "folder":
        assert len(list(Path(to).rglob("*.parquet"))) == len([path for path in Path(to).rglob("*") if path.is_file()]) == rounds
