"""Evaluation compares query by query: with the untouched model, and with the last release and what that was trained on."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.photostock import toy_encoders
from trainworks.photostock.curation import index
from trainworks.photostock.evaluation import evaluate, found, ranking, subgroups, trained_on
from trainworks.photostock.evaluation import metrics as retrieval
from trainworks.release import scores


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """The folder of toy encoders, in fp32 and int8."""
    return toy_encoders.write(tmp_path_factory.mktemp("evaluated") / "encoders")


@pytest.fixture(scope="module")
def measured(encoders, shards, dataset, tmp_path_factory):
    """``metrics.json`` of toy encoders on the drawn catalogue against themselves, by what a release says of its training."""
    bundle = toy_encoders.write_bundle(tmp_path_factory.mktemp("bundle") / "bundle", encoders)

    def measured(release="", told=None):
        out = tmp_path_factory.mktemp("metrics")
        if told is not None:
            release = str(toy_encoders.write_bundle(out / "20260131-120000-abc", encoders, trained_on=told))
        evaluate.evaluate(bundle, bundle, dataset, shards, release, out)
        return json.loads((out / "metrics.json").read_text())

    return measured


@pytest.fixture(scope="module")
def metrics(measured):
    """Before the first release."""
    return measured()


def test_a_model_against_itself_gains_nothing(metrics):
    """The paired difference is nothing in every direction and slice, with an interval that so few queries allow."""
    assert metrics["finetuned"] == metrics["baseline"]
    for paired in (*metrics["paired"].values(), *(g["paired"] for s in metrics["slices"].values() for g in s.values())):
        low, high = paired["R@10"]["interval"]
        assert paired["R@10"]["difference"] == 0 and low == -high < -0.2


def test_runs_are_compared_by_scores(metrics):
    """Both ways, and by each other kind of query; the objective is what the report leads with."""
    found = scores.parse(metrics)
    assert [score.name for score in found.all if not score.group] == [
        f"{way} {metric}" for way in ("text to image", "image to text") for metric in ("R@1", "R@5", "R@10", "MRR")
    ]
    assert [score.group for score in found.all if score.group] == ["by title", "by tags", "by single tag", "by two tags"]
    whole = metrics["finetuned"]["text_to_image"]
    assert (
        found.main.name == "text to image R@10"
        and found.main.value == whole["R@10"]
        and list(found.main.interval) == whole["interval"]["R@10"]
    )
    gained = metrics["paired"]["text_to_image"]["R@10"]["interval"]
    assert found.main.gain == scores.Gain("the untouched backbone", 0.0, tuple(gained))
    assert next(s.value for s in found.all if s.group == "by tags") == metrics["queries"]["tags"]["finetuned"]["R@10"]


def test_slices_add_up_to_the_whole(metrics):
    """Weighted by their queries, the slices' recalls are the recall."""
    whole = metrics["finetuned"]["text_to_image"]
    for groups in metrics["slices"].values():
        assert sum(group["queries"] for group in groups.values()) == whole["queries"] == 10
        assert sum(group["queries"] * group["finetuned"]["R@1"] for group in groups.values()) == pytest.approx(10 * whole["R@1"])


def test_each_kind_of_query_has_its_numbers(metrics):
    """Captions, titles, tags, and one or two tags as people type them."""
    assert list(metrics["queries"]) == ["caption", "title", "tags", "single tag", "two tags"]
    assert metrics["queries"]["caption"]["finetuned"] == metrics["finetuned"]["text_to_image"]
    summary = retrieval.summary(ranking.ranks(np.eye(2), np.eye(2), np.arange(2), np.arange(2)))
    assert all(found["baseline"].keys() == summary.keys() for found in metrics["queries"].values())


def test_a_caption_that_pictures_share_is_one_query(encoders, shards, dataset, tmp_path):
    """Three pictures of one caption ask once: ten queries are eight, in every number with an interval. Each picture is asked about."""
    rows = pq.read_table(dataset / "index.parquet").to_pandas()
    shared = rows.index[rows["split"] == "test"][[1, 4, 6]]
    rows.loc[shared, "caption"] = "Three of them"
    (copy := tmp_path / "dataset").mkdir()
    rows.to_parquet(copy / "index.parquet")
    bundle = toy_encoders.write_bundle(tmp_path / "bundle", encoders)
    evaluate.evaluate(bundle, bundle, copy, shards, "", tmp_path)
    measured = json.loads((tmp_path / "metrics.json").read_text())
    both = [measured["finetuned"][way]["queries"] for way in ("text_to_image", "image_to_text")]
    assert both == [8, 10] and measured["queries"]["caption"]["queries"] == 8
    cases = json.loads((tmp_path / "cases.json").read_text())["cases"]
    assert len(cases) == 8 and np.mean(list(cases.values())) == pytest.approx(measured["finetuned"]["text_to_image"]["R@10"])


