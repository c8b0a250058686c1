"""Serving: a released bundle as two encoders, with onnxruntime and without torch.

>>> encoders = Encoders.load("artifacts/photostock")    # doctest: +SKIP
>>> scores = encoders.texts(["red bicycle"]) @ encoders.images(["a.jpg", "b.png"]).T    # doctest: +SKIP
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from trainworks.errors import DataError, IntegrityError
from trainworks.photostock.facts import PIPELINE
from trainworks.photostock.preprocessing import values
from trainworks.photostock.preprocessing.pixels import ImageSource, Preprocessing, normalise, open_rgb
from trainworks.photostock.preprocessing.text import Prompt
from trainworks.photostock.preprocessing.tokens import Tokenizer
from trainworks.photostock.preprocessing.values import visible
from trainworks.release import stored
from trainworks.sessions import Session

SCHEMA = 1
"""Version of ``inference.json`` that this code reads."""

ANY_LENGTH = "length"
"""What a text encoder that reads no padding calls the number of its tokens."""

BATCH = 32
"""Most pictures an encoder sees at once: bounds memory whatever the caller brings."""

TEXTS = 8
"""Texts an encoder sees at once, of like length: with more of them padding costs more than larger products gain."""


class Encoders:
    """The image and the text encoder of one bundle; both give float32 ``(n, dim)`` with rows of length 1.

    Safe to share between threads, and to load before a server forks its workers. An answer depends on its input only, but for the
    last bits of a float: onnxruntime sums in another order in another batch (6e-8 measured). An int8 encoder would scale its whole
    batch by the largest activation in it (0.03 measured), so it is given one input at a time.
    """

    dim: int
    """Length of an embedding."""

    inference: Mapping[str, Any]
    """``inference.json``: prompt, image, mean, std, context_length, embedding_size, distance, temperature, calibration, schema."""

    @classmethod
    def load(cls, uri: str | Path, *, int8: bool = False) -> "Encoders":
        """Load a bundle, or the current version of a release, from a folder or ``s3://``.

        Every file is checked against the manifest before any is parsed. *int8* takes the quantised encoders the bundle has.

        Raises:
            IntegrityError: the bundle is partial, tampered with, another pipeline's, or of a schema this version does not read.
        """
        bundle = stored.locate(str(uri))
        pipeline = bundle.facts.get("pipeline", PIPELINE)  # the first bundles did not name it
        if pipeline != PIPELINE:
            raise IntegrityError(
                f"{bundle.uri}: a bundle of {pipeline}, which {PIPELINE}'s encoders cannot be loaded from; name one of {PIPELINE}"
            )
        with bundle.folder() as folder:
            return cls(folder, bundle.facts["files"], int8)

    def __init__(self, folder: Path, files: Mapping[str, Any], int8: bool):
        """Load what lies verified in *folder*, with the *files* of its manifest; :meth:`load` is the way in."""
        self.inference = _inference(folder, files)
        self.dim = int(self.inference["embedding_size"])
        self._prompt = Prompt(self.inference["prompt"])
        self._preprocessing = Preprocessing(self.inference["image"])
        self._tokenizer = Tokenizer(folder / "tokenizer.json")
        self._image_encoder = _Encoder(folder, "image_encoder", BATCH, files, int8)
        self._text_encoder = _Encoder(folder, "text_encoder", TEXTS, files, int8)
        side, length = self._preprocessing.size, int(self.inference["context_length"])
        self._image_encoder.require([3, side, side], self.dim)
        self._trims = self._text_encoder.takes == [ANY_LENGTH]
        self._text_encoder.require([ANY_LENGTH if self._trims else length], self.dim)
        if self._tokenizer.context_length != length:
            raise IntegrityError(f"{folder}: tokenizer.json gives {self._tokenizer.context_length} tokens, inference.json says {length}")

    def images(self, pictures: Iterable[ImageSource]) -> np.ndarray:
        """Pictures (PIL, paths or encoded bytes; any mode, size and EXIF rotation) → float32 ``(n, dim)``, in their order.

        Raises:
            DataError: one of them cannot be read; the message says which and why.
            TypeError: not a list of pictures, or anything else of one dimension and an order, such as a pandas Series.
        """
        listed = _listed(pictures, "pictures (PIL, paths or bytes)", Image.Image, str, Path, bytes)
        return self._embed(self._image_encoder, listed, self._pixels)

    def texts(self, texts: Iterable[str]) -> np.ndarray:
        """Texts as a user types them → float32 ``(n, dim)``, in their order; an empty text is a text, and what shows nothing is empty.

        Raises:
            TypeError: not a list of texts, or anything else of one dimension and an order, such as a pandas Series.
        """
        texts = [visible(text) for text in _listed(texts, "texts", str)]
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        result = np.empty((len(texts), self.dim), np.float32)
        result[order] = self._embed(self._text_encoder, [texts[number] for number in order], self._ids)
        return result

    def records(self, records: Iterable[Mapping[str, Any]]) -> np.ndarray:
        """Records with any of ``title``, ``description`` and ``tags``, by the bundle's prompt → float32 ``(n, dim)``, in their order.

        Raises:
            DataError: a field is neither text nor a number, tags no list of such; the message says of which.
            TypeError: not a list of mappings, or anything else of one dimension and an order.
        """
        captions = []
        for number, record in enumerate(_listed(records, "records (mappings; of a data frame, to_dict('records'))", Mapping)):
            try:
                captions.append(self._prompt.render(values.record(record)))
            except ValueError as error:
                raise DataError(f"record {number}: {error}") from error
        return self.texts(captions)

    def _embed(self, encoder: "_Encoder", inputs: Sequence[Any], prepare: Callable[[Sequence[Any]], np.ndarray]) -> np.ndarray:
        result = np.empty((len(inputs), self.dim), np.float32)
        for start in range(0, len(inputs), encoder.batch):
            stop = start + encoder.batch
            try:
                result[start:stop] = encoder(prepare(inputs[start:stop]))
            except DataError as error:
                raise DataError(f"of inputs {start} to {min(stop, len(inputs)) - 1}: {error}") from error
        return result

    def _pixels(self, pictures: Sequence[ImageSource]) -> np.ndarray:
        pixels = np.stack([self._preprocessing.apply(open_rgb(picture)) for picture in pictures])
        return normalise(pixels, self.inference["mean"], self.inference["std"])

    def _ids(self, texts: Sequence[str]) -> np.ndarray:
        return self._tokenizer(texts, trimmed=self._trims)


def _listed(inputs: Iterable[Any], what: str, *kinds: type) -> list[Any]:
    """*inputs* as a list of *what*, each of one of *kinds*: their order is that of the embeddings."""
    one = isinstance(inputs, str | bytes | bytearray | Path | Image.Image) or not isinstance(inputs, Iterable)
    if one or isinstance(inputs, Mapping | Set) or getattr(inputs, "ndim", 1) != 1:
        raise TypeError(f"expected a list of {what}, got {type(inputs).__name__}")
    listed = list(inputs)
    for number, each in enumerate(listed):
        if not isinstance(each, kinds):
            raise TypeError(f"expected {what}, got {type(each).__name__} as number {number}")
    return listed


class _Encoder:
    """One ONNX graph: an array in, embeddings out."""

    def __init__(self, folder: Path, name: str, batch: int, files: Mapping[str, Any], int8: bool):
        quantised = int8 and f"{name}.int8.onnx" in files
        self.batch = 1 if quantised else batch
        self._session = Session(folder / f"{name}{'.int8' if quantised else ''}.onnx")
        self._input, shape = self._session.inputs[0]
        self.takes = shape[1:]

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self._session.run({self._input: batch})[0]

    def require(self, shape: list[Any], dim: int) -> None:
        """Refuse a graph that does not take and give what ``inference.json`` says."""
        gives = self._session.outputs[0][1][1:]
        if self.takes != shape or gives != [dim]:
            raise IntegrityError(
                f"{self._session.path}: takes {self.takes} and gives {gives} per input, inference.json says {shape} and {[dim]}"
            )


def _inference(folder: Path, files: Mapping[str, Any]) -> Mapping[str, Any]:
    """``inference.json`` of a bundle that names all it needs."""
    needed = ("image_encoder.onnx", "text_encoder.onnx", "tokenizer.json", "inference.json")
    if missing := [name for name in needed if name not in files]:
        raise IntegrityError(f"{folder}: its manifest does not name {', '.join(missing)}; this is not a bundle, or part of one")
    content = json.loads((folder / "inference.json").read_text())
    if content.get("schema") != SCHEMA:
        raise IntegrityError(
            f"{folder}: inference.json has schema {content.get('schema')!r}, this trainworks reads {SCHEMA}; use the one that made it"
        )
    return MappingProxyType(content)
