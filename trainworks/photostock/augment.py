"""The ``augment_image`` little language: what a training picture goes through anew in every epoch."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from trainworks.errors import LanguageError
from trainworks.grammar import Call, calls

Step = Callable[[Image.Image, np.random.Generator], Image.Image]


class Augmentation:
    """Steps such as ``random_resized_crop(0.6, 1.0) > flip > color_jitter(0.2)``; an empty text is none.

    ``random_resized_crop(least, most)``  a crop of that share of the area, 3:4 to 4:3, back to full size
                                          (Szegedy et al. 2014, arXiv 1409.4842, section 6)
    ``flip``                              mirrored left to right, every other time
    ``color_jitter(x)``                   brightness, contrast and saturation each times 1 - x … 1 + x

    Raises:
        LanguageError: an unknown step or wrong arguments.
    """

    def __init__(self, text: str):
        self.text = text
        self._steps: list[Step] = []
        if text.strip():
            self._steps = [_step(text, call) for call in calls("augment_image", text, ("random_resized_crop", "flip", "color_jitter"))]

    def apply(self, pixels: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        """uint8 ``(size, size, 3)`` → the same shape, by what *chance* draws."""
        if not self._steps:
            return pixels
        image = Image.fromarray(pixels)
        for step in self._steps:
            image = step(image, chance)
        return np.asarray(image)


def _step(text: str, call: Call) -> Step:
    if call.name == "flip":
        _shares(text, call, 0)
        return lambda image, chance: ImageOps.mirror(image) if chance.random() < 0.5 else image
    if call.name == "color_jitter":
        (strength,) = _shares(text, call, 1)
        return lambda image, chance: _jitter(image, chance, strength)
    least, most = _shares(text, call, 2)
    if not 0 < least <= most:
        raise LanguageError("augment_image", text, call.position, f"random_resized_crop takes 0 < least <= most, got {least}, {most}")
    return lambda image, chance: _crop(image, chance, least, most)


def _shares(text: str, call: Call, count: int) -> list[float]:
    shares = [float(value) for value in call.args if not isinstance(value, str) and 0 <= value <= 1]
    if len(shares) != count or len(call.args) != count:
        wants = f"{count} numbers from 0 to 1" if count else "no arguments"
        raise LanguageError("augment_image", text, call.position, f"{call.name} takes {wants}, got {call.args}")
    return shares


def _crop(image: Image.Image, chance: np.random.Generator, least: float, most: float) -> Image.Image:
    size = image.width
    side = size * math.sqrt(chance.uniform(least, most))
    aspect = math.exp(chance.uniform(-1, 1) * math.log(4 / 3) / 2)
    width, height = min(size, side * aspect), min(size, side / aspect)
    left, top = chance.uniform(0, size - width), chance.uniform(0, size - height)
    return image.resize(image.size, Image.Resampling.BILINEAR, (left, top, left + width, top + height))


def _jitter(image: Image.Image, chance: np.random.Generator, strength: float) -> Image.Image:
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(chance.uniform(1 - strength, 1 + strength))
    return image
