"""Prepare: every JPEG of 1 to 2 megapixels from file to shard, against Pillow's decode and resize alone, and img2dataset's resizer.

Ours reads, checks, decodes, resizes, hashes twice (SHA-256 and perceptual), encodes and writes a shard. Pillow only decodes in full and
resizes with Lanczos, ours' filter, from memory to memory: no check, no hash, no file. img2dataset's ``Resizer`` decodes and resizes by
OpenCV (area) and encodes a JPEG of quality 95, from memory to memory as well. All on one thread, on the same files, shorter side to the
stored size. The fidelity is that of the resized pixels against Pillow's, before the JPEG of quality 95 that both shards hold (38 to 47
dB).
"""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import data
from benchmarks.harness import Facts, Row, alternate, child, median, ratios, timed, version


def rows(quick: bool) -> Iterator[Row]:
    """At 128 pixels, the default, and 224."""
    count, repeats = (24, 1) if quick else (48, 2)
    folder = str(data.photos(count))
    for size in (224,) if quick else (128, 224):
        sides = [
            partial(child, ours, folder=folder, stored_size=size),
            partial(child, pillow, folder=folder, stored_size=size),
            partial(child, img2dataset, peer=True, folder=folder, stored_size=size),
        ]
        mine, limit, peer = alternate(repeats, *sides)
        fidelity = child(psnr, folder=folder, stored_size=size)["psnr"]
        shown = f"{1000 * median(mine) / count:.1f} ms"
        for runs, name, target in (
            (limit, f"{version('pillow')} decode + resize", ">= 2.5"),
            (peer, f"{version('img2dataset')} Resizer", ">= 1"),
        ):
            yield Row(
                f"prepare to {size} pixels",
                name,
                ratios(runs, mine),
                target,
                ours=shown,
                theirs=f"{1000 * median(runs) / count:.1f} ms",
            )
        yield Row(f"prepare to {size} pixels: fidelity", "Pillow's pixels", [fidelity], ">= 50", of="dB")


def ours(folder: str, stored_size: int) -> Facts:
    """Ours: a slice of all pictures to a shard."""
    import tempfile

    from trainworks.photostock.catalogue import catalogue, slices
    from trainworks.photostock.preparation.prepare import prepare

    with tempfile.TemporaryDirectory() as rows, tempfile.TemporaryDirectory() as shard:
        read = catalogue.read(folder)
        slices.write_slice(read.table, Path(rows))
        return timed(lambda: prepare(Path(rows), read.root, Path(shard), stored_size, threads=1))[0]


def pillow(folder: str, stored_size: int) -> Facts:
    """The limit: decoding and resizing by Pillow, and nothing else."""
    files = _files(folder)
    return timed(lambda: [_resized(file, stored_size) for file in files])[0]


def img2dataset(folder: str, stored_size: int) -> Facts:
    """The peer as its defaults are, but for ``keep_ratio``."""
    from img2dataset.resizer import Resizer

    resizer = Resizer(stored_size, "keep_ratio", resize_only_if_bigger=True)
    files = _files(folder)
    spent, resized = timed(lambda: [resizer(io.BytesIO(file)) for file in files])
    assert all(error is None for *_, error in resized), resized[0][-1]
    return spent


def psnr(folder: str, stored_size: int) -> Facts:
    """The mean over all pictures of our pixels' peak signal-to-noise ratio against Pillow's, in dB."""
    from trainworks.photostock.preparation.decode import decode

    decibels = []
    for file in _files(folder):
        mine, full = (np.asarray(image, np.float64) for image in (decode(file, stored_size).pixels, _resized(file, stored_size)))
        decibels.append(10 * np.log10(255**2 / max(np.square(mine - full).mean(), 1e-9)))
    return {"psnr": float(np.mean(decibels))}


def _files(folder: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]


def _resized(file: bytes, size: int) -> Image.Image:
    image = Image.open(io.BytesIO(file))
    scale = size / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
