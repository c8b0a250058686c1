"""The page on which a person types words and sees what a model finds among pictures, beside another model."""

import io
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from flask import Flask, Response, abort, request
from PIL import Image

from trainworks.errors import DataError
from trainworks.photostock.evaluation import ranking
from trainworks.photostock.judging import local
from trainworks.photostock.preprocessing.pixels import open_rgb
from trainworks.photostock.search import BATCH, Encoders
from trainworks.progress import Bar
from trainworks.release import stored
from trainworks.report.page import render
from trainworks.storage import places

log = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})

MOST = 20_000
"""Pictures that are looked through: on a laptop more take an hour to embed."""

SHOWN = 12
"""Pictures of an answer."""

LONGEST = 300
"""Letters of a query; what is beyond them is cut. A caption has fewer, and no encoder reads on."""

THUMBNAIL = 256
"""Longer side in pixels of a picture as the page shows it."""


@dataclass(frozen=True)
class Model:
    """A bundle's *encoders*, the *version* it is, and its embeddings of the pictures (n, D)."""

    version: str
    encoders: Encoders
    images: np.ndarray

    def find(self, query: str) -> list[tuple[int, float]]:
        """The SHOWN best pictures for *query*, by number, with their cosines."""
        [best], [score] = ranking.top(self.encoders.texts([query]), self.images, SHOWN)
        return list(zip(best.tolist(), score.tolist(), strict=True))


@dataclass(frozen=True)
class Tried:
    """What can be tried: the *pictures*, one model or two, and how many pictures were left out for each reason."""

    pictures: list[Path]
    models: list[Model]
    left_out: Counter[str]


def load(release: str, folder: str, beside: str | None = None) -> Tried:
    """Embed the pictures below *folder* with the bundle at *release*, and with the one *beside* it, places of a bundle or a release.

    Raises:
        DataError: the folder has no picture that can be read.
        IntegrityError, StorageError, ValueError: as `Encoders.load`.
    """
    root = places.local("PICTURES", folder)
    listed = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    left_out = Counter({f"beyond the first {MOST:,}": len(listed[MOST:])} if listed[MOST:] else {})
    # Located once: a pointer may move in between.
    bundles = [stored.locate(place) for place in (release, beside) if place]
    encoders = [Encoders.load(bundle.uri) for bundle in bundles]
    kept, parts = [], []
    for batch in _batches(listed[:MOST], left_out):
        kept += [path for path, _ in batch]
        parts.append([each.images([image for _, image in batch]) for each in encoders])
    if not kept:
        raise DataError(f"{root}: no picture that can be read among {len(listed)}; expected {', '.join(sorted(SUFFIXES))} in it or below")
    images = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return Tried(kept, [Model(b.version, e, i) for b, e, i in zip(bundles, encoders, images, strict=True)], left_out)


def _batches(paths: Sequence[Path], left_out: Counter[str]) -> Iterator[list[tuple[Path, Image.Image]]]:
    """The pictures at *paths* a few at a time; one that cannot be read is counted."""
    batch = []
    for path in Bar(paths, "pictures"):
        try:
            batch.append((path, open_rgb(path)))
        except DataError as error:
            log.warning("%s", error)
            left_out["not readable"] += 1
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def application(tried: Tried) -> Flask:
    """The page, and the pictures on it, by number: no name of a file comes from outside."""
    app = local.application(__name__)
    some = [(int(number), None) for number in np.unique(np.linspace(0, len(tried.pictures) - 1, SHOWN).astype(int))]

    @app.get("/")
    def search() -> str:
        query = request.args.get("q", "")[:LONGEST].strip()
        began = time.perf_counter()
        found = [(model.version, model.find(query)) for model in tried.models] if query else []
        return render(
            "photostock/judging/tryout.html",
            query=query,
            longest=LONGEST,
            found=found,
            milliseconds=1000 * (time.perf_counter() - began),
            versions=[model.version for model in tried.models],
            names=[path.stem.replace("_", " ") for path in tried.pictures],  # so that lines break between words
            some=some,
            left_out=dict(tried.left_out),
        )

    @lru_cache(maxsize=2000)
    def small(number: int) -> bytes:
        image = open_rgb(tried.pictures[number])
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        return file.getvalue()

    @app.get("/picture/<int:number>")
    def picture(number: int) -> Response:
        if number >= len(tried.pictures):
            abort(404)
        return Response(small(number), mimetype="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    return app
