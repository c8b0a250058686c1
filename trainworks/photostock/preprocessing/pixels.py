"""From any picture to the square RGB array that the image tower reads; training and serving run this same code."""

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from trainworks.errors import DataError, LanguageError
from trainworks.grammar import Call, calls

GREY_STEPS = {"1": 255, "L;2": 85, "L;4": 17}
"""How Pillow calls grey of 1, 2 and 4 bits in a file → what it makes of a step."""

DEPTHS = (255, 1023, 4095, 16383, 65535)
"""What white is in grey of 8, 10, 12, 14 and 16 bits, all of which cameras and scanners store in 16."""

ImageSource = Image.Image | str | Path | bytes
"""What a caller may hand in: an opened picture, its path, or its encoded bytes."""

SMALLEST, LARGEST = 16, 1024
"""Sides a preprocessed picture may have, in pixels."""

TALLEST = 100
"""Times its width that a picture may be high to be resized horizontally first."""

INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}

STEPS = ("shortest", "center_crop", "squash", "pad")

BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128)}


class Preprocessing:
    """The ``image`` little language: a picture to a square, as in ``shortest(224) > center_crop(224)``.

    Its steps, all resizing with antialiasing:
        ``shortest(n)``      resize until the shorter side is n
        ``center_crop(n)``   keep the n × n middle
        ``squash(n)``        resize both sides to n, whatever the aspect
        ``pad(n, colour)``   resize until the longer side is n, centred on white (the default), black or grey

    A step that resizes takes an interpolation as well, bicubic (the default), bilinear or lanczos: ``squash(224, bilinear)``.

    Rounding is that of torchvision's ``Resize`` and ``CenterCrop``, which pretrained towers saw.

    Raises:
        LanguageError: an unknown step, wrong arguments, or steps that do not end in a square.
    """

    def __init__(self, text: str):
        self.text = text
        self.size, self._steps = _compile(text)

    def apply(self, image: Image.Image) -> np.ndarray:
        """An RGB picture of any size → uint8 ``(size, size, 3)``."""
        if image.mode != "RGB":
            raise ValueError(f"expected an RGB picture, got mode {image.mode!r}: pass it through to_rgb first")
        for step in self._steps:
            image = step(image)
        return np.array(image)


