"""Augmentation changes pictures as its language says, repeatably, and refuses what it does not know."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import RandAugment

from trainworks import sampling
from trainworks.errors import LanguageError
from trainworks.photostock.augmentation.augment_image import STEPS, Augmentation

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
EVERYTHING = "random_resized_crop(0.5, 1) > flip > color_jitter(0.3) > blur(0.5) > greyscale(0.2) > rand_augment(2, 9)"


def rngs(count=40):
    """Random generators for one picture in *count* epochs."""
    return [sampling.chance(1, epoch, "cat.png") for epoch in range(count)]


@given(st.integers(0, 50))
def test_the_same_chance_gives_the_same_picture(epoch):
    """A function of (seed, epoch, id), of the picture's own shape and type, and of no global generator."""
    augmentation = Augmentation(EVERYTHING)
    first, second = (augmentation.apply(PICTURE, sampling.chance(1, epoch, "cat.png")) for _ in range(2))
    assert (first == second).all()
    assert first.shape == PICTURE.shape and first.dtype == np.uint8


def test_threads_do_not_disturb_each_other():
    """Eight threads that share an augmentation draw what one would, and leave torch's and numpy's generators alone."""
    augmentation = Augmentation(EVERYTHING)
    states = torch.get_rng_state(), np.random.get_state()[1]
    alone = [augmentation.apply(PICTURE, rng) for rng in rngs(200)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda rng: augmentation.apply(PICTURE, rng), rngs(200)))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))
    assert (torch.get_rng_state() == states[0]).all() and (np.random.get_state()[1] == states[1]).all()


def test_every_step_changes_pictures():
    """None of the names is accepted and then ignored."""
    arguments = {"random_resized_crop": "(0.5, 0.9)", "color_jitter": "(0.4)", "blur": "(1)", "greyscale": "(1)", "rand_augment": "(2, 9)"}
    for step in STEPS:
        augmentation = Augmentation(step + arguments.get(step, ""))
        assert any((augmentation.apply(PICTURE, rng) != PICTURE).any() for rng in rngs(8)), step


def test_no_steps_change_nothing():
    """The empty language is the picture itself."""
    assert (Augmentation("").apply(PICTURE, rngs()[0]) == PICTURE).all()


def test_flip_mirrors_about_half_the_time():
    """Either the picture or its mirror image, and both come up."""
    flipped = [(Augmentation("flip").apply(PICTURE, rng) == PICTURE[:, ::-1]).all() for rng in rngs()]
    assert 10 < sum(flipped) < 30


def test_a_crop_shows_a_part_of_the_picture():
    """Of a horizontal ramp, a crop of a quarter of the area shows about half the range; one of all of it, everything."""
    ramp = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], (32, 32, 3)).copy()
    quarter = [int(np.ptp(Augmentation("random_resized_crop(0.25, 0.25)").apply(ramp, rng))) for rng in rngs()]
    full = [int(np.ptp(Augmentation("random_resized_crop(1, 1)").apply(ramp, rng))) for rng in rngs()]
    assert 90 < np.mean(quarter) < 150
    assert min(full) > 200


def test_jitter_changes_brightness_within_its_bound():
    """A grey picture gets at most 20 % brighter or darker, and not always the same."""
    grey = np.full((8, 8, 3), 100, np.uint8)
    means = [Augmentation("color_jitter(0.2)").apply(grey, rng).mean() for rng in rngs()]
    assert min(means) >= 79 and max(means) <= 121
    assert np.std(means) > 5


def test_blur_widens_an_edge_as_a_gaussian_does():
    """A sharp edge, blurred with sigma 0.1 to 2 at 224 pixels, is as steep as 1 / (sigma √2π), and never steeper than it was."""
    edge = np.zeros((224, 224, 3), np.uint8)
    edge[:, 112:] = 255
    slopes = [np.diff(Augmentation("blur(1)").apply(edge, rng)[100, :, 0].astype(int)).max() / 255 for rng in rngs(60)]
    gentlest = 1 / (2 * math.sqrt(2 * math.pi))
    assert gentlest - 0.02 < min(slopes) < gentlest + 0.06
    assert max(slopes) > 0.9


def test_blur_is_the_same_at_any_size():
    """A picture of half the size is blurred with half the sigma: the edge is twice as steep per pixel."""
    small, large = (np.repeat([0, 255], size // 2).astype(np.uint8)[None, :, None].repeat(size, 0).repeat(3, 2) for size in (224, 448))
    for rng, same in zip(rngs(8), rngs(8), strict=True):
        a, b = Augmentation("blur(1)").apply(small, rng), Augmentation("blur(1)").apply(large, same)
        assert np.abs(a[50, :, 0].astype(int) - b[100, :, 0].reshape(224, 2).mean(1)).max() < 16


@pytest.mark.parametrize("step", ["blur", "greyscale"])
def test_a_probability_is_how_often_a_step_happens(step):
    """In about 30 of 100 epochs, in none and in all."""
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)

    def changed(p):
        return sum((Augmentation(f"{step}({p})").apply(noise, rng) != noise).any() for rng in rngs(300))

    assert changed(0) == 0
    assert 70 < changed(0.3) < 110
    assert changed(1) > 250, "but for blurs too weak to show"


def test_greyscale_leaves_luminance():
    """All channels are 0.299 R + 0.587 G + 0.114 B (ITU-R 601)."""
    grey = Augmentation("greyscale(1)").apply(PICTURE, rngs()[0])
    assert np.abs(grey - (PICTURE @ [0.299, 0.587, 0.114])[..., None]).max() <= 1


def test_rand_augment_draws_from_all_operations_of_torchvision():
    """Each picture is one that torchvision's own RandAugment can make of it with one operation, and every one of those comes up."""
    own = RandAugment(1, 20, fill=[255.0, 255.0, 255.0])
    image = Image.fromarray(PICTURE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        possible = {np.asarray(own(image)).tobytes() for _ in range(800)}
    drawn = {Augmentation("rand_augment(1, 20)").apply(PICTURE, rng).tobytes() for rng in rngs(800)}
    assert len(possible) > 20
    assert drawn == possible


def test_parsing_needs_no_torch():
    """Knobs are checked where only the cheap packages are."""
    module = "trainworks.photostock.augmentation.augment_image"
    code = f"import sys; from {module} import Augmentation; Augmentation({EVERYTHING!r}); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("flop", 0, "did you mean 'flip'"),
        ("flip > grayscale(0.1)", 7, "did you mean 'greyscale'"),
        ("flip > color_jitter(2)", 7, "takes a number from 0 to 1"),
        ("random_resized_crop(0.9, 0.5)", 0, "0 < least <= most"),
        ("random_resized_crop(0.9)", 0, "takes 2 numbers"),
        ("flip(0.5)", 0, "takes no arguments"),
        ("blur", 0, r"blur takes a number from 0 to 1, got \(\)"),
        ("flip > rand_augment(2)", 7, "magnitude, 0 to 30"),
        ("rand_augment(2, 31)", 0, "magnitude, 0 to 30"),
        ("rand_augment(0, 9)", 0, "at least 1"),
        ("rand_augment(2, 0.5)", 0, "both whole"),
    ],
)
def test_a_mistake_is_named_with_its_position(text, position, says):
    """The message names the step, its position and what is allowed."""
    with pytest.raises(LanguageError, match=says) as error:
        Augmentation(text)
    assert error.value.position == position
