"""The shared parser: every mistake has its position and what was expected."""

import pytest

from trainworks.errors import LanguageError
from trainworks.grammar import calls, pairs, tagged


def test_sums_and_rows_of_calls_differ_in_the_sign_between_them():
    """One parser reads both."""
    assert [call.name for call in calls("x", "a(1) > b", ("a", "b"))] == ["a", "b"]
    assert [call.args for call in calls("x", "a(1, 0.5) + b", ("a", "b"), "+")] == [(1, 0.5), ()]


def test_a_tag_says_more_about_a_name():
    """With arguments or without."""
    (moon, river) = tagged("x", "moon@always + river @ past(2)", ("always", "past"))
    assert (moon.name, moon.tag.name, river.tag.args, river.position) == ("moon", "always", (2,), 14)


def test_pairs_may_have_spaces_in_their_values():
    """As columns of people's own tables do."""
    assert [(pair.name, pair.value) for pair in pairs("x", "date: day sold , kind:type")] == [("date", "day sold"), ("kind", "type")]


@pytest.mark.parametrize(
    ("parse", "text", "position", "words"),
    [
        (lambda text: calls("x", text, ("a", "b"), "+"), "a > b", 2, "expected '+'"),
        (lambda text: calls("x", text, ("apple",), "+"), "aple", 0, "did you mean 'apple'"),
        (lambda text: tagged("x", text, ("always", "past")), "moon", 4, "expected @ and one of always, past"),
        (lambda text: tagged("x", text, ("always", "past")), "moon@pst", 5, "did you mean 'past'"),
        (lambda text: tagged("x", text, ("always", "past")), "moon@past(", 9, "expected '+'"),
        (lambda text: tagged("x", text, ("always", "past")), "moon@past(?)", 10, "expected a number or a word"),
        (lambda text: tagged("x", text, ("always", "past")), "moon@past +", 11, "expected a name"),
        (lambda text: pairs("x", text), "a: 1, a: 2", 6, "a second time"),
        (lambda text: pairs("x", text), "a: 1; b: 2", 7, "expected ','"),
        (lambda text: pairs("x", text), "a", 0, "expected a pair"),
        (lambda text: pairs("x", text), "a: 1,", 5, "expected a pair"),
    ],
)
def test_a_mistake_has_its_position(parse, text, position, words):
    """And says what was expected there."""
    with pytest.raises(LanguageError) as error:
        parse(text)
    assert error.value.position == position
    assert words in str(error.value)
