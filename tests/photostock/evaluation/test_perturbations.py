"""Changes of pictures and texts: pure functions of what they change and of a strength."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import draw
from trainworks.photostock.evaluation import perturbations
from trainworks.photostock.evaluation.perturbations import PICTURES, SEEDS, TEXTS

TEXT = st.text("ab cR,yY-é", max_size=30) | st.lists(st.sampled_from(["Red car", "two DOGS", "sea", "black and white"])).map(", ".join)


def variants(change, text: str) -> set[str]:
    """Everything that *change* makes of *text*."""
    return {change(text, seed) for seed in SEEDS[:200]}


@pytest.mark.parametrize("name", PICTURES)
def test_a_changed_picture_is_a_function_of_picture_and_strength(name):
    """Twice the same, another picture than before, and the original untouched."""
    change, picture = PICTURES[name], draw("red", "triangle", 5)
    for strength in (change.strengths[0], change.strengths[-1]):
        first, again = change.apply(picture, strength), change.apply(picture, strength)
        assert first.mode == "RGB" and first.tobytes() == again.tobytes() and first.tobytes() != picture.tobytes()
    assert picture.tobytes() == draw("red", "triangle", 5).tobytes()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_one_pixel_can_be_changed(name):
    """Catalogues have such pictures."""
    change = PICTURES[name]
    assert min(min(change.apply(Image.new("RGB", (1, 3), "blue"), strength).size) for strength in change.strengths) >= 1


def test_pictures_change_as_much_as_is_said():
    """Sizes in per cent, noise in levels of 255."""
    picture = Image.new("RGB", (200, 100), (128, 128, 128))
    assert perturbations.rescaling(picture, 50).size == (100, 50) and perturbations.border(picture, 10).size == (220, 120)
    assert np.std(np.asarray(perturbations.noise(picture, 8)).astype(float)) == pytest.approx(8, rel=0.03)


@pytest.mark.parametrize("name", TEXTS)
@given(text=TEXT, seed=st.sampled_from(SEEDS))
def test_a_changed_text_is_a_function_of_text_and_seed(name, text, seed):
    """Twice the same, whatever the text."""
    change = TEXTS[name].apply
    assert change(text, seed) == change(text, seed)


@given(text=TEXT, seed=st.sampled_from(SEEDS))
def test_case_and_order_lose_no_word(text, seed):
    """The same letters but for their case, and the same tags but for their order."""
    assert perturbations.case(text, seed).casefold() == text.casefold()
    assert sorted(perturbations.tag_order(text, seed).split(", ")) == sorted(text.split(", "))


def test_words_change_as_in_the_tables():
    """In the case they were written in, and nothing where no word is known."""
    assert variants(perturbations.plural, "Two cats, CITY") == {"Two cat, CITY", "Two cats, CITIES"}
    assert variants(perturbations.plural, "boxes of leaves") == {"box of leaves", "boxes of leaf"}
    assert variants(perturbations.synonyms, "Car, CARPET") == {"Automobile, CARPET"}
    assert variants(perturbations.synonyms, "xyzzy") == variants(perturbations.plural, "xyzzy") == {"xyzzy"}


def test_a_typo_is_one_slip_that_keeps_the_first_letter():
    """A letter left out, doubled, or exchanged with the next; short words are spelt right."""
    found = variants(perturbations.typos, "a bird") - {"a bird"}
    assert found == {"a brd", "a bid", "a biird", "a birrd", "a brid", "a bidr"}
    assert variants(perturbations.typos, "a cat") == {"a cat"}


def test_a_contrast_contradicts_the_text():
    """Every place of the attribute changes, to another of its kind that the text does not have."""
    found = variants(perturbations.contrast, "Black and white cat, black")
    assert "Red and white cat, red" in found and "Black and pink cat, black" in found
    assert not any(text in found for text in ("White and white cat, white", "Black and black cat, black", "Black and white cat, black"))
    assert variants(perturbations.contrast, "small dog") == {"big dog", "large dog"}
    assert variants(perturbations.contrast, "a blueish day trip") == {"a blueish night trip"}
