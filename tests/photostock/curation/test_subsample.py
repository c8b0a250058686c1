"""The subsample language: what it says, in which order, and what it refuses."""

import subprocess
import sys

import pytest

from trainworks.errors import LanguageError
from trainworks.photostock.curation.subsample import Step, needs_embeddings, steps


def test_steps_are_read_in_order():
    """Names with their limits, and what makes a cluster."""
    assert steps("near_duplicates(1) > similar_texts(3, 0.1) > visual_cluster(50, 200) > contributor(300)") == [
        Step("near_duplicates", 1),
        Step("similar_texts", 3, share=0.1),
        Step("visual_cluster", 50, k=200),
        Step("contributor", 300),
    ]


def test_no_steps_keep_everything():
    """The empty language is a choice, not a mistake."""
    assert steps("") == steps("  ") == []


def test_only_visual_clusters_want_embeddings():
    """The others get by without a tower."""
    assert needs_embeddings("contributor(9) > visual_cluster(50)")
    assert not needs_embeddings("near_duplicates(1) > similar_texts(1, 0.1) > contributor(300)")
    assert not needs_embeddings("")


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("near_duplicate(1)", 0, "did you mean 'near_duplicates'"),
        ("contributor(300) > contributor(200)", 19, "contributor comes twice"),
        ("contributor(300) > near_duplicates(1)", 19, "near_duplicates comes after contributor; remove duplicates before caps"),
        ("visual_cluster(9) > similar_texts(1, 0.1)", 20, "similar_texts comes after visual_cluster"),
        ("near_duplicates", 0, "takes a whole number of pictures from 1, got ()"),
        ("contributor(0)", 0, "takes a whole number of pictures from 1, got (0,)"),
        ("contributor(1.5)", 0, "takes a whole number"),
        ("contributor(many)", 0, "takes a whole number"),
        ("near_duplicates(1) > similar_texts(1)", 21, "a share of edits above 0, at most 0.2"),
        ("similar_texts(1, 0.5)", 0, "a share of edits above 0, at most 0.2"),
        ("visual_cluster(50, 1)", 0, "a whole number of clusters from 2"),
        ("contributor(300) near_duplicates(1)", 17, "expected '>'"),
    ],
)
def test_a_mistake_is_named_with_its_position(text, position, says):
    """The message names the step, its position and what is allowed."""
    with pytest.raises(LanguageError) as error:
        steps(text)
    assert says in str(error.value)
    assert error.value.position == position


def test_reading_it_loads_no_packages():
    """Knobs are checked, and workflows wired, where neither tables nor towers are installed."""
    code = "import sys, trainworks.photostock.curation.subsample as s; s.needs_embeddings('contributor(3)'); print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.split())
    assert not loaded & {"numpy", "pandas", "pyarrow", "torch", "sklearn", "rapidfuzz"}