def normalise(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 ``(n, height, width, 3)`` → float32 ``(n, 3, height, width)``: scaled to 0…1, less *mean*, over *std*."""
    planes = pixels.transpose(0, 3, 1, 2).astype(np.float32, order="C")
    offset, scale = (np.float32(255) * np.asarray(values, np.float32)[:, None, None] for values in (mean, std))
    planes -= offset
    planes /= scale
    return planes


def open_rgb(source: ImageSource) -> Image.Image:
    """Any picture, its path or its encoded bytes → RGB, upright, on white.

    Raises:
        DataError: it cannot be read as a picture; the message says which and why.
    """
    if isinstance(source, Image.Image):
        rgb = to_rgb(source)
        return rgb.copy() if rgb is source else rgb
    name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return to_rgb(image)
    except Exception as error:  # what a decoder raises on a broken file is not limited to OSError
        raise DataError(f"{name}: cannot be read as a picture ({type(error).__name__}: {error})") from error


def load(image: Image.Image) -> None:
    """Decode the first frame of *image*; what a PNG calls transparent then is in the depth of the pixels, not of the file."""
    if image.tell():
        image.seek(0)
    stored = str(image.tile[0].args) if isinstance(image, ImageFile.ImageFile) and image.tile else ""
    key = image.info.get("transparency")
    if isinstance(key, int) and stored in GREY_STEPS:
        image.info["transparency"] = key * GREY_STEPS[stored]
    elif isinstance(key, tuple) and ";16" in stored:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    image.load()


def to_rgb(image: Image.Image) -> Image.Image:
    """The first frame of *image* as RGB: turned upright by its EXIF tag, transparency on white, deep grey scaled to 8 bits.

    This comes before any resizing, and once: a bare ``convert("RGB")`` turns 16-bit grey white and
    drawings on transparent ground black. An upright RGB picture without transparency is returned itself, since a copy takes as
    long as decoding. Raises what Pillow raises on a broken file.
    """
    load(image)
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _grey(image).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        on_white = Image.new("RGB", rgba.size, "white")
        on_white.paste(rgba, mask=rgba.getchannel("A"))
        return on_white
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Deep grey → 8 bits: whole numbers by the least of DEPTHS that holds them, floats of 0…1 by that, others from least to most."""
    transparent = image.info.get("transparency")
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    whites = (1.0,) if image.mode == "F" else DEPTHS
    if low >= 0 and high <= whites[-1]:
        low, high = 0.0, next(white for white in whites if high <= white)
    grey = np.rint((values - low) * (255 / (high - low or 1.0))).astype(np.uint8)
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def _compile(text: str) -> tuple[int, list[Callable[[Image.Image], Image.Image]]]:
    """The side of the final square and the steps that lead to it."""
    steps: list[Callable[[Image.Image], Image.Image]] = []
    shorter_side = 0  # after the steps so far; 0 before the first, when it can be any
    shortest_interpolation = Image.Resampling.BICUBIC
    square = False
    parsed = calls("image", text, STEPS)
    for call in parsed:
        side, interpolation, background = arguments(text, call)
        if call.name == "shortest":
            shortest_interpolation = interpolation
            steps.append(partial(_shortest, side=side, interpolation=interpolation, window=None))
        elif call.name == "squash":
            steps.append(partial(_squash, side=side, interpolation=interpolation))
        elif call.name == "pad":
            steps.append(partial(_pad, side=side, interpolation=interpolation, background=background))
        elif side > shorter_side:
            picture = f"a picture of only {shorter_side} pixels" if shorter_side else "a picture of unknown size"
            raise LanguageError("image", text, call.position, f"center_crop({side}) cuts {picture}; put shortest({side}) before it")
        elif square:
            steps.append(partial(_crop, side=side))
        else:
            steps[-1] = partial(_shortest, side=shorter_side, interpolation=shortest_interpolation, window=side)
        shorter_side, square = side, square or call.name != "shortest"
    if not square:
        raise LanguageError("image", text, parsed[-1].position, f"does not end in a square; add > center_crop({shorter_side})")
    return shorter_side, steps


def arguments(text: str, call: Call) -> tuple[int, Image.Resampling, tuple[int, int, int]]:
    """Side, interpolation and background of a step; the last two have defaults."""
    side, *words = call.args or (None,)
    if not isinstance(side, int) or not SMALLEST <= side <= LARGEST:
        raise LanguageError("image", text, call.position, f"{call.name} takes a whole side of {SMALLEST} to {LARGEST} pixels, got {side!r}")
    choices: dict[str, dict[str, Any]] = {"center_crop": {}, "pad": {**BACKGROUNDS, **INTERPOLATIONS}}
    allowed = choices.get(call.name, INTERPOLATIONS)
    for word in words:
        if word not in allowed:
            expected = f"nothing or some of {', '.join(allowed)}" if allowed else "nothing more"
            raise LanguageError("image", text, call.position, f"after its side {call.name} takes {expected}, got {word!r}")
    backgrounds = [word for word in words if word in BACKGROUNDS]
    interpolations = [word for word in words if word in INTERPOLATIONS]
    if len(backgrounds) > 1 or len(interpolations) > 1:
        raise LanguageError(
            "image", text, call.position, f"{call.name} takes one colour and one interpolation, got {', '.join(map(str, words))}"
        )
    interpolation = interpolations[0] if interpolations else "bicubic"
    background = backgrounds[0] if backgrounds else "white"
    return side, INTERPOLATIONS[str(interpolation)], BACKGROUNDS[str(background)]


def _resize(
    image: Image.Image,
    size: tuple[int, int],
    interpolation: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Horizontally, then vertically: Pillow itself begins with either from version 13 on, which makes other pixels than before."""
    left, top, right, bottom = box or (0, 0, *image.size)
    if image.height > TALLEST * image.width:
        return image.resize(size, interpolation, box)  # the other order, or what lies between would not fit into memory
    between = image.resize((size[0], image.height), interpolation, (left, 0, right, image.height))
    return between.resize(size, interpolation, (0, top, size[0], bottom))


def _shortest(image: Image.Image, side: int, interpolation: Image.Resampling, window: int | None) -> Image.Image:
    """Resize until the shorter side is *side*; only the middle *window* is computed, so that a 1 × 50 000 picture stays small."""
    width, height = image.size
    short = min(width, height)
    scaled = int(side * width / short), int(side * height / short)
    if window is None:
        return _resize(image, scaled, interpolation)
    left, top, right, bottom = _middle(scaled, window)
    across, down = width / scaled[0], height / scaled[1]
    box = (left * across, top * down, right * across, bottom * down)
    return _resize(image, (window, window), interpolation, box)


def _squash(image: Image.Image, side: int, interpolation: Image.Resampling) -> Image.Image:
    return _resize(image, (side, side), interpolation)


def _pad(image: Image.Image, side: int, interpolation: Image.Resampling, background: tuple[int, int, int]) -> Image.Image:
    long = max(image.size)
    width, height = (max(1, round(side * length / long)) for length in image.size)
    canvas = Image.new("RGB", (side, side), background)
    canvas.paste(_resize(image, (width, height), interpolation), ((side - width) // 2, (side - height) // 2))
    return canvas


def _crop(image: Image.Image, side: int) -> Image.Image:
    return image.crop(_middle(image.size, side))


def _middle(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    left, top = (round((length - side) / 2) for length in size)
    return left, top, left + side, top + side
