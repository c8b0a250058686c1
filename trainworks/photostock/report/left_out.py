"""Examples of the pictures that did not make the dataset, as far as the shards still hold them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from trainworks.photostock.preparation.shards import read_rows, stored_pictures
from trainworks.photostock.report.pictures import THUMBNAIL, Picture, small

EACH = 4
"""Examples of each reason."""

OF = "of "
"""How curation begins the detail of a row that gave way to another: its id follows."""

_COLUMNS = ["id", "title", "contributor", "licence", "phash"]


class Stored(NamedTuple):
    """What a shard holds of a picture: the perceptual hash, and the *picture* itself unless it was rejected before it was stored."""

    phash: int
    picture: Picture | None


@dataclass(frozen=True)
class Example:
    """One row: its *picture*, that of the *twin* it gave way to, and in how many of 64 bits their perceptual hashes differ."""

    id: str
    detail: str
    picture: Picture | None
    twin: Picture | None = None
    distance: int | None = None


@dataclass(frozen=True)
class Reason:
    """Why *rows* rows are not in the dataset, or why some that are there deserve a look, with a few of them."""

    stage: str
    reason: str
    rows: int
    examples: list[Example]

    def pictures(self) -> list[Picture]:
        """All that are shown."""
        return [picture for example in self.examples for picture in (example.picture, example.twin) if picture]


def reasons(dataset: Path, shards: Sequence[Path]) -> list[Reason]:
    """Why rows of *shards* are not in *dataset*, in the order of the stages and the most frequent first; then near duplicates that are.

    Which examples are shown is decided by a hash of their ids, so that they are as mixed as the rows.
    """
    groups = [*_rejected(dataset), *_kept_twins(dataset)]
    ids = {id for _, _, _, rows in groups for row in rows for id in (row["id"], row["twin"]) if id}
    pictures = stored(shards, ids)
    return [Reason(stage, reason, number, [_example(row, pictures) for row in rows]) for stage, reason, number, rows in groups]


def stored(shards: Iterable[Path], ids: Collection[str]) -> dict[str, Stored]:
    """What *shards* hold of the pictures called *ids*, by id; of others only the id is read."""
    wanted = pa.array(sorted(ids), pa.string())
    pictures = {}
    for shard in shards:
        here = np.flatnonzero(pc.is_in(read_rows(shard, ["id"])["id"], wanted).to_numpy()).tolist()
        if not here:
            continue
        rows = read_rows(shard, _COLUMNS).take(here).to_pylist()
        for place, picture in stored_pictures(shard, here):
            pictures[rows[place]["id"]] = Stored(rows[place]["phash"], _thumbnail(rows[place], picture))
    return pictures


_Group = tuple[str, str, int, list[dict[str, Any]]]
"""Stage, reason, number of rows, and the examples: id, detail, and the id of the twin or ``""``."""


def _rejected(dataset: Path) -> list[_Group]:
    rows = pq.read_table(dataset / "rejected.parquet").to_pandas()
    rows["twin"] = rows["detail"].where(rows["detail"].str.startswith(OF), OF).str.removeprefix(OF)
    groups = [(stage, reason, len(these), _drawn(these)) for (stage, reason), these in rows.groupby(["stage", "reason"])]
    order = ("acquire", "prepare", "curate")
    return sorted(groups, key=lambda group: (order.index(group[0]), -group[2], group[1]))


def _kept_twins(dataset: Path) -> list[_Group]:
    """Near duplicates that are in the dataset: of each cluster the first two."""
    rows = pq.read_table(dataset / "index.parquet", columns=["id", "cluster"]).to_pandas().sort_values("id")
    rows = rows[rows.duplicated("cluster", keep=False)]
    if rows.empty:
        return []
    twins = rows.groupby("cluster")["id"]
    pairs = pd.DataFrame({"id": twins.nth(1).to_numpy(), "twin": twins.nth(0).to_numpy(), "detail": ""})
    return [("dataset", "near duplicates that stayed, on one side of the split", len(rows), _drawn(pairs))]


def _drawn(rows: pd.DataFrame) -> list[dict[str, Any]]:
    lot = pd.util.hash_array(rows["id"].to_numpy(object))
    return rows.iloc[np.argsort(lot, kind="stable")[:EACH]].to_dict("records")  # type: ignore[return-value]


def _example(row: dict[str, Any], pictures: dict[str, Stored]) -> Example:
    own, twin = pictures.get(row["id"]), pictures.get(row["twin"])
    if not own or not own.picture:
        return Example(row["id"], row["detail"], None)
    if not twin or not twin.picture:
        return Example(row["id"], row["detail"], own.picture)
    return Example(row["id"], row["detail"], own.picture, twin.picture, (own.phash ^ twin.phash).bit_count())


def _thumbnail(row: dict[str, Any], picture: bytes | None) -> Picture | None:
    if picture is None:
        return None
    with Image.open(BytesIO(picture)) as image:
        return small(row, image, THUMBNAIL)
