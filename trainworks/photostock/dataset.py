"""The curated dataset as training reads it: pictures as one uint8 array on disk, captions, and pairs in a fixed order."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, from_numpy
from tqdm import tqdm

from trainworks import manifest, sampling
from trainworks.errors import DataError
from trainworks.photostock.augment import Augmentation
from trainworks.photostock.config import Pairs, TrainConfig
from trainworks.photostock.pixels import Preprocessing


def index(dataset: Path, split: str) -> pd.DataFrame:
    """The rows of one *split* (train, val or test) in order of id."""
    rows = pq.read_table(dataset / "index.parquet", filters=[("split", "=", split)]).to_pandas()
    return rows.sort_values("id", ignore_index=True)


def pictures(rows: pd.DataFrame, shards: list[Path]) -> Iterator[tuple[int, bytes]]:
    """Each row's position and its stored picture (JPEG bytes), shard by shard, so that memory holds one shard at a time.

    Raises:
        DataError: the dataset names a shard that is not among *shards*.
    """
    where = {manifest.digest(shard): shard for shard in shards}
    for shard, members in rows.groupby("shard"):
        if shard not in where:
            raise DataError(
                f"the dataset names shard {str(shard)[:12]}…, which is not among the {len(shards)} given; curate again from these shards"
            )
        stored = pq.read_table(where[str(shard)] / "shard.parquet", columns=["pixels"]).column("pixels")
        for position, row in zip(members.index, members["row"], strict=True):
            yield position, stored[row].as_py()


def pixel_array(rows: pd.DataFrame, shards: list[Path], preprocessing: Preprocessing, path: Path) -> np.ndarray:
    """Every row's preprocessed picture, uint8 (n, size, size, 3), in a file at *path* that memory only maps."""
    size = preprocessing.size
    array = np.memmap(path, np.uint8, "w+", shape=(len(rows), size, size, 3))

    def fill(item: tuple[int, bytes]) -> None:
        position, data = item
        array[position] = preprocessing.apply(Image.open(BytesIO(data)))

    with ThreadPoolExecutor() as pool:
        # Read ahead at most 256 pictures: map() alone would hold them all.
        progress = tqdm(pictures(rows, shards), "pictures", len(rows), delay=2, leave=False)
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


class Batch(NamedTuple):
    """B pairs: pixels uint8 (B, size, size, 3), ids int64 (B, context), caption int64 (B,) numbering equal texts."""

    pixels: Tensor
    ids: Tensor
    caption: Tensor


def batch(pixels: np.ndarray, texts: list[str], tokenizer: Tokenizer) -> Batch:
    """One batch of *pixels* and their *texts*."""
    ids = np.array([encoding.ids for encoding in tokenizer.encode_batch(texts)], np.int64)
    caption = np.unique(texts, return_inverse=True)[1].astype(np.int64)
    return Batch(from_numpy(np.ascontiguousarray(pixels)), from_numpy(ids), from_numpy(caption))


class Gallery:
    """Held-out pictures with their captions, in order, in batches of at most *size*."""

    def __init__(self, rows: pd.DataFrame, pixels: np.ndarray, tokenizer: Tokenizer, size: int):
        self.captions, self.pixels, self.tokenizer, self.size = list(rows["caption"]), pixels, tokenizer, size

    def __len__(self) -> int:
        return -(-len(self.captions) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.captions), self.size):
            rows = slice(start, start + self.size)
            yield batch(self.pixels[rows], self.captions[rows], self.tokenizer)


class PairLoader:
    """The training pairs of one epoch after another, in full batches.

    Order, choice of text and augmentation are pure functions of (seed, epoch, id); each picture
    meets one of its texts, drawn anew every epoch. The last batch is filled up from the start of the same order, so
    that no picture is left out and InfoNCE always sees as many negatives.

    Raises:
        DataError: fewer training pictures than one batch holds.
    """

    def __init__(self, rows: pd.DataFrame, pixels: np.ndarray, tokenizer: Tokenizer, config: TrainConfig):
        if len(rows) < config.batch_size:
            raise DataError(
                f"{len(rows)} training pictures are fewer than train.batch_size = {config.batch_size}: lower it, or bring more pictures"
            )
        self.ids, self.texts = list(rows["id"]), [list(texts) for texts in rows["texts"]]
        if config.pairs is Pairs.SHUFFLED:
            wrong = sampling.order(len(rows), config.seed, epoch=0)
            self.texts = [self.texts[k] for k in wrong]
        self.pixels, self.tokenizer, self.config = pixels, tokenizer, config
        self.augmentation = Augmentation(config.augment_image)
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.ids) // self.config.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        self.epoch += 1
        order = sampling.order(len(self.ids), self.config.seed, self.epoch)
        size = self.config.batch_size
        for members in np.resize(order, len(self) * size).reshape(-1, size):
            pixels, texts = zip(*(self._pair(k) for k in members), strict=True)
            yield batch(np.stack(pixels), list(texts), self.tokenizer)

    def _pair(self, k: int) -> tuple[np.ndarray, str]:
        chance = sampling.chance(self.config.seed, self.epoch, self.ids[k])
        text = self.texts[k][chance.integers(len(self.texts[k]))]
        return self.augmentation.apply(self.pixels[k], chance), text
