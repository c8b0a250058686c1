"""Evaluation asks what users ask, and knows every right answer."""

import pandas as pd

from trainworks.photostock.evaluation.queries import distinct, kinds_of_query

SHELF = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "caption": ["Red boat. sea", "Red boat. sea", "Blue hat", "a b c d e f"],
        "title": ["Red boat", "Red boat", "Blue hat", ""],
        "tags": [["Sea", "boat", "red"], ["sea", "boat"], ["hat"], []],
        "contributor": ["Ada", "Ada", "Ben", None],
    }
)


def test_pictures_with_the_same_text_are_equally_right():
    """Both red boats answer to their caption and title; a picture without a title asks nothing."""
    kinds = kinds_of_query(SHELF)
    assert [items.tolist() for items in kinds["caption"].right] == [[0, 1], [0, 1], [2], [3]]
    assert kinds["title"].texts == ["Red boat", "Red boat", "Blue hat"]
    assert kinds["tags"].texts == ["Sea, boat, red", "sea, boat", "hat"]
    assert distinct(kinds["caption"].texts).tolist() == [0, 2, 3]


def test_every_picture_with_the_tags_is_a_right_answer():
    """Whatever tags are drawn, the right answers are all pictures that have them, in any case; no query is asked twice."""
    kinds = kinds_of_query(SHELF)
    have = [{tag.casefold() for tag in tags} for tags in SHELF["tags"]]
    for kind, count in (("single tag", 1), ("two tags", 2)):
        asked = kinds[kind]
        assert asked.texts and len(set(asked.texts)) == len(asked.texts)
        for text, right in zip(asked.texts, asked.right, strict=True):
            assert len(text.split()) == count
            assert right.tolist() == [k for k, tags in enumerate(have) if set(text.split()) <= tags]


def test_drawn_tags_do_not_depend_on_other_rows():
    """A grown gallery asks the old questions too."""
    few, all_ = kinds_of_query(SHELF[:2]), kinds_of_query(SHELF)
    assert set(few["single tag"].texts) <= set(all_["single tag"].texts)


def test_kinds_that_no_picture_has_are_left_out():
    """Without tags there are no tag queries; descriptions are asked where the dataset has them."""
    bare = SHELF.assign(tags=[[]] * 4, description=["", None, "A hat.", ""])
    assert list(kinds_of_query(bare)) == ["caption", "title", "description"]
    assert kinds_of_query(bare)["description"].texts == ["A hat."]
