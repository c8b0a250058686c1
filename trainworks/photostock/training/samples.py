"""Training pictures and texts as they enter the model, kept so that a person can look at them."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

COUNT = 24
FILE = "samples.parquet"


class Sample(NamedTuple):
    """One pair after augmentation: the picture's id, its text, and its pixels, uint8 (size, size, 3)."""

    id: str
    text: str
    pixels: np.ndarray


def write(samples: Iterable[Sample], folder: Path) -> None:
    """Keep *samples* in *folder*: ``samples.parquet`` with ``id``, ``text`` and ``picture``, a PNG of exactly these pixels."""
    rows = [{"id": sample.id, "text": sample.text, "picture": _png(sample.pixels)} for sample in samples]
    columns = pa.schema([("id", pa.string()), ("text", pa.string()), ("picture", pa.binary())])
    pq.write_table(pa.Table.from_pylist(rows, columns), folder / FILE)


def read(folder: Path) -> list[Sample]:
    """The samples that ``write`` kept in *folder*, in their order; none where it kept none."""
    if not (folder / FILE).exists():
        return []
    rows = pq.read_table(folder / FILE).to_pylist()
    return [Sample(row["id"], row["text"], np.asarray(Image.open(io.BytesIO(row["picture"])))) for row in rows]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
