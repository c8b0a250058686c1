"""The pictures of a dataset as one uint8 array on disk, ready for the image tower."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from trainworks.photostock.curation import index
from trainworks.photostock.preprocessing.pixels import Preprocessing
from trainworks.progress import Bar


def pixel_array(
    rows: pd.DataFrame,
    shards: list[Path],
    preprocessing: Preprocessing,
    path: Path,
    change: Callable[[str, Image.Image], Image.Image] = lambda id, picture: picture,
) -> np.ndarray:
    """Every row's preprocessed picture, uint8 (n, size, size, 3), in a file at *path* that memory only maps.

    *change*, given an id and its picture as it is stored, makes what is preprocessed.

    A file that is already at *path* is mapped as it is: another process has made it.
    """
    shape = (len(rows), preprocessing.size, preprocessing.size, 3)
    if path.exists():
        return np.memmap(path, np.uint8, "c", shape=shape)  # writable, since torch warns of arrays that are not
    array, ids = np.memmap(path, np.uint8, "w+", shape=shape), rows["id"].tolist()

    def fill(item: tuple[int, bytes]) -> None:
        position, data = item
        array[position] = preprocessing.apply(change(ids[position], Image.open(BytesIO(data))))

    with ThreadPoolExecutor() as pool:
        # Read ahead at most 256 pictures: map() alone would hold them all.
        progress = Bar(index.pictures(rows, shards), "pictures", len(rows))
        for batch in _batches(progress, 256):
            list(pool.map(fill, batch))
    return array


def _batches(items: Iterable, size: int) -> Iterator[list]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