def test_the_calibration_keeps_less_the_higher_the_threshold(metrics):
    """Recall and false positives fall along the thresholds, from all right pairs down."""
    curve = metrics["calibration"]
    assert curve[0]["recall"] == 1
    for name in ("recall", "false_positive_rate"):
        values = [point[name] for point in curve]
        assert values == sorted(values, reverse=True)


def test_mistakes_are_measured_before_and_after(metrics):
    """Each query gives its places to pictures of the test; the same encoders make the same mistakes."""
    after, before = (metrics["errors"][name] for name in ("finetuned", "baseline"))
    assert after == before
    assert after["hubs"]["first"] == after["hubs"]["mean"] == 10 and after["hubs"]["never"] == 0


def test_answers_go_both_ways(encoders, shards, dataset, tmp_path):
    """Beside the pictures found for its caption, each picture has the captions found for it, best first, and the place of its own."""
    bundle = toy_encoders.write_bundle(tmp_path / "bundle", encoders)
    evaluate.evaluate(bundle, bundle, dataset, shards, "", tmp_path)
    for row in pq.read_table(tmp_path / "answers.parquet").to_pylist():
        assert row["text_scores"] == sorted(row["text_scores"], reverse=True) and len(set(row["texts"])) == len(row["texts"]) == 5
        assert row["query"] in row["texts"] or row["text_rank"] > 5


def test_a_category_that_the_release_never_saw_is_new(measured, dataset, monkeypatch):
    """Ellipses are new to a release that was trained on the others; each category counts who bears it."""
    monkeypatch.setattr(subgroups, "LEAST", 2)
    rows = pq.read_table(dataset / "index.parquet").to_pandas()
    train, test = (rows[rows["split"] == split] for split in ("train", "test"))
    others = [tags for tags in train["tags"] if "ellipse" not in tags]
    found = measured(told=trained_on.summary([], others))
    assert {tag for tag, told in found["categories"].items() if told["new"]} == {"ellipse"}
    ellipse, in_test = found["categories"]["ellipse"], sum("ellipse" in tags for tags in test["tags"])
    assert (ellipse["trained_on"], ellipse["release_trained_on"]) == (sum("ellipse" in tags for tags in train["tags"]), 0)
    assert found["slices"]["category"]["new"]["queries"] == ellipse["queries"] == in_test


def test_the_release_is_measured_on_the_same_queries(measured, dataset):
    """The same encoders reach the same; test pictures that the release was trained on are counted."""
    ids = pq.read_table(dataset / "index.parquet", filters=[("split", "=", "test")])["id"].to_pylist()
    found = measured(told=trained_on.summary([*ids[:3], "elsewhere"], []))
    release = found["release"]
    assert release["text_to_image"] == found["finetuned"]["text_to_image"] and release["version"] == "20260131-120000-abc"
    assert release["overlap"] == {"asked": 10, "trained_on": 3}
    assert release["ran"].keys() >= {"commit", "created"}
    for compared in (found, *found["queries"].values(), *found["categories"].values()):
        assert "over_release" in compared
    assert found["over_release"]["image_to_text"]["R@1"]["difference"] == 0


def test_a_release_that_cannot_be_loaded_is_told_and_stops_nobody(measured, metrics, tmp_path):
    """The next model may be the cure: it is measured without the comparison."""
    found = measured(release=str(tmp_path / "gone"))
    assert found["release"].keys() == {"version", "unreadable"} and found["release"]["version"] == "gone"
    assert found["finetuned"] == metrics["finetuned"] and "over_release" not in found
    assert "release" not in metrics


def test_what_both_models_find_is_kept_for_people(encoders, shards, dataset, tmp_path):
    """Titles and tags with the places of the right pictures, searches of a log without; the pictures are of the test."""
    bundle = toy_encoders.write_bundle(tmp_path / "bundle", encoders)
    (tmp_path / "out").mkdir()
    evaluate.evaluate(bundle, bundle, dataset, shards, "", tmp_path / "out", ["red circle", "nobody knows"])
    rows = pq.read_table(tmp_path / "out" / found.FILE).to_pylist()
    ids = set(index.rows(dataset, "test")["id"])
    assert {row["kind"] for row in rows} == {"title", "single tag", "two tags", "search"}
    assert all(row["found"] == row["other_found"] and len(set(row["found"])) == found.SHOWN for row in rows)
    assert all(set(row["found"]) <= ids and (row["rank"] is None) == (row["kind"] == "search") for row in rows)
    assert sorted(row["query"] for row in rows if row["kind"] == "search") == ["nobody knows", "red circle"]
