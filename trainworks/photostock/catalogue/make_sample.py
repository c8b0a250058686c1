"""The embedded sample, made from Open Clip Art by ``python -m trainworks.photostock.catalogue.make_sample SOURCE TARGET``.

Pictures of the public domain only, small, with their metadata unrepaired. The choice depends
on the catalogue and its pictures alone, so that the sample can be made again.
"""

import argparse
import hashlib
import json
import re
import shutil
import struct
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from trainworks.errors import DataError, TrainworksError
from trainworks.photostock.catalogue.repairs import SHARED_BY, repair
from trainworks.photostock.preprocessing.pixels import open_rgb
from trainworks.progress import Bar

Row = dict[str, Any]

PUBLIC_DOMAIN = frozenset({"http://web.resource.org/cc/PublicDomain", "http://creativecommons.org/licenses/publicdomain/"})
LONGEST_SIDE = 128
"""Of a sample picture, in pixels."""
QUALITY = 82
"""Of its WebP: about 1.6 kB a picture."""

TWINS, SERIES, DESCRIBED, SIZE = 36, 130, 680, 800
"""Pictures chosen in this order, each count with those before it: equal pixels under two names; a title
shared by many; two tags and more; any. The first two are faults that real catalogues have."""
PER_CONTRIBUTOR, PER_FOLDER, PER_TITLE = 110, 40, 10
"""At most so many of one contributor, one folder of the library (``signs_and_symbols/flags``), one title."""

UNFIT = re.compile(r"^(logos|special|unsorted)/|acroread|babe_|coke_|domo_kun|mozilla|sexy|shelby|stripper|vgcats|xbox")
"""Ids left out: trademarks, patterns and pictures without a subject; brands, other people's characters, and what is unfit for a meeting."""


def make(source: Path, target: Path) -> list[Row]:
    """Fill *target* with images/, catalogue.jsonl and CREDITS.md from the catalogue in *source*; its rows.

    Raises:
        DataError: *source* has no catalogue, or too few pictures within the limits.
    """
    catalogue = source / "catalogue.jsonl"
    if not catalogue.is_file():
        raise DataError(f"{catalogue}: no such file; make it with `make openclipart`")
    rows = [json.loads(line) for line in catalogue.read_text(encoding="utf-8").splitlines()]
    thumbnails = {}
    for row in Bar(_eligible(rows), "pictures"):
        if thumbnail := _thumbnail(source / row["image"]):
            thumbnails[row["id"]] = thumbnail
    chosen = choose(rows, {name: thumbnail.tobytes() for name, thumbnail in thumbnails.items()})
    shutil.rmtree(target / "images", ignore_errors=True)
    (target / "images").mkdir(parents=True)
    for row in chosen:
        thumbnails[row["id"]].save(target / row["image"], "WEBP", quality=QUALITY, method=6)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in chosen]
    (target / "catalogue.jsonl").write_text("".join(lines), encoding="utf-8")
    (target / "CREDITS.md").write_text(_credits(chosen), encoding="utf-8")
    return chosen


def choose(rows: list[Row], pixels: dict[str, bytes]) -> list[Row]:
    """The rows of the sample by id, ``image`` renamed to ``images/<original name>.webp``.

    *rows* is the whole catalogue, *pixels* the thumbnail's bytes by id, of the rows that may be chosen.

    Raises:
        DataError: fewer than ``SIZE`` are within the limits.
    """
    titles = Counter(row["title"] for row in rows)
    copies = Counter(pixels.values())
    pool = sorted((row for row in rows if row["id"] in pixels), key=lambda row: hashlib.sha256(row["id"].encode()).digest())
    twins = sorted((row for row in pool if copies[pixels[row["id"]]] == 2), key=lambda row: hashlib.sha256(pixels[row["id"]]).digest())
    shared = sorted((row for row in pool if titles[row["title"]] >= SHARED_BY), key=lambda row: -titles[row["title"]])
    single = [row for row in pool if titles[row["title"]] < SHARED_BY]
    described = [row for row in single if len(repair(row)[0]["tags"]) >= 2]
    taken: dict[str, Row] = {}
    for candidates, count in ((twins, TWINS), (shared, SERIES), (described, DESCRIBED), (single, SIZE)):
        _take(candidates, count, taken)
    if len(taken) < SIZE:
        raise DataError(f"{len(taken)} of {len(rows)} pictures fit the limits of the sample, which needs {SIZE}")
    return sorted(taken.values(), key=lambda row: row["id"])


def _take(candidates: Iterable[Row], count: int, taken: dict[str, Row]) -> None:
    """Add candidates to *taken*, which is by file name, until it has *count*, within the limits; of one file name the first is taken."""
    counts = Counter(limit for row in taken.values() for limit in _limits(row))
    for row in candidates:
        image = f"images/{PurePosixPath(row['image']).stem}.webp"
        limits = _limits(row)
        if len(taken) == count:
            return
        if image.lower() not in taken and all(counts[limit] < most for limit, most in limits.items()):
            taken[image.lower()] = {**row, "image": image}
            counts.update(limits.keys())


def _limits(row: Row) -> dict[tuple[str, str], int]:
    """The (column, value) pairs that *row* counts towards, and how many rows of each may be taken."""
    folder = "/".join(row["id"].split("/")[:-1][:2])
    return {("contributor", row["contributor"]): PER_CONTRIBUTOR, ("folder", folder): PER_FOLDER, ("title", row["title"]): PER_TITLE}


def _eligible(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["licence"] in PUBLIC_DOMAIN and not UNFIT.search(row["id"])]


def _thumbnail(path: Path) -> Image.Image | None:
    """The PNG on white, shrunk; none if it is blank, tiny, more than four times as long as wide, or larger than 20 megapixels."""
    with path.open("rb") as png:
        width, height = struct.unpack(">16x2I", png.read(24))
    short, long = sorted((width, height))
    if long < 32 or long > 4 * short or short * long > 20_000_000:
        return None
    image = open_rgb(path)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return image if np.asarray(image).std() > 3 else None


def _credits(rows: list[Row]) -> str:
    contributors = Counter(" ".join(row["contributor"].split()) for row in rows)
    table = "".join(f"| {_cell(name)} | {count} |\n" for name, count in sorted(contributors.items(), key=lambda item: (-item[1], item[0])))
    return f"""# Credits

These {len(rows)} pictures are from the [Open Clip Art Library](https://openclipart.org), release 0.18, as packaged by Debian
(`openclipart-png`, `openclipart-svg`). Each was dedicated to the public domain by its contributor; `catalogue.jsonl` keeps
the licence's address, the contributor and all other metadata of every picture as they were found, mistakes included.

Made by `python -m trainworks.photostock.catalogue.make_sample data/openclipart trainworks/photostock/sample`: placed on white,
shrunk to at most {LONGEST_SIDE} pixels, stored as WebP.

| Contributor, as stated | Pictures |
|---|---:|
{table}"""


def _cell(name: str) -> str:
    return re.sub(r"([|<])", r"\\\1", name) or "(not stated)"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the embedded sample from Open Clip Art.")
    parser.add_argument("source", type=Path, help="folder that `make openclipart` filled")
    parser.add_argument("target", type=Path, help="the sample's folder; its pictures are replaced")
    args = parser.parse_args()
    try:
        rows = make(args.source, args.target)
    except TrainworksError as error:
        sys.exit(str(error))
    size = sum(path.stat().st_size for path in args.target.rglob("*") if path.is_file())
    print(f"{len(rows)} pictures of {len({row['contributor'] for row in rows})} contributors, {size:,} bytes: {args.target}")


if __name__ == "__main__":
    main()
