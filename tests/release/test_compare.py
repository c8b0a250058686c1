"""Runs are compared from the small files of their bundles: what differs, what was reached, what it cost."""

import json

import pytest

from trainworks.__main__ import main
from trainworks.errors import IntegrityError
from trainworks.release import bundle, compare
from trainworks.storage import manifest, s3

HISTORY = [{"epoch": e, "step": 9 * e, "train_loss": 4.0 - e if e else None, "val_loss": 5.0 - e, "best": e == 1} for e in range(2)]


def reached(recall, **more):
    """What a run reached in one direction."""
    return {"finetuned": {"text_to_image": {"R@1": 0.1, "R@10": recall, "queries": 100, **more}}}


def a_run(folder, metrics=None, history=None, data="same", **knobs):
    """A bundle with an encoder of four bytes."""
    facts = {
        "config": knobs,
        "commit": "c0ffee",
        "data": data,
        "packages": {},
        "seed": 1,
        "seconds": {},
        "verdict": {"passed": True, "gates": []},
    }
    texts = {"image_encoder.onnx": "onnx", "metrics.json": json.dumps(metrics or reached(0.3))}
    bundle.write(folder, {}, texts | ({"history.json": json.dumps(history)} if history else {}), facts)
    return str(folder)


def row(runs, label):
    """The cells of one row of the comparison, or None if it has no such row."""
    return next((list(cells[1:]) for cells in compare.table(runs).rows if cells[0] == label), None)


def test_only_knobs_that_differ_are_shown(tmp_path):
    """A knob that only one run knows differs; one with the same value everywhere is left out."""
    places = [a_run(tmp_path / "a", seed=1, epochs=4), a_run(tmp_path / "b", seed=1, epochs=8, loss="clip")]
    runs = compare.runs(places)
    assert row(runs, "knob epochs") == ["4", "8"]
    assert row(runs, "knob loss") == ["–", "clip"]
    assert row(runs, "knob seed") is None and row(runs, "commit") is None


def test_metrics_have_intervals(tmp_path):
    """The interval is the one that was measured, or Wilson's for a recall where none was; the gain is signed."""
    measured = reached(0.4, MRR=0.2, interval={"R@10": [0.31, 0.49], "MRR": [0.1, 0.3]})
    measured["paired"] = {"text_to_image": {"R@10": {"difference": -0.05, "interval": [-0.1, 0.02]}}}
    runs = compare.runs([a_run(tmp_path / "old"), a_run(tmp_path / "new", measured)])
    assert row(runs, "text to image R@10") == ["0.300 [0.219, 0.396]", "0.400 [0.310, 0.490]"]
    assert row(runs, "text to image MRR") == ["–", "0.200 [0.100, 0.300]"]
    assert row(runs, "text to image R@10, gain") == ["–", "-0.050 [-0.100, +0.020]"]


def test_numbers_from_different_data_carry_a_warning(tmp_path):
    """A recall on another gallery is another quantity."""
    runs = compare.runs([a_run(tmp_path / "a"), a_run(tmp_path / "b", data="other")])
    assert "same data" in compare.terminal(runs) and "same data" in compare.page(runs)
    assert row(runs, "data") == ["same", "other"]
    assert compare.warnings(runs[:1] * 2) == []


@pytest.mark.parametrize("below", ["", "/versions", "/versions/"])
def test_a_release_stands_for_all_its_versions(tmp_path, below):
    """In the order of their names; a draft is not one of them."""
    for name in ("2", "1", ".draft"):
        a_run(tmp_path / "versions" / name)
    assert [run.name for run in compare.runs([f"{tmp_path}{below}"])] == ["1", "2"]


def test_a_release_on_s3_reads_like_a_local_one(tmp_path, bucket):
    """The same runs, from a bundle and from a release, though only their small files were ever uploaded."""
    place = a_run(tmp_path / "a", history=HISTORY, epochs=4)
    for name in ("manifest.json", "metrics.json", "history.json"):
        s3.put(f"{bucket}/shop/versions/a/{name}", (tmp_path / "a" / name).read_bytes())
    local, *remote = compare.runs([place, f"{bucket}/shop", f"{bucket}/shop/versions/a"])
    assert [(run.name, run.facts, run.metrics, run.history) for run in remote] == [("a", local.facts, local.metrics, local.history)] * 2
    with pytest.raises(IntegrityError, match="neither a bundle"):
        compare.runs([f"{bucket}/sho"])


def test_only_small_files_are_read(tmp_path):
    """A comparison needs no encoder: it may be gone."""
    place = a_run(tmp_path / "a")
    (tmp_path / "a" / "image_encoder.onnx").unlink()
    assert row(compare.runs([place]), "encoders") == ["0.0 MB"]


def test_the_page_has_a_curve_for_each_run(tmp_path):
    """Numbers become charts with a line for each run that has a history; the others are named."""
    page = compare.page(
        compare.runs([a_run(tmp_path / "a", history=HISTORY), a_run(tmp_path / "b"), a_run(tmp_path / "c", history=HISTORY)])
    )
    assert 'aria-label="train_loss of each run over the epochs"' in page and 'aria-label="best of' not in page
    assert "No learning history in the bundle of run 2." in page
    assert "<script" not in page and 'src="http' not in page


def test_what_is_no_bundle_is_refused(tmp_path):
    """The message names the place and what was looked for."""
    with pytest.raises(IntegrityError, match="nowhere: neither a bundle"):
        compare.runs([str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match="nothing to compare"):
        compare.runs([])
    manifest.write(tmp_path)
    with pytest.raises(IntegrityError, match="needs config and files"):
        compare.runs([str(tmp_path)])


@pytest.mark.parametrize("name", ["manifest.json", "metrics.json"])
def test_a_damaged_file_is_refused(tmp_path, name):
    """Numbers that the manifest does not vouch for are not shown."""
    place = a_run(tmp_path / "a")
    (tmp_path / "a" / name).write_text("{")
    with pytest.raises(IntegrityError, match=f"{name} is (damaged|not the file)|{name}.*fetch the bundle again"):
        compare.runs([place])


def test_the_command_prints_the_table_and_writes_the_page(tmp_path, capsys):
    """As a person calls it; a mistake is one line and exit status 1."""
    place, page = a_run(tmp_path / "a", epochs=4), tmp_path / "page.html"
    assert main(["compare", place, a_run(tmp_path / "b", epochs=8), "--html", str(page)]) == 0
    assert "knob epochs" in capsys.readouterr().out and page.read_text().startswith("<!doctype html>")
    assert main(["compare", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
