"""Runs of any pipeline are compared from the small files of their bundles: what differs, what was reached, what it cost."""

import json

import pytest

from tests.release import toy_bundle
from trainworks.__main__ import main
from trainworks.errors import IntegrityError
from trainworks.release import compare
from trainworks.release.scores import Gain, Score, Scores
from trainworks.storage import manifest, s3

HISTORY = [{"epoch": e, "step": 9 * e, "train_loss": 4.0 - e if e else None, "val_loss": 5.0 - e, "best": e == 1} for e in range(2)]
ACCURACY = "accuracy"


def a_run(folder, *scores, history=None, **knobs):
    """A bundle with a model of four bytes that reached *scores*, the first of which is the objective."""
    texts = {"model.onnx": "onnx"}
    if scores:
        texts["metrics.json"] = json.dumps(Scores(scores[0].name, scores).entries())
    if history:
        texts["history.json"] = json.dumps(history)
    return str(toy_bundle.write(folder, texts, config=knobs))


def made_before_scores(folder, **metrics):
    """A bundle as they were before it named its pipeline and its scores."""
    facts = {name: value for name, value in toy_bundle.FACTS.items() if name != "pipeline"} | {"config": {"epochs": 4}}
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_text("onnx")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    manifest.write(folder, **facts, created="2026-01-31T12:00:00+00:00")
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


def test_a_score_has_unit_interval_and_gain(tmp_path):
    """A run that did not measure it has a dash; small numbers keep their digits."""
    gain = Gain("the untouched model", -0.05, (-0.1, 0.0002))
    other = Score("accuracy", 0.5, (0.4, 0.6), "higher", "share", gain=gain), Score("bias", 0.0, (-0.0004, 1234.5), "lower", "pieces")
    runs = compare.runs([a_run(tmp_path / "a"), a_run(tmp_path / "b", *other)])
    assert row(runs, ACCURACY) == ["50.0 % (40.0 to 60.0)"] * 2
    assert row(runs, f"{ACCURACY}, gain over the untouched model") == ["–", "−5.0 points (−10.0 to +0.0)"]
    assert row(runs, "bias (pieces, lower is better)") == ["–", "0.000 (−0.0004 to 1,234.500)"]


@pytest.mark.parametrize(("better", "stars"), [("higher", ["", " ★"]), ("lower", [" ★", ""])])
def test_the_best_is_marked_by_its_direction(tmp_path, better, stars):
    """The higher one or the lower one, as the room says; equal ones are not marked."""
    places = [
        a_run(tmp_path / name, Score("s", value, (0.0, 1.0), better, ""), Score("t", 1.0, (0.0, 1.0), better, ""))
        for name, value in (("a", 0.25), ("b", 0.5))
    ]
    runs = compare.runs(places)
    rows = {cells[0].partition(" ")[0]: cells[1:] for cells in compare.table(runs).rows}
    assert [cell.partition(")")[2] for cell in rows["s"]] == stars
    assert rows["t"] == ["1.000 (0.000 to 1.000)"] * 2


def test_the_objective_comes_first_and_groups_without_gain(tmp_path):
    """Each group is a row of its own; a score of another unit is another quantity."""
    gain = Gain("chance", 0.1, (0.0, 0.2))
    whole = Score("a", 0.5, (0.0, 1.0), "higher", "", gain=gain)
    north = Score("b", 0.3, (0.0, 1.0), "higher", "", group="north", gain=gain)
    in_pieces = Score("a", 0.5, (0.0, 1.0), "higher", "pieces")
    runs = compare.runs([a_run(tmp_path / "a", whole, north), a_run(tmp_path / "b", in_pieces)])
    labels = [cells[0] for cells in compare.table(runs).rows]
    assert labels == ["a", "a, gain over chance", "a (pieces)", "b, north", "gates", "ONNX files", "time, all stages"]


@pytest.mark.parametrize(("facts", "words"), [({"data": "other"}, "same data"), ({"pipeline": "other"}, "several pipelines (other, toy)")])
def test_runs_that_cannot_be_compared_carry_a_warning(tmp_path, facts, words):
    """Of other data or of another pipeline: none of them is called the best."""
    better = toy_bundle.write(tmp_path / "b", {"metrics.json": toy_bundle.metrics(0.9)}, **facts)
    runs = compare.runs([a_run(tmp_path / "a"), str(better)])
    assert words in compare.terminal(runs) and words in compare.page(runs)
    [name] = facts
    assert row(runs, name) == [toy_bundle.FACTS[name], "other"]
    assert row(runs, ACCURACY) == ["50.0 % (40.0 to 60.0)", "90.0 % (80.0 to 100.0)"]
    assert compare.warnings(runs[:1] * 2) == []


def test_a_bundle_made_before_scores_compares_all_but_them(tmp_path):
    """Its knobs and cost stand beside those of new runs, and a sentence says what to do for the rest."""
    old = made_before_scores(tmp_path / "old", finetuned={"text_to_image": {"R@10": 0.3, "queries": 100}})
    runs = compare.runs([old, a_run(tmp_path / "a"), str(toy_bundle.write(tmp_path / "b", {"metrics.json": toy_bundle.metrics(0.9)}))])
    assert row(runs, "knob epochs") == ["4", "–", "–"] and row(runs, "ONNX files")[0] == "0.0 MB"
    assert row(runs, ACCURACY) == ["–", "50.0 % (40.0 to 60.0)", "90.0 % (80.0 to 100.0) ★"]
    words = "No scores of run 1: made before bundles had scores; package the run again to compare what it reached."
    assert compare.warnings(runs) == [words] and words in compare.terminal(runs) and words in compare.page(runs)


