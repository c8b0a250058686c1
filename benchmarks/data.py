"""Data of the benchmarks: the embedded sample, Open Clip Art where it was fetched, and JPEGs as large as photographs made from them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import HOUSE, cached_folder
from trainworks.photostock.catalogue import catalogue, slices
from trainworks.photostock.curation.curate import curate
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.preparation.prepare import prepare
from trainworks.storage import manifest

OPENCLIPART = HOUSE / "data" / "openclipart"
MEGAPIXELS = 1.0, 2.0
GRAIN = 4.0
"""Standard deviation of the grain on enlarged drawings, in levels of 255: it gives them the 1.7 bits per pixel of a photograph."""


def photos(count: int) -> Path:
    """A folder of *count* JPEGs of 1 to 2 megapixels, quality 90, 4:2:0: sample pictures enlarged, with grain; the same every time."""
    return cached_folder(f"photos-{count}", lambda out: _photos(count, out))


def prepared(source: str, stored_size: int, gallery: int) -> tuple[list[Path], Path]:
    """Shards and dataset of *source*, as the pipeline makes them with its default thinning."""
    folder = cached_folder(f"{Path(source).name}-{stored_size}-{gallery}", lambda out: _prepared(source, stored_size, gallery, out))
    return sorted(folder.glob("shard-*")), folder / "dataset"


def _photos(count: int, out: Path) -> None:
    sources = sorted((catalogue.SAMPLE / "images").iterdir())
    for number in range(count):
        rng = np.random.default_rng(number)
        with Image.open(sources[number * 7 % len(sources)]) as source:
            aspect = source.width / source.height
            height = (rng.uniform(*MEGAPIXELS) * 1e6 / aspect) ** 0.5
            large = source.convert("RGB").resize((round(height * aspect), round(height)), Image.Resampling.BICUBIC)
        grain = rng.standard_normal((large.height, large.width, 1), np.float32) * GRAIN
        pixels = np.clip(np.asarray(large) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(out / f"{number:04d}.jpg", quality=90)
    rows = [{"image": path.name, "title": f"photograph {path.stem}"} for path in sorted(out.glob("*.jpg"))]
    (out / "catalogue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _prepared(source: str, stored_size: int, gallery: int, out: Path) -> None:
    read = catalogue.read(source)
    for number, rows in enumerate(slices.slices(read.table)):
        slice_, shard = out / f"slice-{number:04d}", out / f"shard-{number:04d}"
        slices.write_slice(rows, slice_)
        shard.mkdir()
        prepare(slice_, read.root, shard, stored_size)
        manifest.write(shard)
    (out / "dataset").mkdir()
    curate(sorted(out.glob("shard-*")), DataConfig(gallery=gallery), out / "dataset")
    manifest.write(out / "dataset")


def paths(names: Sequence[str]) -> list[Path]:
    """The paths that a child process got as JSON."""
    return [Path(name) for name in names]
