"""The ``augment_image`` little language: what a training picture goes through anew in every epoch."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from trainworks.errors import LanguageError
from trainworks.grammar import Call, calls

Step = Callable[[Image.Image, np.random.Generator], Image.Image]

STEPS = ("random_resized_crop", "flip", "color_jitter", "blur", "greyscale", "rand_augment")
BLUR = 0.1, 2.0
"""Least and most sigma of the blur, in pixels of a picture 224 wide: Chen et al. 2020 (arXiv 2002.05709), appendix A."""
_MAGNITUDES = 30


class Augmentation:
    """Steps such as ``random_resized_crop(0.6, 1.0) > flip > color_jitter(0.2)``; an empty text is none.

    ``random_resized_crop(least, most)``  a crop of that share of the area, 3:4 to 4:3, back to full size
                                          (Szegedy et al. 2014, arXiv 1409.4842, section 6)
    ``flip``                              mirrored left to right, every other time
    ``color_jitter(x)``                   brightness, contrast and saturation each times 1 - x … 1 + x
    ``blur(p)``                           with probability p, a Gaussian blur of the strength in ``BLUR``
    ``greyscale(p)``                      with probability p, without its colours
    ``rand_augment(n, magnitude)``        n of torchvision's 14 operations, each as strong as magnitude, 0 to 30, says
                                          (Cubuk et al. 2019, arXiv 1909.13719; torchvision's own choice is 2, 9)

    Every choice is drawn from the generator that ``apply`` is given, so threads may share one augmentation.

    Raises:
        LanguageError: an unknown step or wrong arguments.
    """

    def __init__(self, text: str):
        self.text = text
        self._steps = [_step(text, call) for call in calls("augment_image", text, STEPS)] if text.strip() else []

    def apply(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 ``(size, size, 3)`` → the same shape, at random by *rng*."""
        if not self._steps:
            return pixels
        image = Image.fromarray(pixels)
        for step in self._steps:
            image = step(image, rng)
        return np.asarray(image)


def shares(knob: str, text: str, call: Call, count: int) -> list[float]:
    """The arguments of *call*: *count* numbers from 0 to 1.

    Raises:
        LanguageError: they are not.
    """
    numbers = [float(value) for value in call.args if not isinstance(value, str) and 0 <= value <= 1]
    if len(numbers) != count or len(call.args) != count:
        expected = {0: "no arguments", 1: "a number from 0 to 1"}.get(count, f"{count} numbers from 0 to 1")
        raise LanguageError(knob, text, call.position, f"{call.name} takes {expected}, got {call.args}")
    return numbers


def _step(text: str, call: Call) -> Step:
    if call.name == "rand_augment":
        count, magnitude = _count_and_magnitude(text, call)
        return lambda image, rng: _rand_augment(image, rng, count, magnitude)
    if call.name == "random_resized_crop":
        least, most = shares("augment_image", text, call, 2)
        if not 0 < least <= most:
            raise LanguageError("augment_image", text, call.position, f"{call.name} takes 0 < least <= most, got {least}, {most}")
        return lambda image, rng: _crop(image, rng, least, most)
    if call.name == "flip":
        shares("augment_image", text, call, 0)
        return lambda image, rng: ImageOps.mirror(image) if rng.random() < 0.5 else image
    (share,) = shares("augment_image", text, call, 1)
    if call.name == "color_jitter":
        return lambda image, rng: _jitter(image, rng, share)
    transform = _blur if call.name == "blur" else _greyscale
    return lambda image, rng: transform(image, rng) if rng.random() < share else image


def _count_and_magnitude(text: str, call: Call) -> tuple[int, int]:
    match call.args:
        case (int(count), int(magnitude)) if count >= 1 and 0 <= magnitude <= _MAGNITUDES:
            return count, magnitude
    expected = f"a number of operations, at least 1, and their magnitude, 0 to {_MAGNITUDES}, both whole"
    raise LanguageError("augment_image", text, call.position, f"rand_augment takes {expected}, got {call.args}")


def _crop(image: Image.Image, rng: np.random.Generator, least: float, most: float) -> Image.Image:
    size = image.width
    side = size * math.sqrt(rng.uniform(least, most))
    aspect = math.exp(rng.uniform(-1, 1) * math.log(4 / 3) / 2)
    width, height = min(size, side * aspect), min(size, side / aspect)
    left, top = rng.uniform(0, size - width), rng.uniform(0, size - height)
    return image.resize(image.size, Image.Resampling.BILINEAR, (left, top, left + width, top + height))


def _jitter(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(1 - strength, 1 + strength))
    return image


def _blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(*BLUR) * image.width / 224))


def _greyscale(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.grayscale(image).convert("RGB")


def _rand_augment(image: Image.Image, rng: np.random.Generator, count: int, magnitude: int) -> Image.Image:
    """torchvision's RandAugment; its own ``forward`` draws from torch's global generator, which other threads use too."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.autoaugment import _apply_op

    operations = _operations(image.width, magnitude)
    for _ in range(count):
        name, strength, signed = operations[rng.integers(len(operations))]
        if signed and rng.random() < 0.5:
            strength = -strength
        # Pixels from outside the picture are white, as is every transparent background.
        image = _apply_op(image, name, strength, InterpolationMode.NEAREST, [255.0, 255.0, 255.0])
    return image


@cache
def _operations(size: int, magnitude: int) -> list[tuple[str, float, bool]]:
    """Name, strength, and whether the strength may be negative too, of torchvision's operations on a picture *size* wide."""
    from torchvision.transforms import RandAugment

    space = RandAugment()._augmentation_space(_MAGNITUDES + 1, (size, size))
    return [(name, float(strengths[magnitude]) if strengths.ndim else 0.0, signed) for name, (strengths, signed) in space.items()]