def test_malformed_scores_are_refused(tmp_path):
    """A bundle that another version wrote does not compare as something it is not."""
    place = made_before_scores(tmp_path / "a", objective="accuracy", scores=[{"name": "accuracy"}])
    with pytest.raises(IntegrityError, match=r"a: metrics\.json: .* is no score .*; package the run again"):
        compare.runs([place])


@pytest.mark.parametrize("below", ["", "/versions", "/versions/"])
def test_a_release_stands_for_all_its_versions(tmp_path, below):
    """In the order of their names; a draft is not one of them."""
    for name in ("2", "1", ".draft"):
        a_run(tmp_path / "versions" / name)
    assert [run.bundle.version for run in compare.runs([f"{tmp_path}{below}"])] == ["1", "2"]


def test_a_release_on_s3_reads_like_a_local_one(tmp_path, bucket):
    """The same runs, from a bundle and from a release, though only their small files were ever uploaded."""
    place = a_run(tmp_path / "a", history=HISTORY, epochs=4)
    for name in ("manifest.json", "metrics.json", "history.json"):
        s3.put(f"{bucket}/shop/versions/a/{name}", (tmp_path / "a" / name).read_bytes())
    local, *remote = compare.runs([place, f"{bucket}/shop", f"{bucket}/shop/versions/a"])
    read = [(run.bundle.version, run.facts, run.scores, run.history) for run in remote]
    assert read == [("a", local.facts, local.scores, local.history)] * 2
    with pytest.raises(IntegrityError, match="neither a bundle"):
        compare.runs([f"{bucket}/sho"])


def test_only_small_files_are_read(tmp_path):
    """A comparison needs no model: it may be gone."""
    place = a_run(tmp_path / "a")
    (tmp_path / "a" / "model.onnx").unlink()
    assert row(compare.runs([place]), "ONNX files") == ["0.0 MB"]


def test_the_page_has_a_curve_for_each_run(tmp_path):
    """Numbers become charts with a line for each run that has a history; the others are named."""
    page = compare.page(
        compare.runs([a_run(tmp_path / "a", history=HISTORY), a_run(tmp_path / "b"), a_run(tmp_path / "c", history=HISTORY)])
    )
    assert 'aria-label="train_loss of each run over its epochs"' in page and 'aria-label="best of' not in page
    assert "No learning history in the bundle of run 2." in page
    assert "<script" not in page and 'src="http' not in page


@pytest.mark.parametrize(
    ("history", "axis"),
    [
        ([{"step": 10, "error": 3}, {"step": 20, "error": 2}], "steps"),
        ([{"epoch": 0, "step": 10, "error": 3}, {"epoch": 0, "step": 20, "error": 2}], "steps"),
        ([{"error": 3}, {"error": 2}], "rows"),
    ],
)
def test_a_history_needs_no_epochs(tmp_path, history, axis):
    """Curves go over the epochs, or over the steps where there are several to an epoch, or row by row."""
    page = compare.page(compare.runs([a_run(tmp_path / "a", history=history)]))
    assert f'aria-label="error of each run over its {axis}"' in page and "step of each run" not in page


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


def of_cases(folder, right, score="accuracy"):
    """A toy run with the cases that it got right, of 100."""
    cases = {"score": score, "cases": {str(number): int(number in right) for number in range(100)}}
    texts = {"metrics.json": toy_bundle.metrics(len(right) / 100), "cases.json": json.dumps(cases)}
    return str(toy_bundle.write(folder, texts))


def test_runs_are_compared_case_by_case(tmp_path):
    """Better, worse or not sure, with the paired difference, in the page as on the terminal; by whatever lies in both bundles."""
    places = [
        of_cases(tmp_path / name, right) for name, right in (("a", range(50)), ("b", range(60)), ("c", range(30)), ("d", range(1, 52)))
    ]
    runs = compare.runs(places)
    words = compare.verdict(runs)
    assert words[0] == "run 2 against run 1: accuracy +10.0 points (+3.4 to +16.2) on 100 shared cases: surely better."
    assert words[1].startswith("run 3 against run 1: accuracy −20.0 points (") and words[1].endswith(": surely worse.")
    assert words[2].endswith(": no sure difference.")
    assert all(sentence in compare.terminal(runs) and sentence[1:] in compare.page(runs) for sentence in words)


def test_what_cannot_be_paired_is_said(tmp_path):
    """A run without cases, or with those of another score, is not called better or worse."""
    runs = compare.runs([of_cases(tmp_path / "a", range(50)), a_run(tmp_path / "b"), of_cases(tmp_path / "c", range(90), "speed")])
    assert compare.verdict(runs) == [f"run {n} against run 1: nothing can be said case by case, for they share no cases." for n in (2, 3)]
