"""Evaluation asks what users ask, counts every right answer, and compares query by query."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_encoders import write, write_bundle

from trainworks.photostock import evaluate
from trainworks.photostock import metrics as retrieval

SHELF = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "caption": ["Red boat. sea", "Red boat. sea", "Blue hat", "a b c d e f"],
        "title": ["Red boat", "Red boat", "Blue hat", ""],
        "tags": [["Sea", "boat", "red"], ["sea", "boat"], ["hat"], []],
        "contributor": ["Ada", "Ada", "Ben", None],
    }
)


@pytest.fixture(scope="module")
def metrics(shards, dataset, tmp_path_factory):
    """``metrics.json`` of toy encoders on the drawn catalogue, against themselves."""
    folder = tmp_path_factory.mktemp("evaluated")
    bundle = write_bundle(folder / "bundle", write(folder / "encoders"))
    out = folder / "metrics"
    out.mkdir()
    evaluate.evaluate(bundle, bundle, dataset, shards, out)
    return json.loads((out / "metrics.json").read_text())


def test_pictures_with_the_same_text_are_equally_right():
    """Both red boats answer to their caption and title; a picture without a title asks nothing."""
    kinds = evaluate.kinds_of_query(SHELF)
    assert [items.tolist() for items in kinds["caption"].right] == [[0, 1], [0, 1], [2], [3]]
    assert kinds["title"].texts == ["Red boat", "Red boat", "Blue hat"]
    assert kinds["tags"].texts == ["Sea, boat, red", "sea, boat", "hat"]


def test_every_picture_with_the_tags_is_a_right_answer():
    """Whatever tags are drawn, the right answers are all pictures that have them, in any case; no query is asked twice."""
    kinds = evaluate.kinds_of_query(SHELF)
    have = [{tag.casefold() for tag in tags} for tags in SHELF["tags"]]
    for kind, count in (("single tag", 1), ("two tags", 2)):
        asked = kinds[kind]
        assert asked.texts and len(set(asked.texts)) == len(asked.texts)
        for text, right in zip(asked.texts, asked.right, strict=True):
            assert len(text.split()) == count
            assert right.tolist() == [k for k, tags in enumerate(have) if set(text.split()) <= tags]


def test_drawn_tags_do_not_depend_on_other_rows():
    """A grown gallery asks the old questions too."""
    few, all_ = evaluate.kinds_of_query(SHELF[:2]), evaluate.kinds_of_query(SHELF)
    assert set(few["single tag"].texts) <= set(all_["single tag"].texts)


def test_kinds_that_no_picture_has_are_left_out():
    """Without tags there are no tag queries; descriptions are asked where the dataset has them."""
    bare = SHELF.assign(tags=[[]] * 4, description=["", None, "A hat.", ""])
    assert list(evaluate.kinds_of_query(bare)) == ["caption", "title", "description"]
    assert evaluate.kinds_of_query(bare)["description"].texts == ["A hat."]


def test_slices_cover_every_picture_once(tmp_path):
    """Caption length in words; a contributor's size counts all splits, and no contributor is a group of its own."""
    everywhere = pa.table({"contributor": ["Ada"] * 7 + ["Ben"] + [None]})
    pq.write_table(everywhere, tmp_path / "index.parquet")
    found = evaluate.slices(SHELF, tmp_path)
    assert {name: mask.tolist() for name, mask in found["caption length"].items()} == {
        "0–4 words": [True, True, True, False],
        "5–9 words": [False, False, False, True],
    }
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found["contributor size"].items()} == {
        "1–5 pictures": [2],
        "6–20 pictures": [0, 1],
        "unknown": [3],
    }


def test_a_model_against_itself_gains_nothing(metrics):
    """The paired difference is nothing, with an interval of no width, in every direction and slice."""
    nothing = {"difference": 0.0, "interval": [0.0, 0.0]}
    assert metrics["finetuned"] == metrics["baseline"]
    for found in (*metrics["paired"].values(), *(g["paired"] for s in metrics["slices"].values() for g in s.values())):
        assert found["R@10"] == nothing


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
    summary = retrieval.summary(retrieval.ranks(np.eye(2), np.eye(2), np.arange(2), np.arange(2)))
    assert all(found["baseline"].keys() == summary.keys() for found in metrics["queries"].values())


def test_the_calibration_keeps_less_the_higher_the_threshold(metrics):
    """Recall and false positives fall along the thresholds, from all right pairs down."""
    curve = metrics["calibration"]
    assert curve[0]["recall"] == 1
    for name in ("recall", "false_positive_rate"):
        values = [point[name] for point in curve]
        assert values == sorted(values, reverse=True)
