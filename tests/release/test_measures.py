"""The language of gates: bounds in words, refused where they would not mean what they say, and judged by what was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.errors import LanguageError
from trainworks.release.measures import Asked, Measure, judge, parse

MEASURES = {
    "growth": Measure("at least", "share that grew"),
    "gain": Measure("at least", "growth gained", least=-1),
    "rotation": Measure("at least", "share of answers that stay"),
    "loss": Measure("at most", "growth lost", least=-1),
    "weight": Measure("at most", "kilograms", most=80),
}


def test_gates_are_comparisons_in_their_order():
    """Spaces do not matter; a waiver belongs to its own gate."""
    assert parse("growth >= 0.25, loss<=5e-2 waived ,weight <= 79", MEASURES) == [
        Asked("growth", 0.25, False),
        Asked("loss", 0.05, True),
        Asked("weight", 79, False),
    ]


def test_a_loss_may_be_asked_to_be_negative():
    """Down to what the measure allows."""
    assert parse("loss <= -0.01, gain >= -.5", MEASURES) == [Asked("loss", -0.01, False), Asked("gain", -0.5, False)]


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "no gate at all.*to release whatever comes: growth >= 0.25 waived"),
        ("  \n", 0, "no gate at all"),
        ("growth >= 0.2,", 14, "expected a gate such as growth >= 0.25, found ''"),
        ("growth >= 0.2, , gain >= 0", 15, "expected a gate such as growth >= 0.25, found ''"),
        (">= 0.2", 0, "expected a gate such as growth >= 0.25, found '>= 0.2'"),
        ("growt >= 0.2", 0, "unknown 'growt', expected one of growth, gain, .*did you mean 'growth'"),
        ("gain >= 0, rotatoin >= 0.9", 11, "did you mean 'rotation'"),
        ("growth >= 0.2, growth >= 0.3", 15, "'growth' stands here a second time"),
        ("growth <= 0.2", 7, "growth takes >=, found '<='"),
        ("gain >= 0, weight >= 0.1", 18, "weight takes <=, found '>='.*kilograms must be at most"),
        ("growth => 0.2", 7, "growth takes >=, found '=>'"),
        ("growth > 0.2", 7, "growth takes >=, found '>'"),
        ("growth 0.2", 7, "growth takes >=, found ''"),
        ("growth >=", 9, "growth takes a number from 0 to 1, found ''"),
        ("growth >= 25", 10, "growth takes a number from 0 to 1, found '25'"),
        ("growth >= 25%", 10, "found '25%'"),
        ("growth >= -0.1", 10, "from 0 to 1, found '-0.1'"),
        ("weight <= 81", 10, "weight takes a number from 0 to 80, found '81'"),
        ("gain >= -1.1", 8, "gain takes a number from -1 to 1, found '-1.1'"),
        ("growth >= nan", 10, "found 'nan'"),
        ("growth >= 1_0", 10, "found '1_0'"),
        ("growth >= 0.2 waved", 14, "the word waived after growth >= 0.2, found 'waved'"),
        ("growth >= 0.2 gain >= 0", 14, "expected ','"),
    ],
)
def test_a_mistake_is_told_with_its_position(text, position, says):
    """What was found, what is allowed, and the nearest name."""
    with pytest.raises(LanguageError, match=says) as error:
        parse(text, MEASURES)
    assert error.value.position == position


@given(st.lists(st.tuples(st.sampled_from(sorted(MEASURES)), st.floats(0, 1), st.booleans()), min_size=1, unique_by=lambda row: row[0]))
def test_every_list_of_gates_can_be_written(rows):
    """Whatever is asked for comes back from its words."""
    signs = {"at least": ">=", "at most": "<="}
    text = ", ".join(f"{name} {signs[MEASURES[name].must]} {bound!r}{' waived' * waived}" for name, bound, waived in rows)
    assert parse(text, MEASURES) == [Asked(*row) for row in rows]


@given(st.text(alphabet="growthginl_ <>=,.0123-e\nwvd", max_size=40) | st.text(max_size=20))
def test_no_text_breaks_the_parser(text):
    """It is read, or refused with a position inside it."""
    try:
        assert parse(text, MEASURES)
    except LanguageError as error:
        assert 0 <= error.position <= len(text)


def test_gates_are_judged_by_what_was_measured():
    """Each with its meaning, its bound and what there is to say; one that fails is enough unless it is waived."""
    values = {"growth": (0.5, "12 cases"), "loss": (0.42 - 0.37, "")}
    verdict = judge("growth >= 0.6 waived, loss <= 0.05", MEASURES, values.__getitem__)
    assert verdict["passed"] is True
    assert [(row["gate"], row["value"], row["passed"], row["waived"], row["note"]) for row in verdict["gates"]] == [
        ("growth", 0.5, False, True, "12 cases"),
        ("loss", 0.05, True, False, ""),
    ]
    assert [row["meaning"] for row in verdict["gates"]] == ["share that grew", "growth lost"]


def test_a_bound_is_not_missed_by_rounding():
    """0.42 - 0.37 is a little less than 0.05, which is enough."""
    assert 0.42 - 0.37 < 0.05
    assert judge("gain >= 0.05", MEASURES, lambda name: (0.42 - 0.37, ""))["passed"] is True
