"""Augmentation changes pictures as its language says, repeatably, and refuses what it does not know."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks import sampling
from trainworks.errors import LanguageError
from trainworks.photostock.augment import Augmentation

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def chances(count=40):
    """Sources of chance for one picture in *count* epochs."""
    return [sampling.chance(1, epoch, "cat.png") for epoch in range(count)]


@given(st.integers(0, 50))
def test_the_same_chance_gives_the_same_picture(epoch):
    """A function of (seed, epoch, id), of the picture's own shape and type."""
    augmentation = Augmentation("random_resized_crop(0.5, 1) > flip > color_jitter(0.3)")
    first, second = (augmentation.apply(PICTURE, sampling.chance(1, epoch, "cat.png")) for _ in range(2))
    assert (first == second).all()
    assert first.shape == PICTURE.shape and first.dtype == np.uint8


def test_no_steps_change_nothing():
    """The empty language is the picture itself."""
    assert (Augmentation("").apply(PICTURE, chances()[0]) == PICTURE).all()


def test_flip_mirrors_about_half_the_time():
    """Either the picture or its mirror image, and both come up."""
    flipped = [(Augmentation("flip").apply(PICTURE, chance) == PICTURE[:, ::-1]).all() for chance in chances()]
    assert 10 < sum(flipped) < 30


def test_a_crop_shows_a_part_of_the_picture():
    """Of a horizontal ramp, a crop of a quarter of the area shows about half the range; one of all of it, everything."""
    ramp = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], (32, 32, 3)).copy()
    quarter = [int(np.ptp(Augmentation("random_resized_crop(0.25, 0.25)").apply(ramp, chance))) for chance in chances()]
    whole = [int(np.ptp(Augmentation("random_resized_crop(1, 1)").apply(ramp, chance))) for chance in chances()]
    assert 90 < np.mean(quarter) < 150
    assert min(whole) > 200


def test_jitter_changes_brightness_within_its_bound():
    """A grey picture gets at most 20 % brighter or darker, and not always the same."""
    grey = np.full((8, 8, 3), 100, np.uint8)
    means = [Augmentation("color_jitter(0.2)").apply(grey, chance).mean() for chance in chances()]
    assert min(means) >= 79 and max(means) <= 121
    assert np.std(means) > 5


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("flop", 0, "did you mean 'flip'"),
        ("flip > color_jitter(2)", 7, "takes 1 numbers from 0 to 1"),
        ("random_resized_crop(0.9, 0.5)", 0, "0 < least <= most"),
        ("random_resized_crop(0.9)", 0, "takes 2 numbers"),
        ("flip(0.5)", 0, "takes no arguments"),
    ],
)
def test_a_mistake_is_named_with_its_position(text, position, says):
    """What was found, where, what is allowed."""
    with pytest.raises(LanguageError, match=says) as error:
        Augmentation(text)
    assert error.value.position == position
