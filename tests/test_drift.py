"""Drift: a threshold that knows how far the reference differs from itself, and a table that names what went beyond it."""

import numpy as np
import pytest

from trainworks.drift import THRESHOLD, compare, in_words, inform
from trainworks.profile import reference

VALUES = np.random.default_rng(0).normal(size=400)
REFERENCE = reference(VALUES, [""] * 400)


def test_what_has_not_changed_is_ok_and_what_has_is_not():
    """With both sides and their distance in the row."""
    same, moved = compare("length", REFERENCE, VALUES), compare("length", REFERENCE, VALUES + 3)
    assert (same["measure"], same["shift"], same["threshold"], same["ok"]) == ("length", pytest.approx(0, abs=1e-6), THRESHOLD, True)
    assert same["reference"] == same["now"] == f"{np.median(VALUES):.3g}"
    assert moved["shift"] > 1 and moved["ok"] is False


def test_a_noisy_reference_and_a_small_sample_are_given_more_room():
    """The noise is that of halves; of a tenth of the rows it is 2.75 times as much."""
    noisy = REFERENCE | {"noise": 0.4}
    assert compare("length", noisy, VALUES)["threshold"] == 0.4
    assert compare("length", noisy, VALUES[:40])["threshold"] == pytest.approx(0.4 * 11 / 4)


@pytest.mark.parametrize(("by", "ok"), [(3, True), (-3, False)])
def test_a_score_drifts_only_downwards(by, ok):
    """Data that was learnt by heart scores higher, which is no fault of new data."""
    assert compare("score", REFERENCE, VALUES + by, only_falls=True)["ok"] is ok


def test_categories_are_told_by_the_most_frequent():
    """Its share before and now; embeddings have no words."""
    kinds = reference([["sea"], ["sea"], ["boat"], ["tank"]] * 10, [""] * 40)
    row = compare("kinds", kinds, [["sea"], ["boat"]] * 20)
    assert (row["reference"], row["now"]) == ("sea 50 %", "50 %")
    cloud = np.random.default_rng(0).normal(size=(40, 3))
    assert compare("cloud", reference(cloud, [""] * 40), cloud)["reference"] is None


def test_the_lines_say_what_has_drifted():
    """A row for each quantity; one that only informs has neither threshold nor mark."""
    rows = [compare("length", REFERENCE, VALUES), compare("width", REFERENCE, VALUES + 3), inform("largest author", "10 %", "60 %")]
    lines = in_words(rows, "400 rows").splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["measure", "length", "width"]
    assert lines[1].endswith("ok") and lines[2].endswith("drifted") and lines[3].split()[-2:] == ["–", "–"]
    assert lines[-1] == "400 rows: drifted: width"
    assert in_words(rows[:1], "400 rows").endswith("400 rows: no drift")
