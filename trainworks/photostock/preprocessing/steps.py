"""What happens to a picture and to a text before an encoder reads it, in order and in numbers, for a service in another language.

It stands in ``inference.json`` as ``steps``; docs/serving.md explains each. What `pixels` and `tokens` do is what is told here.
"""

import json
from typing import Any

from PIL import Image

from trainworks.grammar import calls
from trainworks.photostock.preprocessing.pixels import STEPS, arguments
from trainworks.photostock.preprocessing.tokens import PER_TOKEN

SCHEMA = 1
"""Version of the form that this module writes."""

KERNELS: dict[Image.Resampling, dict[str, Any]] = {
    Image.Resampling.BICUBIC: {"kernel": "cubic", "a": -0.5, "radius": 2},
    Image.Resampling.BILINEAR: {"kernel": "triangle", "radius": 1},
    Image.Resampling.LANCZOS: {"kernel": "lanczos", "radius": 3},
}


def steps(inference: dict[str, Any], tokenizer: str) -> dict[str, Any]:
    """The steps of the settings in *inference* (``image``, ``mean``, ``std``, ``context_length``) and the text of a ``tokenizer.json``."""
    return {"schema": SCHEMA, "picture": _picture(inference), "text": _text(inference, json.loads(tokenizer))}


def _picture(inference: dict[str, Any]) -> list[dict[str, Any]]:
    opened: list[dict[str, Any]] = [
        {"step": "first_frame"},
        {"step": "orient", "by": "EXIF orientation, tag 274"},
        {"step": "deep_grey_to_8_bits", "integer": "value * 255 / 65535", "float": "value * 255", "rounding": "half to even"},
        {
            "step": "flatten",
            "over": [255, 255, 255],
            "alpha": "straight",
            "formula": "(colour * alpha + over * (255 - alpha)) / 255, rounded",
        },
        {
            "step": "to_rgb",
            "grey": "the value three times",
            "palette": "its colours",
            "cmyk": "(255 - ink) * (255 - black) / 255",
            "profile": "ignored",
        },
    ]
    resized = [step for call in calls("image", inference["image"], STEPS) for step in _geometry(inference["image"], call)]
    return [
        *opened,
        *resized,
        {"step": "scale", "by": 1 / 255},
        {"step": "normalise", "formula": "(value - mean) / std", "mean": inference["mean"], "std": inference["std"]},
        {"step": "layout", "order": "batch, channel, row, column", "channels": "RGB", "type": "float32"},
    ]


def _geometry(text: str, call: Any) -> list[dict[str, Any]]:
    """A step of the ``image`` language as its resize, and what it places or cuts."""
    side, interpolation, background = arguments(text, call)
    middle = {"left": "(width - side) / 2", "top": "(height - side) / 2", "rounding": "half to even"}
    if call.name == "center_crop":
        return [{"step": "crop", "side": side, **middle}]
    sizes: dict[str, dict[str, Any]] = {
        "shortest": {"shorter_side": side, "other_side": "side * longer / shorter", "rounding": "down"},
        "pad": {"longer_side": side, "other_side": "side * shorter / longer", "rounding": "half to even", "least": 1},
        "squash": {"width": side, "height": side},
    }
    filtered = {"antialias": True, "order": "horizontally, then vertically", "after_each": "rounded half up and cut to 0 to 255"}
    resize = {"step": "resize", **sizes[call.name], **KERNELS[interpolation], **filtered}
    if call.name != "pad":
        return [resize]
    placed = {"left": "(side - width) / 2", "top": "(side - height) / 2", "rounding": "down"}
    return [resize, {"step": "pad", "side": side, "colour": list(background), **placed}]


def _text(inference: dict[str, Any], tokenizer: dict[str, Any]) -> list[dict[str, Any]]:
    pads, length = tokenizer["padding"], inference["context_length"]
    return [
        {"step": "blank", "what": "a text of blanks, controls and formats only", "becomes": ""},
        {"step": "cut", "characters": PER_TOKEN * length, "after": "blanks at the start are taken off, of longer texts only"},
        {"step": "tokenise", "by": "tokenizer.json", "special_tokens": True},
        {
            "step": "truncate",
            "length": length,
            "side": tokenizer["truncation"]["direction"].lower(),
            "special_tokens": "counted and kept: a cut text ends with the same token as a short one",
        },
        {"step": "pad", "length": length, "id": pads["pad_id"], "side": pads["direction"].lower()},
        {"step": "layout", "order": "batch, token", "type": "int64"},
    ]
