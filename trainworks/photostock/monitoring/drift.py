"""Has what comes in changed? A catalogue, and perhaps a query log, against the reference profile of a bundle."""

import csv
import json
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
from tqdm import tqdm

from trainworks.errors import DataError, IntegrityError
from trainworks.photostock.catalogue import catalogue
from trainworks.photostock.catalogue.repairs import caption_title
from trainworks.photostock.monitoring import profile
from trainworks.photostock.preparation.decode import decode
from trainworks.photostock.preparation.originals import originals
from trainworks.photostock.preprocessing.text import Prompt
from trainworks.photostock.rejected import Rejected
from trainworks.photostock.search import BATCH, Encoders
from trainworks.release import stored
from trainworks.release.stored import StoredBundle
from trainworks.report import terminal as lines

log = logging.getLogger(__name__)

ROWS, PICTURES, QUERIES = 20_000, 1_000, 5_000
"""At most so many rows, so many of their pictures and so many queries are looked at, the same ones every time."""

LEAST = 30
"""Pictures, or queries, below which no distribution is to be seen."""

THRESHOLD = 0.25
"""Shift from which on data has drifted. Of a PSI it is Siddiqi's; of embeddings, as a share of their variance, half a standard
deviation squared: a medium effect (J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988)."""

SCORES = ("picture and its caption, cosine", "best answer, cosine")
"""Quantities that drift only when their median falls: pictures that trained the model score higher than held-out ones."""


def drift(bundle: str, source: str, queries: Path | None = None) -> dict[str, Any]:
    """Compare the catalogue at *source*, and the log *queries*, with the profile of *bundle*, by its own encoders.

    ``measures`` has a row for each quantity of ``profile``: ``reference`` and ``now`` in words, the ``shift`` between them, its
    ``threshold`` and whether it is ``ok``; a row without threshold only informs. ``ok`` says whether all are. The threshold is
    THRESHOLD or, if that is more, the most that halves of the reference differ from each other, and more in a smaller sample.

    Args:
        bundle: a bundle or a release, a folder or ``s3://`` URI.
        source: as for ``catalogue.read``.
        queries: text file with a query a line, CSV with a column ``query``, or JSONL with strings or objects with a ``query``.

    Raises:
        DataError: catalogue or log cannot be read, or hold fewer than LEAST usable pictures or queries.
        IntegrityError: the bundle is damaged, or older than profiles.
        StorageError: S3 does not give something; says what to do.
    """
    located = stored.locate(bundle)
    told, stored_size = _profile(located)
    encoders = Encoders.load(located.uri)
    asked = None if queries is None else _sampled(read_queries(queries))
    rows, pictures = _catalogue(source, stored_size)
    captions = _captions(rows, encoders.inference["prompt"])
    places = sorted(pictures)
    images = _images(encoders, [pictures[place][0] for place in places])
    found = profile.of_pictures(
        images,
        encoders.texts([captions[place] for place in places]),
        {name: told["measures"][f"{name} embedding"]["mean"] for name in ("picture", "caption")},
    )
    found |= {"shorter side, pixels": np.array([pictures[place][1] for place in places], float)}
    found |= profile.of_rows(rows, captions)
    measures = [_measure(name, told["measures"][name], values) for name, values in found.items()]
    measures.append(_largest(told["contributors"], [row["contributor"] for row in rows]))
    if asked and told["queries"]:
        measures += _asked(encoders, told, asked, images)
    return {"rows": len(rows), "pictures": len(places), "measures": measures, "ok": all(row["ok"] for row in measures)}


def terminal(found: Mapping[str, Any]) -> str:
    """What `drift` found, as lines of text."""
    head = ("measure", "reference", "now", "shift", "threshold", "")
    rows = [
        [*(row[name] for name in ("measure", "reference", "now")), *(_short(row[name]) for name in ("shift", "threshold")), _mark(row)]
        for row in found["measures"]
    ]
    drifted = [row["measure"] for row in found["measures"] if not row["ok"]]
    end = f"drifted: {'; '.join(drifted)}" if drifted else "no drift"
    return f"{lines.table(head, rows)}\n\n{found['rows']:,} rows, {found['pictures']:,} pictures: {end}"


