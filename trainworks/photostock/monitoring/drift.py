"""Has what comes in changed? A catalogue, and perhaps a query log, against the reference profile of a bundle."""

import logging
import posixpath
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from trainworks.drift import LEAST, Measured, compare, in_words, inform
from trainworks.errors import DataError, IntegrityError
from trainworks.photostock.catalogue import catalogue
from trainworks.photostock.catalogue.repairs import caption_title
from trainworks.photostock.monitoring import profile, query_log
from trainworks.photostock.preparation.decode import decode
from trainworks.photostock.preparation.originals import originals
from trainworks.photostock.preprocessing.text import Prompt
from trainworks.photostock.rejected import Rejected
from trainworks.photostock.search import BATCH, Encoders
from trainworks.profile import Values
from trainworks.progress import Bar
from trainworks.release import stored
from trainworks.release.stored import StoredBundle

log = logging.getLogger(__name__)

ROWS, PICTURES = 20_000, 1_000
"""At most so many rows, and so many of their pictures, are compared, the same ones every time."""

BEST_ANSWER = "best answer, cosine"

SCORES = ("picture and its caption, cosine", BEST_ANSWER)
"""Quantities that drift only when their median falls: pictures that trained the model score higher than held-out ones."""


def drift(bundle: str, source: str, queries: str | Path | None = None) -> dict[str, Any]:
    """Compare the catalogue at *source*, and the log *queries*, with the profile of *bundle*, by its own encoders.

    ``measures`` has a row for each quantity of ``profile``: ``reference`` and ``now`` in words, the ``shift`` between them, its
    ``threshold`` and whether it is ``ok``, as ``trainworks.drift.compare`` has them; a row without threshold only informs. ``ok``
    says whether all are.

    Args:
        bundle: a bundle or a release, a folder or ``s3://`` URI.
        source: as for ``catalogue.read``.
        queries: as for ``query_log.read``.

    Raises:
        DataError: catalogue or log cannot be read, or hold fewer than LEAST usable pictures or queries.
        IntegrityError: the bundle is damaged, or older than profiles.
        StorageError: S3 does not give something; says what to do.
    """
    located = stored.locate(bundle)
    reference, stored_size = _profile(located)
    encoders = Encoders.load(located.uri)
    asked = None if queries is None else query_log.sample(query_log.read(queries))
    rows, pictures = _catalogue(source, stored_size)
    captions = _captions(rows, encoders.inference["prompt"])
    places = sorted(pictures)
    images = _images(encoders, [pictures[place][0] for place in places])
    quantities = profile.of_pictures(
        images,
        encoders.texts([captions[place] for place in places]),
        {name: reference["measures"][f"{name} embedding"]["mean"] for name in ("picture", "caption")},
    )
    quantities |= {"shorter side, pixels": np.array([pictures[place][1] for place in places], float)}
    quantities |= profile.of_rows(rows, captions)
    measures = [*_measured(reference["measures"], quantities)]
    measures.append(_largest(reference["contributors"], [row["contributor"] for row in rows]))
    if asked and reference["queries"]:
        measures += _of_queries(encoders, reference, asked, images)
    return {"rows": len(rows), "pictures": len(places), "measures": measures, "ok": all(row["ok"] for row in measures)}


def terminal(comparison: Mapping[str, Any]) -> str:
    """What `drift` measured, as lines of text."""
    compared = f"{comparison['rows']:,} rows, {comparison['pictures']:,} pictures"
    return in_words(comparison["measures"], compared)


def _profile(bundle: StoredBundle) -> tuple[dict[str, Any], int]:
    """The profile of *bundle*, and the size at which its pictures were stored."""
    reference = bundle.json(profile.FILE)
    if reference is None or "stored_size" not in bundle.facts["config"]:
        raise IntegrityError(f"{bundle.uri}: has no {profile.FILE}, as bundles from before profiles; package the run again")
    if reference.get("schema") != profile.SCHEMA:
        raise IntegrityError(f"{bundle.uri}: {profile.FILE} has schema {reference.get('schema')!r}, this trainworks reads {profile.SCHEMA}")
    return reference, bundle.facts["config"]["stored_size"]


def _catalogue(source: str, stored_size: int) -> tuple[list[dict[str, Any]], dict[int, tuple[Image.Image, int]]]:
    """A sample of the usable rows, and for some of them the picture as it would be stored and its shorter side in pixels."""
    whole = catalogue.read(source)
    usable = whole.table.filter(pc.equal(whole.table["rejected"], ""))
    lot = np.array([zlib.crc32(name.encode()) for name in usable["id"].to_pylist()])
    titles = pc.value_counts(usable["title"])
    shared = dict(zip(titles.field("values").to_pylist(), titles.field("counts").to_pylist(), strict=True))
    chosen = usable.take(pa.array(np.argsort(lot, kind="stable")[:ROWS]))
    rows = chosen.drop_columns(["bytes"]).to_pylist()
    for row in rows:
        row["title"], _ = caption_title(row["title"], posixpath.basename(row["image"]), shared[row["title"]], row["contributor"])
    reader = originals(whole.root)

    def picture_of(place: int) -> tuple[Image.Image, int] | None:
        try:
            data = chosen["bytes"][place].as_py() or reader.read(rows[place]["image"], rows[place]["fingerprint"])
            picture = decode(data, stored_size)
        except Rejected as reason:
            log.info("%s: %s", rows[place]["id"], reason)
            return None
        return picture.pixels, min(picture.width, picture.height)

    count = min(PICTURES, len(rows))
    with ThreadPoolExecutor() as pool:
        decoded = list(Bar(pool.map(picture_of, range(count)), "pictures", count))
    pictures = {place: picture for place, picture in enumerate(decoded) if picture}
    if len(pictures) < LEAST:
        raise DataError(f"source {source!r}: {len(pictures)} usable pictures are too few to compare; expected at least {LEAST}")
    return rows, pictures


def _captions(rows: list[dict[str, Any]], prompt: str) -> list[str]:
    render = Prompt(prompt).render
    return [render(row) for row in rows]


def _images(encoders: Encoders, pictures: list[Image.Image]) -> np.ndarray:
    starts = Bar(range(0, len(pictures), BATCH), "embed")
    return np.concatenate([encoders.images(pictures[start : start + BATCH]) for start in starts])


def _of_queries(encoders: Encoders, reference: Mapping[str, Any], asked: list[str], images: np.ndarray) -> Iterator[Measured]:
    """The measures of queries; the best answer only where there are as many pictures to find as the reference had."""
    distinct = list(dict.fromkeys(asked))
    number = {text: k for k, text in enumerate(distinct)}
    embedded = encoders.texts(distinct)[[number[text] for text in asked]]
    center = np.asarray(reference["queries"]["query embedding"]["mean"])
    quantities = profile.of_queries(asked, embedded, center, images[: reference["answered_by"]])
    if len(images) < reference["answered_by"]:
        del quantities[BEST_ANSWER]
    return _measured(reference["queries"], quantities)


def _measured(references: Mapping[str, Any], quantities: Mapping[str, Values]) -> Iterator[Measured]:
    return (compare(name, references[name], values, only_falls=name in SCORES) for name, values in quantities.items())


def _largest(reference: Mapping[str, Any], names: list[str]) -> Measured:
    """The largest contributor's share. It informs only: a batch of new pictures comes from few people, and that is no drift."""
    before, now = (f"{100 * max(shares, default=0):.0f} %" for shares in (reference["shares"], profile.contributors(names)["shares"]))
    return inform("largest contributor", before, now)
