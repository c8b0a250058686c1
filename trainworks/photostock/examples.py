"""A bundle's examples: pictures and texts of the awkward kinds, and the embeddings that they must have, for a service in any language.

``examples/examples.json`` has ``pictures`` (``file``, ``about``, ``embedding``), ``texts`` (``text``, ``about``, ``embedding``) and the
``least_cosine`` that a service must reach with each.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from trainworks.photostock.search import Encoders

FOLDER, FILE = "examples", "examples.json"
SCHEMA = 1
DIGITS = 6

ALLOWED = 1e-3
"""How far the cosine of an example's embedding may be from 1: other decoders and rounding make 1e-4, a wrong background or kernel 1e-2."""

Compared = tuple[str, float, float]
"""What was compared, how far it is off, and how far it may be."""

TEXTS = {
    "empty": "",
    "a word": "tower",
    "accents": "Café à Zürich, naïve façade",
    "Chinese, Japanese, an emoji": "山 富士の空 🙂",
    "markup": "<b>red & blue</b> {title} &amp; 50 %",
    "longer than the context": "a lighthouse on a rock by the evening sea, " * 40,
    "capitals and blanks": "  RED\tBicycle \n",
    "nothing to see": "\u200b\u00a0",
}


def files(encoders: Path, out: Path) -> dict[str, Path]:
    """Write the examples for *encoders* (a bundle, or the folder of export) to *out*; gives name in a bundle → file."""
    loaded = Encoders.load(encoders)
    pictures = {name: (about, draw()) for name, (about, draw) in PICTURES.items()}
    for name, (_, content) in pictures.items():
        (out / name).write_bytes(content)
    image_ND, text_ND = loaded.images([content for _, content in pictures.values()]), loaded.texts(list(TEXTS.values()))
    told = {
        "schema": SCHEMA,
        "least_cosine": 1 - ALLOWED,
        "pictures": [
            {"file": f"{FOLDER}/{name}", "about": about, "embedding": _rounded(row)}
            for (name, (about, _)), row in zip(pictures.items(), image_ND, strict=True)
        ],
        "texts": [
            {"text": text, "about": about, "embedding": _rounded(row)} for (about, text), row in zip(TEXTS.items(), text_ND, strict=True)
        ],
    }
    (out / FILE).write_text(json.dumps(told) + "\n")
    return {f"{FOLDER}/{name}": out / name for name in (*pictures, FILE)}


def check(bundle: Path) -> list[Compared]:
    """Run the examples of the verified *bundle*: one that is no finite number differs without bound."""
    loaded, told = Encoders.load(bundle), json.loads((bundle / FOLDER / FILE).read_text())
    allowed = 1 - told["least_cosine"]
    now_ND = np.concatenate(
        [
            loaded.images([bundle / each["file"] for each in told["pictures"]]),
            loaded.texts([each["text"] for each in told["texts"]]),
        ]
    )
    every = [*told["pictures"], *told["texts"]]
    off = [1 - float(now_D @ np.array(each["embedding"])) for now_D, each in zip(now_ND, every, strict=True)]
    return [(each["about"], max(value, 0.0) if np.isfinite(value) else np.inf, allowed) for each, value in zip(every, off, strict=True)]


def _rounded(row: np.ndarray) -> list[float]:
    return [round(float(value), DIGITS) for value in row]


def _drawn(width: int = 60, height: int = 45) -> Image.Image:
    """A picture with edges, gradients and a ground that is not white."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([255 * columns / width, 255 * rows / height, 128 + 60 * np.sin(columns / 3)], 2).astype(np.uint8)
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).ellipse((width // 4, height // 4, width // 2, height // 2), fill=(200, 30, 40), outline="black")
    return image


def _encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    return _encoded(_drawn(), "JPEG", quality=95, subsampling=0, exif=exif)


def _transparent() -> Image.Image:
    image = _drawn().convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 60).astype(np.uint8), (45, 1))))
    return image


def _palette() -> bytes:
    return _encoded(_drawn().quantize(16), transparency=3)


def _deep_grey() -> bytes:
    return _encoded(Image.fromarray(np.mgrid[:45, :60].sum(0).astype(np.uint16) * 600))


PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "landscape.png": ("RGB, wider than high", lambda: _encoded(_drawn())),
    "tall.png": ("RGB, much higher than wide", lambda: _encoded(_drawn(17, 90))),
    "large.png": ("RGB, made much smaller", lambda: _encoded(_drawn(640, 427))),
    "transparent.png": ("transparency, from none to all", lambda: _encoded(_transparent())),
    "palette.png": ("a palette with a transparent colour", _palette),
    "grey.png": ("grey", lambda: _encoded(_drawn().convert("L"))),
    "deep-grey.png": ("grey in 16 bits", _deep_grey),
    "turned.jpg": ("JPEG, to be turned by its EXIF tag", _turned),
    "cmyk.jpg": ("JPEG in CMYK", lambda: _encoded(_drawn().convert("CMYK"), "JPEG", quality=95)),
}
"""File → what is awkward about it, and how it is drawn."""
