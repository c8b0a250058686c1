"""The ``gates`` knob: bounds in words, refused where they would not mean what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.errors import LanguageError
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.evaluation.measures import BEHAVIOUR, MEASURES, Asked, parse


def test_gates_are_comparisons_in_their_order():
    """Spaces do not matter; a waiver belongs to its own gate."""
    assert parse("recall >= 0.25, forgetting<=5e-2 waived ,parity <= 1e-5") == [
        Asked("recall", 0.25, False),
        Asked("forgetting", 0.05, True),
        Asked("parity", 1e-5, False),
    ]


def test_a_loss_may_be_asked_to_be_negative():
    """A model that must be better than its release, with confidence."""
    assert parse("regression <= -0.01, gain >= -.5") == [Asked("regression", -0.01, False), Asked("gain", -0.5, False)]


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "no gate at all"),
        ("  \n", 0, "no gate at all"),
        ("recall >= 0.2,", 14, "expected a gate such as recall >= 0.25, found ''"),
        ("recall >= 0.2, , gain >= 0", 15, "expected a gate such as recall >= 0.25, found ''"),
        (">= 0.2", 0, "expected a gate such as recall >= 0.25, found '>= 0.2'"),
        ("recal >= 0.2", 0, "unknown 'recal', expected one of recall, gain, .*did you mean 'recall'"),
        ("gain >= 0, rotatoin >= 0.9", 11, "did you mean 'rotation'"),
        ("recall >= 0.2, recall >= 0.3", 15, "'recall' stands here a second time"),
        ("recall <= 0.2", 7, "recall takes >=, found '<='"),
        ("gain >= 0, rejected >= 0.1", 20, "rejected takes <=, found '>='.*must be at most"),
        ("recall => 0.2", 7, "recall takes >=, found '=>'"),
        ("recall > 0.2", 7, "recall takes >=, found '>'"),
        ("recall 0.2", 7, "recall takes >=, found ''"),
        ("recall >=", 9, "recall takes a number from 0 to 1, found ''"),
        ("recall >= 25", 10, "recall takes a number from 0 to 1, found '25'"),
        ("recall >= 25%", 10, "found '25%'"),
        ("recall >= -0.1", 10, "from 0 to 1, found '-0.1'"),
        ("gain >= -1.1", 8, "gain takes a number from -1 to 1, found '-1.1'"),
        ("recall >= nan", 10, "found 'nan'"),
        ("recall >= 1_0", 10, "found '1_0'"),
        ("recall >= 0.2 waved", 14, "the word waived after recall >= 0.2, found 'waved'"),
        ("recall >= 0.2 gain >= 0", 14, "expected ','"),
    ],
)
def test_a_mistake_is_told_with_its_position(text, position, says):
    """What was found, what is allowed, and the nearest name."""
    with pytest.raises(LanguageError, match=says) as told:
        parse(text)
    assert told.value.position == position


def test_the_knob_is_checked_before_anything_runs():
    """A section with a bad gate cannot be built; the default can."""
    assert GateConfig().gates
    with pytest.raises(LanguageError, match="gates: unknown 'recal'"):
        GateConfig(gates="recal >= 0.2")


def test_what_must_be_large_and_what_must_be_small():
    """Rates of behaviour are floors, as are recall and gain; all else is a ceiling."""
    floors = {name for name, measure in MEASURES.items() if measure.must == "at least"}
    assert floors == {"recall", "gain", *BEHAVIOUR}


@given(st.lists(st.tuples(st.sampled_from(sorted(MEASURES)), st.floats(0, 1), st.booleans()), min_size=1, unique_by=lambda row: row[0]))
def test_every_list_of_gates_can_be_written(rows):
    """Whatever is asked for comes back from its words."""
    signs = {"at least": ">=", "at most": "<="}
    text = ", ".join(f"{name} {signs[MEASURES[name].must]} {bound!r}{' waived' * waived}" for name, bound, waived in rows)
    assert parse(text) == [Asked(*row) for row in rows]


@given(st.text(alphabet="recalginpty_ <>=,.0123-e\nwvd", max_size=40) | st.text(max_size=20))
def test_no_text_breaks_the_parser(text):
    """It is read, or refused with a position inside it."""
    try:
        assert parse(text)
    except LanguageError as error:
        assert 0 <= error.position <= len(text)
