"""A service written from docs/serving.md alone: numpy, torchvision's decoders, Hugging Face's tokenizers and onnxruntime.

Nothing of this project is imported here, and no Pillow: what is not in ``inference.json`` cannot be known.
"""

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers
import torch
from torchvision.io import ImageReadMode, decode_image


class Service:
    """A bundle's folder, served."""

    def __init__(self, folder: Path):
        self.settings = json.loads((folder / "inference.json").read_text())
        self.steps = self.settings["steps"]
        assert self.steps["schema"] == 1
        self.graphs = {name: onnxruntime.InferenceSession(folder / of["file"]) for name, of in self.settings["graphs"].items()}
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def image(self, encoded: bytes) -> np.ndarray:
        """The embedding of one encoded picture."""
        return self._run("image_encoder", apply(self.steps["picture"], decoded(encoded)))

    def text(self, text: str) -> np.ndarray:
        """The embedding of one text."""
        named = {step["step"]: step for step in self.steps["text"]}
        if all(not character.isprintable() or character.isspace() for character in text):
            text = named["blank"]["becomes"]
        if len(text) > named["cut"]["characters"]:
            text = text.lstrip()[: named["cut"]["characters"]]
        length = named["truncate"]["length"]
        specials = self.tokenizer.num_special_tokens_to_add(False)
        plain = self.tokenizer.encode(text, add_special_tokens=False)
        plain.truncate(length - specials)
        ids = self.tokenizer.post_process(plain).ids
        ids += [named["pad"]["id"]] * (length - len(ids))
        return self._run("text_encoder", np.array([ids], np.int64))

    def _run(self, graph: str, given: np.ndarray) -> np.ndarray:
        return self.graphs[graph].run(None, {self.settings["graphs"][graph]["input"]["name"]: given})[0][0]


def decoded(encoded: bytes) -> np.ndarray:
    """Height × width × channels as libpng or libjpeg gives them; turned upright by its EXIF tag."""
    data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
    planes = decode_image(data, ImageReadMode.UNCHANGED, apply_exif_orientation=True)
    if encoded[:4] == b"\x89PNG" and encoded[25] == 3:
        planes = decode_image(data, ImageReadMode.RGB_ALPHA)  # libpng's colours of a palette
    if encoded[:2] == b"\xff\xd8" and planes.shape[0] == 4:
        planes = decode_image(data, ImageReadMode.RGB, apply_exif_orientation=True)  # libjpeg's CMYK, with the usual formula
    return planes.permute(1, 2, 0).numpy()


def apply(steps: list[dict[str, Any]], pixels: np.ndarray) -> np.ndarray:
    """A decoded picture through *steps*."""
    values = pixels.astype(np.float64)
    for step in steps:
        match step["step"]:
            case "first_frame" | "orient":
                pass  # the decoder did
            case "deep_grey_to_8_bits" if pixels.dtype == np.uint16:
                values = np.rint(values * 255 / 65535)
            case "flatten" if values.shape[2] in (2, 4):
                alpha, over = values[..., -1:], step["over"][0]
                values = np.floor((values[..., :-1] * alpha + over * (255 - alpha)) / 255 + 0.5)
            case "to_rgb":
                values = np.repeat(values, 3, 2) if values.shape[2] == 1 else values
            case "resize":
                values = resized(values, *sizes(step, values.shape[1], values.shape[0]), step)
            case "pad":
                canvas = np.tile(np.array(step["colour"], float), (step["side"], step["side"], 1))
                top, left = ((step["side"] - length) // 2 for length in values.shape[:2])
                canvas[top : top + values.shape[0], left : left + values.shape[1]] = values
                values = canvas
            case "crop":
                top, left = (round((length - step["side"]) / 2) for length in values.shape[:2])
                values = values[top : top + step["side"], left : left + step["side"]]
            case "scale":
                values = values * step["by"]
            case "normalise":
                values = (values - step["mean"]) / step["std"]
            case "layout":
                values = values.transpose(2, 0, 1)[None].astype(np.float32)
    return values


def sizes(step: dict[str, Any], width: int, height: int) -> tuple[int, int]:
    """Width and height after a resize."""
    if "width" in step:
        return step["width"], step["height"]
    one = min(width, height) if "shorter_side" in step else max(width, height)
    side, rounding = step.get("shorter_side", step.get("longer_side")), math.floor if step["rounding"] == "down" else round
    return tuple(max(step.get("least", 1), rounding(Fraction(side * length, one))) for length in (width, height))


def resized(pixels: np.ndarray, width: int, height: int, step: dict[str, Any]) -> np.ndarray:
    """Rows × columns × channels through the step's kernel, widened where the picture shrinks; whole numbers after each direction."""
    across = np.einsum("oi,hic->hoc", weights(pixels.shape[1], width, step), pixels)
    across = np.clip(np.floor(across + 0.5), 0, 255)
    return np.clip(np.floor(np.einsum("oi,iwc->owc", weights(pixels.shape[0], height, step), across) + 0.5), 0, 255)


def weights(size: int, to: int, step: dict[str, Any]) -> np.ndarray:
    """Output × input: each row is the kernel around the output's middle, and sums to 1."""
    scale = size / to
    widened = max(scale, 1.0)
    middles = (np.arange(to) + 0.5) * scale
    x = np.abs((np.arange(size)[None] + 0.5 - middles[:, None]) / widened)
    inside = x < step["radius"]
    if step["kernel"] == "triangle":
        values = 1 - x
    elif step["kernel"] == "lanczos":
        values = np.sinc(x) * np.sinc(x / step["radius"])
    else:
        a = step["a"]
        near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        values = np.where(x < 1, near, far)
    values = np.where(inside, values, 0)
    return values / values.sum(1, keepdims=True)
