"""Reading a curated dataset: the rows of a split, the prompt, and the stored pictures; without torch."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from trainworks.errors import DataError
from trainworks.photostock.preparation.shards import stored_pictures
from trainworks.photostock.preprocessing.text import Prompt
from trainworks.storage import manifest


def rows(dataset: Path, split: str) -> pd.DataFrame:
    """The rows of one *split* (train, val or test) in order of id."""
    table = pq.read_table(dataset / "index.parquet", filters=[("split", "=", split)]).to_pandas()
    return table.sort_values("id", ignore_index=True)


def prompt(dataset: Path) -> Prompt:
    """The prompt that made the captions of *dataset*."""
    return Prompt(json.loads((dataset / "card.json").read_text())["prompt"])


def pictures(rows: pd.DataFrame, shards: list[Path]) -> Iterator[tuple[int, bytes]]:
    """Each row's position and its stored picture (JPEG bytes), shard by shard; shards that no row names are not fetched.

    Raises:
        DataError: the dataset names a shard that is not among *shards*.
    """
    folder_of = {manifest.digest(shard): shard for shard in shards}
    for digest, members in rows.groupby("shard"):
        if digest not in folder_of:
            raise DataError(
                f"the dataset names shard {str(digest)[:12]}…, which is not among the {len(shards)} given; curate again from these shards"
            )
        for position, jpeg in stored_pictures(folder_of[str(digest)], members["row"].tolist()):
            yield members.index[position], jpeg
