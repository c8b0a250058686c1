"""The bundle of a run."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.supermegaretail import toy_run
from trainworks.__main__ import main
from trainworks.release import compare, releases, stored
from trainworks.storage import manifest
from trainworks.supermegaretail.forecaster import Forecaster


def test_a_bundle_has_every_file_of_the_contract(delivered):
    """And its manifest names the room, the knobs and the verdict."""
    bundle = stored.locate(str(delivered["bundle"]))
    names = {"forecaster.onnx", "features.json", "state.parquet", "baseline.json", "scores.parquet", "backtest.parquet", "metrics.json"}
    names |= {"report.html", "README.md", "profile.json", "history.json", "inference.json", "examples/forecasts.parquet"}
    assert names <= bundle.facts["files"].keys() and bundle.facts["pipeline"] == "supermegaretail"
    assert bundle.facts["config"]["shortage_cost"] == 0.5 and bundle.json("metrics.json")["behaviour"]["ordered"]["rate"] == 1


def test_a_bundle_forecasts_as_the_forecaster_that_was_measured(delivered):
    """The same bytes: what is evaluated is what ships."""
    loaded = Forecaster.load(delivered["bundle"]), Forecaster.load(delivered["forecaster"])
    assert loaded[0].forecast().equals(loaded[1].forecast())


def test_a_release_is_checked_by_its_examples(delivered, tmp_path, capsys):
    """As the command line does it: the right state passes, another one with its own manifest does not."""
    released = releases.release(delivered["bundle"], str(tmp_path / "release"))
    assert main(["release", "check", released.uri]) == 0
    assert "forecasts" in capsys.readouterr().out
    copy = shutil.copytree(delivered["bundle"], tmp_path / "copy")
    facts = json.loads((copy / manifest.NAME).read_text())
    table = pq.read_table(copy / "examples" / "forecasts.parquet")
    at = table.column_names.index("mean")
    pq.write_table(table.set_column(at, "mean", pa.array(np.array(table["mean"]) * 1.01)), copy / "examples" / "forecasts.parquet")
    (copy / manifest.NAME).unlink()
    manifest.write(copy, **{name: value for name, value in facts.items() if name not in ("files", manifest.SEAL)})
    assert main(["release", "check", str(copy)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[-3:]] == ["ok", "ok", "differs"]


def test_a_tampered_bundle_is_not_checked_but_refused(delivered, tmp_path, capsys):
    """Before any of its files is parsed."""
    copy = shutil.copytree(delivered["bundle"], tmp_path / "copy")
    (copy / "state.parquet").write_bytes(b"PAR1 no more")
    assert main(["release", "check", str(copy)]) == 1
    assert "state.parquet" in capsys.readouterr().err


def test_runs_compare_side_by_side(delivered):
    """By the hall, which reads scores and history alone."""
    [run] = compare.runs([str(delivered["bundle"])])
    assert run.scores.main.name == "pinball loss" and [row["step"] for row in run.history] == [1, 2, 3]
    assert set(run.history[0]) == {"step", *toy_run.MODELS}


def test_the_model_card_tells_what_was_gained_and_what_was_rejected(delivered):
    """From the numbers of the run alone."""
    card = (delivered["bundle"] / "README.md").read_text()
    saved = json.loads((delivered["metrics"] / "metrics.json").read_text())["gains"]["cost_share"]["value"]
    assert f"{100 * saved:.1f} %" in card and "| sales | 2,000 | 1,960 | 30 | 10 |" in card
    assert card.startswith("---\nlicense: other\n")


@pytest.mark.parametrize("name", ["README.md", "report.html"])
def test_texts_name_no_path_of_the_machine(delivered, name):
    """A bundle is read elsewhere."""
    assert str(delivered["bundle"].parent) not in (delivered["bundle"] / name).read_text()
