"""Text augmentation draws what its language says, repeatably, and refuses what makes no sense."""

from collections import Counter

import numpy as np
import open_clip
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks import sampling
from trainworks.errors import LanguageError
from trainworks.photostock.augmentation.augment_text import STEPS, TEMPLATES, TextAugmentation
from trainworks.photostock.preprocessing.text import Prompt, texts

PROMPT = Prompt("{title}. {description} {tags}")


def a_record(title="A cat", description="Asleep on a sofa", tags=("cat", "sofa", "pet"), prompt=PROMPT):
    """A picture's words as the dataset's index has them."""
    fields = {"title": title, "description": description, "tags": np.array(tags, object)}
    candidates = texts(fields, prompt)
    return {**fields, "caption": candidates[0], "texts": np.array(candidates, object)}


def drawn(language, record=None, epochs=400, prompt=PROMPT):
    """How often each text of *record* is drawn."""
    augmentation = TextAugmentation(language, prompt)
    return Counter(augmentation.draw(record or a_record(), sampling.chance(1, epoch, "cat.png")) for epoch in range(epochs))


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)
records = st.builds(a_record, words, st.none() | words, st.lists(words, max_size=4))
languages = st.lists(st.sampled_from(sorted(STEPS)), unique=True).map(
    lambda names: " > ".join(f"{name}(0.5)" if STEPS[name] else name for name in sorted(names, key=list(STEPS).index))
)


@given(languages, records, st.integers(0, 20))
def test_the_same_chance_gives_the_same_text(language, record, epoch):
    """A function of (seed, epoch, id) that never says nothing and leaves the record as it was."""
    before = {name: list(value) if isinstance(value, np.ndarray) else value for name, value in record.items()}
    first, second = (TextAugmentation(language, PROMPT).draw(record, sampling.chance(1, epoch, "cat.png")) for _ in range(2))
    assert first == second and first.strip()
    assert before == {name: list(value) if isinstance(value, np.ndarray) else value for name, value in record.items()}


@given(languages, records, st.integers(0, 20))
def test_nothing_is_said_that_the_record_does_not_say(language, record, epoch):
    """Every word comes from the record's fields or from a template."""
    text = TextAugmentation(language, PROMPT).draw(record, sampling.chance(1, epoch, "cat.png"))
    own = [record["title"], record["description"] or "", *record["tags"]]
    assert {word.strip(".,") for word in text.split()} <= {word for piece in (*own, *TEMPLATES) for word in piece.split()}


@given(records, st.integers(0, 20))
def test_without_steps_it_is_always_the_caption(record, epoch):
    """The empty language, in every epoch."""
    assert TextAugmentation("", PROMPT).draw(record, sampling.chance(1, epoch, "cat.png")) == record["caption"]


@given(records, st.integers(0, 20))
def test_sample_field_is_one_draw_from_the_texts(record, epoch):
    """Exactly one number is drawn, so that a picture's augmentation does not depend on how its text is chosen."""
    rng, same_rng = (sampling.chance(1, epoch, "cat.png") for _ in range(2))
    assert TextAugmentation("sample_field", PROMPT).draw(record, rng) == record["texts"][same_rng.integers(len(record["texts"]))]
    assert rng.random() == same_rng.random()


def test_every_text_is_as_likely():
    """Caption, title, description and tags each come a quarter of the time."""
    counts = drawn("sample_field")
    assert set(counts) == {"A cat. Asleep on a sofa cat, sofa, pet", "A cat", "Asleep on a sofa", "cat, sofa, pet"}
    assert all(70 < count < 130 for count in counts.values())


def test_tags_are_dropped_independently_but_never_all():
    """Of three tags each stays with probability 0.3: each non-empty choice as often as counting says, the empty one never."""
    counts = drawn("drop_tags(0.7)", a_record("", ""), epochs=3000)
    assert set(counts) == {"cat", "sofa", "pet", "cat, sofa", "cat, pet", "sofa, pet", "cat, sofa, pet"}
    one = 0.3 * 0.7**2 + 0.7**3 / 3  # its own draw, or rescued from none
    assert all(abs(counts[tag] / 3000 - one) < 0.03 for tag in ("cat", "sofa", "pet"))
    assert abs(counts["cat, sofa, pet"] / 3000 - 0.3**3) < 0.015


def test_shuffled_tags_come_in_every_order():
    """All six orders of three tags, and no tag lost."""
    counts = drawn("shuffle_tags", a_record("", ""))
    assert len(counts) == 6 and min(counts.values()) > 40


def test_tags_change_only_where_they_are_said():
    """In the caption and in the tags; a title or a description that was drawn stays as it is."""
    counts = drawn("sample_field > drop_tags(1)")
    assert set(counts) == {
        *("A cat", "Asleep on a sofa"),
        *("cat", "sofa", "pet"),
        *(f"A cat. Asleep on a sofa {tag}" for tag in ("cat", "sofa", "pet")),
    }


def test_dropping_the_caption_leaves_the_tags():
    """With its probability; then field sampling has only the tags to choose from."""
    counts = drawn("drop_caption(0.2)")
    assert set(counts) == {"A cat. Asleep on a sofa cat, sofa, pet", "cat, sofa, pet"} and 55 < counts["cat, sofa, pet"] < 105
    assert set(drawn("drop_caption(1) > sample_field")) == {"cat, sofa, pet"}
    spoken = drawn("drop_caption(1) > sample_field", prompt=Prompt("{title}, seen with {tags}"))
    assert set(spoken) == {"seen with cat, sofa, pet", "cat, sofa, pet"}


def test_a_picture_without_tags_keeps_its_caption():
    """There is nothing short to say instead, and nothing to drop."""
    assert set(drawn("drop_caption(1) > drop_tags(0.5) > shuffle_tags", a_record(tags=()))) == {"A cat. Asleep on a sofa"}


def test_a_prompt_without_tags_can_still_be_dropped():
    """Where the prompt has no {tags}, the text is the tags themselves."""
    prompt = Prompt("{title}")
    assert set(drawn("drop_caption(1) > drop_tags(0)", a_record(prompt=prompt), prompt=prompt)) == {"cat, sofa, pet"}


def test_templates_come_with_their_probability():
    """Half of the texts are in one of the templates, braces in a text are only text, and each template comes up."""
    counts = drawn("template(0.5)", a_record("{0} {", "", ()))
    assert set(counts) == {"{0} {", *(template.replace("{}", "{0} {") for template in TEMPLATES)}
    assert 160 < counts["{0} {"] < 240


def test_templates_are_those_of_clip():
    """Each is one of the 80 that the paper's code has, but for article and full stop."""
    published = {template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES}
    assert {template.replace("{}", "a {}.") for template in TEMPLATES} <= published


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("sample_fields", 0, "did you mean 'sample_field'"),
        ("sample_field > drop_tags", 15, r"drop_tags takes a number from 0 to 1, got \(\)"),
        ("drop_tags(1.5)", 0, "takes a number from 0 to 1"),
        ("shuffle_tags(0.5)", 0, "takes no arguments"),
        ("sample_field > sample_field", 15, "comes twice"),
        ("sample_field > drop_caption(0.2)", 15, "drop_caption must come before sample_field; the order is drop_caption > sample_field"),
        ("template(0.5) > shuffle_tags", 16, "shuffle_tags must come before template"),
        ("sample_field | drop_tags(0.3)", 13, "expected '>'"),
    ],
)
def test_a_mistake_is_named_with_its_position(text, position, says):
    """The message names the step, its position and what is allowed."""
    with pytest.raises(LanguageError, match=says) as error:
        TextAugmentation(text, PROMPT)
    assert error.value.position == position
