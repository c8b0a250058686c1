"""The pictures of a report: small, with the words and the names that belong to them."""

import base64
import io
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from trainworks.errors import DataError
from trainworks.photostock.preparation.shards import stored_pictures
from trainworks.photostock.training.samples import Sample
from trainworks.report.page import short
from trainworks.storage import manifest

THUMBNAIL = 112
"""Longer side of a picture that a search gives, in pixels."""

SEEN = 160
"""Longer side of a picture as the model saw it, in pixels: details are the point of it."""


_ADDRESS = re.compile(r"[<(\[]?(mailto:)?[^\s<>()\[\]@,;]+@[^\s<>()\[\]@,;]+\.[^\s<>()\[\]@,;]+[>)\]]?", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """A picture on the page; *uri* holds it, made small, as a ``data:`` URI; *text* is what it was shown to the model with."""

    title: str
    contributor: str
    licence: str
    uri: str
    text: str = ""

    @property
    def content(self) -> bytes:
        """The WebP file that *uri* holds."""
        return base64.b64decode(self.uri.partition(",")[2])


def thumbnails(dataset: Path, shards: Sequence[Path], ids: Collection[str], longest: int = THUMBNAIL) -> dict[str, Picture]:
    """The pictures called *ids*, drawn at most *longest* pixels long from the pixels that the shards store.

    Raises:
        DataError: the dataset has no such picture, or its shard is not among *shards*.
    """
    folders = {manifest.digest(shard): shard for shard in shards}
    members = defaultdict(list)
    for row in _rows(dataset, ids).values():
        members[row["shard"]].append(row)
    pictures = {}
    for digest, here in members.items():
        if digest not in folders:
            raise DataError(f"picture {here[0]['id']!r} is in shard {digest[:12]}…, which is not among the {len(shards)} shards given")
        for place, stored in stored_pictures(folders[digest], [row["row"] for row in here]):
            with Image.open(io.BytesIO(stored)) as image:
                pictures[here[place]["id"]] = small(here[place], image, longest)
    return pictures


def seen(dataset: Path, samples: Sequence[Sample]) -> list[Picture]:
    """The *samples* of training, each with the text it met.

    Raises:
        DataError: the dataset has no such picture.
    """
    rows = _rows(dataset, {sample.id for sample in samples})
    return [small(rows[sample.id], Image.fromarray(sample.pixels), SEEN, sample.text) for sample in samples]


def credits(pictures: Collection[Picture]) -> dict[str, dict[str, list[str]]]:
    """Licence → contributor → titles of the *pictures*, each once and in order of the alphabet."""
    titles: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for licence, contributor, title in sorted({(p.licence, p.contributor, p.title) for p in pictures}):
        titles[licence][contributor].append(title)
    return titles


def without_address(contributor: str) -> str:
    """The name of a *contributor* without an e-mail address in or around it; of an address alone, what stands before the @."""
    name = _ADDRESS.sub("", contributor).strip(" ,;-")
    return name or contributor.strip(" <>()").partition("@")[0]


def _rows(dataset: Path, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """What the dataset says of the pictures called *ids*."""
    columns = ["id", "shard", "row", "title", "contributor", "licence"]
    wanted = pc.field("id").isin(pa.array(sorted(ids), pa.string()))
    rows = pq.read_table(dataset / "index.parquet", columns=columns, filters=wanted).to_pylist()
    if strange := set(ids) - {row["id"] for row in rows}:
        raise DataError(
            f"{dataset}: the dataset lacks {sorted(strange)[0]!r}, which the report is to show; "
            "make the checkpoint and the answers from this dataset again"
        )
    return {row["id"]: row for row in rows}


def small(row: dict[str, Any], image: Image.Image, longest: int, text: str = "") -> Picture:
    """*image*, at most *longest* pixels on its longer side, named by its *row* (``id``, ``title``, ``contributor``, ``licence``)."""
    image.thumbnail((longest, longest))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=80)
    uri = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    title = row["title"] or f"untitled, {row['id']}"
    contributor, licence = without_address(row["contributor"] or "") or "unknown contributor", row["licence"] or "licence not stated"
    return Picture(short(title), short(contributor), short(licence), uri, text)
