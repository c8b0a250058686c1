"""The prompt: what a caption looks like when fields are missing, and which prompts are refused."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.errors import LanguageError
from trainworks.photostock.preprocessing.text import Prompt, texts

DEFAULT = Prompt("{title}. {description} {tags}")

words = st.lists(st.text("abcxyz", min_size=1, max_size=4), max_size=3).map(" ".join)
records = st.fixed_dictionaries({"title": words, "description": words, "tags": st.lists(words, max_size=3)})


@pytest.mark.parametrize(
    ("record", "caption"),
    [
        ({"title": "Red fox", "description": "On snow", "tags": ["fox", "snow"]}, "Red fox. On snow fox, snow"),
        ({"tags": "a; b"}, "a, b"),
        ({"title": "Red fox"}, "Red fox"),
        ({"title": "Red fox", "tags": ["snow"]}, "Red fox. snow"),
        ({"description": "On snow", "tags": []}, "On snow"),
        ({"title": None, "description": "  ", "tags": [" ", ""]}, ""),
        ({"title": math.nan, "description": "On snow", "tags": math.nan}, "On snow"),
        ({"title": "Fox!", "description": "On snow.", "tags": "x"}, "Fox! On snow. x"),
        ({"title": 1984}, "1984"),
    ],
)
def test_a_missing_field_vanishes_with_its_punctuation(record, caption):
    """A missing field leaves no stop, comma or space behind, and a stop is never doubled."""
    assert DEFAULT.render(record) == caption


@pytest.mark.parametrize(
    ("prompt", "record", "caption"),
    [
        ("a photo of {title}.", {"title": "a fox"}, "a photo of a fox."),
        ("a photo of {title}.", {}, ""),
        ("{title} ({tags}), {description}", {"title": "Fox", "description": "On snow"}, "Fox On snow"),
        ("{title} ({tags}), {description}", {"title": "Fox", "tags": "red"}, "Fox (red)"),
        ("{title}; tagged {tags}", {"title": "Fox"}, "Fox"),
        ("{title}; tagged {tags}", {"tags": "red"}, "tagged red"),
        ("{title}, {tags}, stock photo", {"tags": "red"}, "red, stock photo"),
        ("{tags}", {"title": "Fox"}, ""),
    ],
)
def test_a_field_owns_the_words_and_brackets_around_it(prompt, record, caption):
    """Words that lead to a missing field go with it; words after the last field stay."""
    assert Prompt(prompt).render(record) == caption


@given(records)
def test_punctuation_stands_only_between_words(record):
    """With every combination of fields: never at an end, never doubled, never two spaces."""
    caption = DEFAULT.render(record)
    assert re.fullmatch(r"(\w+((\. |, | )\w+)*)?", caption)


@given(records, st.sampled_from([" ", "\n", "\t  "]))
def test_rendering_ignores_how_much_white_space_there_is(record, space):
    """A record with stray spaces and line breaks gets the caption of the tidy one."""
    stray = {"title": space + record["title"].replace(" ", space), "description": record["description"] + space}
    stray["tags"] = (space + ";" + space).join(record["tags"])
    assert DEFAULT.render(stray) == DEFAULT.render(record)


@given(records)
def test_texts_are_distinct_and_none_is_empty(record):
    """A picture's training texts: its caption first, then the fields that differ from it."""
    distinct_texts = texts(record, DEFAULT)
    assert len(set(distinct_texts)) == len(distinct_texts) and all(distinct_texts)
    assert bool(distinct_texts) == any([record["title"], record["description"], *record["tags"]])
    assert not distinct_texts or distinct_texts[0] == DEFAULT.render(record)


def test_texts_of_a_record_with_only_a_title():
    """The caption is the title, so there is one text and not two."""
    assert texts({"title": "Fox"}, DEFAULT) == ["Fox"]
    assert texts({"title": "Fox", "tags": ["red", "snow"]}, DEFAULT) == ["Fox. red, snow", "Fox", "red, snow"]


def test_a_record_without_a_caption_has_no_texts():
    """With a prompt of tags alone, a picture with a title but no tags has no text."""
    assert texts({"title": "Fox"}, Prompt("{tags}")) == []


@pytest.mark.parametrize(
    ("prompt", "position", "words"),
    [
        ("{titel}. {tags}", 1, "did you mean 'title'"),
        ("{title}. {contributor}", 10, "unknown 'contributor'"),
        ("{title}. {tags", 9, "without its partner"),
        ("title}", 5, "without its partner"),
        ("{{title}}", 0, "without its partner"),
        ("{}", 1, "expected one of title, description, tags"),
        ("a photo", 0, "no field"),
        ("", 0, "no field"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused_with_its_position(prompt, position, words):
    """The message says where it is wrong and what is allowed."""
    with pytest.raises(LanguageError, match="prompt: ") as error:
        Prompt(prompt)
    assert error.value.position == position
    assert words in str(error.value)
