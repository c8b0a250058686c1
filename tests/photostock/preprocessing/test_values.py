"""Values as programs hand them over, read as they were meant or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.photostock.preprocessing import values

TAGS = ["sea", 'it\'s "old"', "café"]
WRITTEN = {
    "json": '["sea", "it\'s \\"old\\"", "caf\\u00e9"]',
    "python": repr(TAGS),
    "tuple": repr(tuple(TAGS)),
    "array": repr(np.array(TAGS, object)),
    "text of an array": str(np.array(TAGS, object)),
    "numpy's texts": str([np.str_(tag) for tag in TAGS]),
    "with a null": repr([None, *TAGS]),
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_a_list_that_a_program_wrote_as_text_is_a_list(text):
    """As JSON, Python, numpy and pandas write one into a cell."""
    assert values.tags(text) == TAGS


@pytest.mark.parametrize(
    ("text", "tags"),
    [("{sea,tower}", ["sea", "tower"]), ("[sea, tower]", ["sea", "tower"]), ("[]", []), ("[1.0, 2]", ["1", "2"]), ("('sea',)", ["sea"])],
)
def test_a_list_without_quotes_is_a_list(text, tags):
    """As YAML and PostgreSQL write one."""
    assert values.tags(text) == tags


@pytest.mark.parametrize("text", ["sea;tower", "(sea);tower", "[a];[b]", "[2024] harbour", "rock &amp; roll;:-)", "smile :]"])
def test_brackets_alone_make_no_list(text):
    """Tags may have some."""
    assert ";".join(values.tags(text)) == text


@pytest.mark.parametrize(
    "value", ["{'sea': 1}", '[{"name": "sea"}]', "[['sea']]", "['a' ... 'z']", "[a, b, ...]", {"sea": 1}, True, [True]]
)
def test_tags_that_are_no_list_of_texts_are_refused(value):
    """Nested, or cut where they were written."""
    with pytest.raises(ValueError, match="tags: "):
        values.tags(value)


@pytest.mark.parametrize("value", ["['sea']", '{"en": "Sea"}', "b'Sea'", ["sea"], {"en": "Sea"}, True, b"Sea"])
def test_words_are_no_list_and_no_object(value):
    """Nor one that was written as text."""
    with pytest.raises(ValueError, match="title: expected text, found"):
        values.words("title", value)


@pytest.mark.parametrize(("value", "text"), [("[untitled]", "[untitled]"), ("[2019]", "[2019]"), (17.0, "17"), (1.5, "1.5"), ("NaN", "")])
def test_other_values_are_their_text(value, text):
    """A whole number that a data frame made a float is a whole number, a null written as text is none."""
    assert values.words("title", value) == text


@pytest.mark.parametrize("text", ["\u200b", "\ufeff\u200f", "\u3164", "\u2800 \xa0", "\u034f", "\ufe0f", "\U000e0100", "\x00", "\u2028"])
def test_text_that_shows_nothing_is_empty(text):
    """Blanks, formats, fillers and selectors; one visible character among them is enough."""
    assert values.visible(text) == values.words("title", text) == ""
    assert values.visible(text + "海") == text + "海"


@given(texts=st.lists(st.text(min_size=1, max_size=9).filter(lambda text: text not in values.MISSING), max_size=4))
def test_what_python_writes_is_read(texts):
    """Any texts, as repr gives them."""
    assert values.tags(repr(texts)) == texts
