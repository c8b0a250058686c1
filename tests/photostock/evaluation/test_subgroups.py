"""Test pictures are told apart by caption, contributor and tag, and by what a release knows."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trainworks.photostock.evaluation import subgroups

SHELF = pd.DataFrame(
    {
        "caption": ["Red boat. sea", "Red boat. sea", "Blue hat", "a b c d e f"],
        "contributor": ["Ada", "Ada", "Ben", None],
    }
)


def test_slices_cover_every_picture_once(tmp_path):
    """Caption length in words; a contributor's size counts all splits, and no contributor is a group of its own."""
    everywhere = pa.table({"contributor": ["Ada"] * 7 + ["Ben"] + [None]})
    pq.write_table(everywhere, tmp_path / "index.parquet")
    found = subgroups.slices(SHELF, tmp_path)
    assert {name: mask.tolist() for name, mask in found["caption length"].items()} == {
        "0–4 words": [True, True, True, False],
        "5–9 words": [False, False, False, True],
    }
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found["contributor size"].items()} == {
        "1–5 pictures": [2],
        "6–20 pictures": [0, 1],
        "unknown": [3],
    }


def test_a_category_is_a_tag_that_enough_pictures_bear():
    """In any case and counted once for each picture; the most frequent first, and a rare one is none."""
    tags = [["Sea", "sea"], *[["sea", "boat"]] * 5, *[["hat"]] * (subgroups.LEAST - 1)]
    found = subgroups.categories(tags)
    assert {tag: np.flatnonzero(mask).tolist() for tag, mask in found.items()} == {"sea": [0, 1, 2, 3, 4, 5], "boat": [1, 2, 3, 4, 5]}
    assert list(found) == ["sea", "boat"]


def test_new_categories_come_first_and_do_not_push_out_the_known():
    """MOST of either are shown, however many new ones there are."""
    found = {f"{kind} {k:02d}": np.ones(9, bool) for k in range(20) for kind in ("new", "old")}
    known = {tag: 3 for tag in found if tag.startswith("old")}
    expected = [f"{kind} {k:02d}" for kind in ("new", "old") for k in range(subgroups.MOST)]
    assert list(subgroups.shown(found, known)) == expected


def test_a_picture_of_any_new_category_is_new():
    """The others are known; without a new category nothing is told apart."""
    found = {"sea": np.array([1, 1, 0, 0], bool), "boat": np.array([0, 1, 1, 0], bool)}
    told = {name: mask.tolist() for name, mask in subgroups.by_novelty(found, {"sea": 9}).items()}
    assert told == {"new": [False, True, True, False], "known": [True, False, False, True]}
    assert subgroups.by_novelty(found, {"sea": 9, "boat": 1}) == {}
    assert list(subgroups.by_novelty({"sea": np.ones(4, bool)}, {})) == ["new"]