def read_queries(path: Path) -> list[str]:
    """The queries in *path*, each as often as it was asked; blank ones are left out.

    Raises:
        DataError: no such file, not UTF-8, a line without a query where one must be, or fewer than LEAST queries.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                table = csv.DictReader(file)
                if "query" not in (table.fieldnames or ()):
                    raise DataError(f"{path}: expected a column 'query', found {', '.join(table.fieldnames or ()) or 'no header'}")
                found = [row["query"] or "" for row in table]
            elif path.suffix == ".jsonl":
                found = [_json_query(path, number, line) for number, line in enumerate(file, 1) if line.strip()]
            else:
                found = list(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable query log ({error}); expected UTF-8 text, CSV or JSONL, one query a line") from error
    found = [query.strip() for query in found if query.strip()]
    if len(found) < LEAST:
        raise DataError(f"{path}: {len(found)} queries are too few to compare; expected at least {LEAST}")
    return found


def _json_query(path: Path, number: int, line: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}: line {number} is not JSON ({error})") from error
    query = value.get("query") if isinstance(value, dict) else value
    if not isinstance(query, str):
        raise DataError(f'{path}: line {number} has no query; expected "text" or {{"query": "text"}}')
    return query


def _sampled(queries: list[str]) -> list[str]:
    """At most QUERIES of them; a frequent query stays frequent."""
    chosen = np.random.default_rng(0).permutation(len(queries))[:QUERIES]
    return [queries[k] for k in sorted(chosen.tolist())]


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
    found = catalogue.read(source)
    usable = found.table.filter(pc.equal(found.table["rejected"], ""))
    lot = np.array([zlib.crc32(name.encode()) for name in usable["id"].to_pylist()])
    titles = pc.value_counts(usable["title"])
    shared = dict(zip(titles.field("values").to_pylist(), titles.field("counts").to_pylist(), strict=True))
    chosen = usable.take(pa.array(np.argsort(lot, kind="stable")[:ROWS]))
    rows = chosen.drop_columns(["bytes"]).to_pylist()
    for row in rows:
        row["title"], _ = caption_title(row["title"], posixpath.basename(row["image"]), shared[row["title"]], row["contributor"])
    reader = originals(found.root)

    def look(place: int) -> tuple[Image.Image, int] | None:
        try:
            data = chosen["bytes"][place].as_py() or reader.read(rows[place]["image"], rows[place]["fingerprint"])
            picture = decode(data, stored_size)
        except Rejected as reason:
            log.info("%s: %s", rows[place]["id"], reason)
            return None
        return picture.pixels, min(picture.width, picture.height)

    count = min(PICTURES, len(rows))
    with ThreadPoolExecutor() as pool:
        looked = list(tqdm(pool.map(look, range(count)), "pictures", count, delay=2, leave=False))
    pictures = {place: picture for place, picture in enumerate(looked) if picture}
    if len(pictures) < LEAST:
        raise DataError(f"source {source!r}: {len(pictures)} usable pictures are too few to compare; expected at least {LEAST}")
    return rows, pictures


def _captions(rows: list[dict[str, Any]], prompt: str) -> list[str]:
    render = Prompt(prompt).render
    return [render(row) for row in rows]


def _images(encoders: Encoders, pictures: list[Image.Image]) -> np.ndarray:
    starts = tqdm(range(0, len(pictures), BATCH), "embed", delay=2, leave=False)
    return np.concatenate([encoders.images(pictures[start : start + BATCH]) for start in starts])


def _asked(encoders: Encoders, told: Mapping[str, Any], asked: list[str], images: np.ndarray) -> Iterator[dict[str, Any]]:
    """The measures of queries; the best answer only where there are as many pictures to find as the reference had."""
    distinct = list(dict.fromkeys(asked))
    number = {text: k for k, text in enumerate(distinct)}
    embedded = encoders.texts(distinct)[[number[text] for text in asked]]
    center = np.asarray(told["queries"]["query embedding"]["mean"])
    for name, values in profile.of_queries(asked, embedded, center, images[: told["answered_by"]]).items():
        if name != SCORES[1] or len(images) >= told["answered_by"]:
            yield _measure(name, told["queries"][name], values)


def _measure(name: str, told: Mapping[str, Any], values: profile.Values) -> dict[str, Any]:
    size = (1 + told["n"] / len(values)) / 4  # variance of n against m rows, in those of two halves of n
    threshold = max(THRESHOLD, told["noise"] * max(1.0, size))
    found = profile.shift(told, values)
    reference, now = _words(told, values)
    ok = found <= threshold or (name in SCORES and float(np.median(np.asarray(values))) >= told["median"])
    return {"measure": name, "reference": reference, "now": now, "shift": found, "threshold": threshold, "ok": ok}


def _words(told: Mapping[str, Any], values: profile.Values) -> tuple[str | None, str | None]:
    """The reference and *values* in short: a median, or the share of what was most frequent."""
    if "median" in told:
        return f"{told['median']:.3g}", f"{np.median(np.asarray(values)):.3g}"
    if "names" in told:
        before, after = (np.asarray(count)[0] / max(np.sum(count), 1) for count in (told["counts"], profile.counts(told, values)))
        return f"{told['names'][0]} {100 * before:.0f} %", f"{100 * after:.0f} %"
    return None, None


def _largest(told: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The largest contributor's share. It informs only: a batch of new pictures comes from few people, and that is no drift."""
    before, after = (f"{100 * max(shares, default=0):.0f} %" for shares in (told["shares"], profile.contributors(names)["shares"]))
    return {"measure": "largest contributor", "reference": before, "now": after, "shift": None, "threshold": None, "ok": True}


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _mark(row: Mapping[str, Any]) -> str:
    return "" if row["threshold"] is None else "ok" if row["ok"] else "drifted"
