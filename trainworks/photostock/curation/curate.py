"""Curation: which pictures make the dataset, under which caption and on which side; from metadata alone."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from trainworks.errors import DataError
from trainworks.photostock.catalogue.repairs import caption_title
from trainworks.photostock.curation import near_duplicates
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.curation.subsample import steps
from trainworks.photostock.curation.thinning import Pictures, beyond
from trainworks.photostock.preparation.shards import read_rows
from trainworks.photostock.preprocessing.text import Prompt, texts
from trainworks.splits import LEFT_OUT, TEST, TRAIN, VAL, split
from trainworks.storage import manifest

_TEXT = ("title", "description", "tags")
_ORIGIN = ("contributor", "licence", "group")
_COLUMNS = ("id", "image", *_TEXT, *_ORIGIN, "fingerprint", "repairs", "rejected", "detail", "phash")
_CAPTIONS = pa.schema([("title", pa.string()), ("repair", pa.string()), ("caption", pa.string()), ("texts", pa.list_(pa.string()))])
_BATCH = 50_000


class _Fate:
    """What became of every row: the stage that rejected it, the reason and its detail; all ``""`` while it is alive."""

    def __init__(self, rows: pa.Table):
        is_alive, has_picture = pc.equal(rows["rejected"], "").to_numpy(), pc.not_equal(rows["fingerprint"], "").to_numpy()
        self.stage = np.select([is_alive, has_picture], ["", "prepare"], "acquire").astype(object)
        self.reason, self.detail = _strings(rows["rejected"]), _strings(rows["detail"])

    @property
    def alive(self) -> np.ndarray:
        return np.flatnonzero(self.stage == "")

    def reject(self, rows: np.ndarray, reason: str, detail: np.ndarray | str = "") -> None:
        assert np.all(self.stage[rows] == ""), "a row is rejected once"
        self.stage[rows], self.reason[rows], self.detail[rows] = "curate", reason, detail

    def stages(self) -> list[dict[str, Any]]:
        """Per stage: rows read, kept, and rejected by reason."""
        found, read = [], len(self.stage)
        for stage in ("acquire", "prepare", "curate"):
            rejected = _counts(self.reason[self.stage == stage])
            kept = read - sum(rejected.values())
            found.append({"stage": stage, "read": read, "kept": kept, "rejected": rejected})
            read = kept
        assert read == len(self.alive), "kept and rejected are all that was read"
        return found


def curate(shards: list[Path], config: DataConfig, out: Path, embeddings: Sequence[Path] = ()) -> None:
    """Write the dataset of *shards* to *out*: ``index.parquet``, ``rejected.parquet`` and ``card.json``.

    Reads no pixels. The result depends neither on the order of the shards nor on how rows were cut into them, but for
    the columns that say where a picture is (and, with ``visual_cluster``, the rounding of its *embeddings*). Every row
    read is in the index or among the rejected, with the first reason that holds: that of an earlier stage · *exact
    duplicate* (the one with the most text stays) · *no text* (the prompt has nothing to say) · then in the order of
    ``data.subsample``: *near duplicate*, *similar text*, *contributor at the limit*, *visual cluster at the limit* ·
    *near duplicate in another group* · *gallery full*; the last two only where a picture's group is held out.

    A group is what the catalogue says, else a contributor, else a near-duplicate cluster: pictures of unknown
    contributors are not one contributor's. Which pictures a limit keeps is decided by the hash of their ids.

    Raises:
        DataError: an id comes twice, what is left is too little to split, or embeddings that are asked for are missing.
    """
    rows = _read(shards)
    fate = _Fate(rows)
    ids = _strings(rows["id"])
    surplus, first = beyond(1, fate.alive, _codes(rows["fingerprint"]), -_length_of_texts(rows))
    fate.reject(surplus, "exact duplicate", "of " + ids[first])
    captions = _captions(rows, fate, Prompt(config.prompt))

    clustered = fate.alive
    cluster = np.arange(len(rows))
    hashes = rows["phash"].to_numpy()
    cluster[clustered] = clustered[near_duplicates.clusters(hashes[clustered], near_duplicates.RADIUS)]
    contributor, group = _strings(rows["contributor"], "contributor "), _strings(rows["group"], "group ")
    owner = _first_known(contributor, group, cluster, ids)
    lot = np.array([int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) for name in ids], np.uint64)
    pictures = Pictures(ids, captions["caption"], hashes, cluster, owner, lot, embeddings)
    for step in steps(config.subsample):
        fate.reject(*pictures.surplus(step, fate.alive))
    side = _sides(fate, _first_known(group, contributor, cluster, ids), cluster, config.gallery)

    digests = pa.array([manifest.digest(shard) for shard in shards], pa.string())
    index = {
        "id": rows["id"],
        "shard": digests.take(rows["shard"]),
        "row": rows["row"],
        "split": pa.array(side, pa.string()),
        **{name: captions[name] for name in ("caption", "texts", "title")},
        **{name: rows[name] for name in ("description", "tags", "contributor", "licence")},
        "cluster": pa.array(cluster, pa.int64()),
    }
    _write(pa.table(index), fate.stage == "", out / "index.parquet")
    rejected = {name: pa.array(column, pa.string()) for name, column in vars(fate).items()}
    _write(pa.table({"id": rows["id"], **rejected}), fate.stage != "", out / "rejected.parquet")
    card = {"prompt": config.prompt, **_card(rows, fate, captions, side, cluster[clustered])}
    (out / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(shards: list[Path]) -> pa.Table:
    """The metadata of all *shards* in order of id, with ``shard`` (its place in *shards*) and ``row`` within it."""
    tables = []
    for number, shard in enumerate(tqdm(shards, "shards", delay=2, leave=False)):
        table = read_rows(shard, _COLUMNS)
        table = table.append_column("shard", pa.array(np.full(len(table), number, np.int32)))
        tables.append(table.append_column("row", pa.array(np.arange(len(table), dtype=np.int32))))
    if not tables:
        raise DataError("no shards to curate: expected at least one")
    rows = pa.concat_tables(tables)
    rows = rows.take(pc.sort_indices(rows["id"])).combine_chunks()
    twice = pc.equal(rows["id"][1:], rows["id"][:-1])
    if pc.any(twice).as_py():
        name = rows["id"][pc.index(twice, True).as_py()]
        raise DataError(f"id {name.as_py()!r} comes twice: curate takes the shards of one catalogue, each once")
    return rows


def _length_of_texts(rows: pa.Table) -> np.ndarray:
    columns = (rows["title"], rows["description"], pc.binary_join(rows["tags"], ""))
    return sum(pc.utf8_length(column).to_numpy().astype(np.int64) for column in columns)


def _captions(rows: pa.Table, fate: _Fate, prompt: Prompt) -> pa.Table:
    """Title, its repair, caption and texts of every row alive, null for the others; rejects those without a caption."""
    alive = fate.stage == ""
    code = _codes(rows["title"])
    shared_by = np.bincount(code[alive], minlength=len(rows))[code]
    columns = ("title", "image", "contributor", "description", "tags")
    batches, start = [], 0
    for batch in tqdm(rows.select(columns).to_batches(_BATCH), "captions", delay=2, leave=False):
        part = slice(start, start + len(batch))
        values = zip(alive[part].tolist(), shared_by[part].tolist(), *(batch[name].to_pylist() for name in columns), strict=True)
        found = [_caption(prompt, *row) if is_alive else (None,) * len(_CAPTIONS) for is_alive, *row in values]
        made = [pa.array(column, kind) for column, kind in zip(zip(*found, strict=True), _CAPTIONS.types, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(made, schema=_CAPTIONS))
        start += len(batch)
    captions = pa.Table.from_batches(batches, _CAPTIONS)
    fate.reject(np.flatnonzero(pc.equal(captions["caption"], "").fill_null(False).to_numpy()), "no text")
    return captions


def _caption(prompt: Prompt, shared_by: int, title: str, image: str, contributor: str, description: str, tags: list[str]) -> tuple:
    title, repair = caption_title(title, image, shared_by, contributor)
    said = texts({"title": title, "description": description, "tags": tags}, prompt)
    return title, repair, said[0] if said else "", said


def _sides(fate: _Fate, group: np.ndarray, cluster: np.ndarray, gallery: int) -> np.ndarray:
    """The side of every row alive, ``""`` for the others; rejects what a held-out group cannot bring to its gallery."""
    alive = fate.alive
    code = pd.factorize(group[alive])[0]
    # Only a picture whose near duplicates are all of its own group may be held out: no side can then leak into another.
    least, most = (np.full(len(group), start) for start in (len(group), -1))
    np.minimum.at(least, cluster[alive], code)
    np.maximum.at(most, cluster[alive], code)
    alone = (least == most)[cluster[alive]]
    side = np.full(len(group), LEFT_OUT, object)
    try:
        side[alive] = split(group[alive], gallery, alone)
    except DataError as error:
        counts = ", ".join(f"{n} {reason}" for stage in fate.stages() for reason, n in stage["rejected"].items())
        raise DataError(f"{error}. Rows read: {len(group)}; rejected before the split: {counts or 'none'}") from None
    left_out = side[alive] == LEFT_OUT
    for mask, reason in ((~alone, "near duplicate in another group"), (alone, "gallery full")):
        rejected = alive[left_out & mask]
        fate.reject(rejected, reason, group[rejected])
    return side


def _card(rows: pa.Table, fate: _Fate, captions: pa.Table, side: np.ndarray, cluster: np.ndarray) -> dict[str, Any]:
    """The data card: what was read, what was kept and what it is made of."""
    kept = fate.stage == ""
    contributors = _strings(rows["contributor"])
    known = {name: n for name, n in _counts(contributors[kept]).items() if name}
    repairs = np.concatenate([_strings(pc.list_flatten(rows["repairs"])), _strings(pc.drop_null(captions["repair"]))])
    pictures_of_cluster = np.unique(cluster, return_counts=True)[1]
    pictures_of_caption = np.bincount(pc.rank(captions["caption"].filter(kept), tiebreaker="dense").to_numpy())[1:]
    texts_of_picture = pc.list_value_length(captions["texts"]).filter(kept).to_numpy()
    return {
        "read": len(rows),
        "kept": {name: int(np.count_nonzero(side[kept] == name)) for name in (TRAIN, VAL, TEST)},
        "stages": fate.stages(),
        "repairs": {name: n for name, n in _counts(repairs).items() if name},
        "licences": _counts(_strings(rows["licence"])[kept]),
        "contributors": {
            "read": len(set(contributors) - {""}),
            "kept": len(known),
            "largest": [[name, known[name]] for name in sorted(known, key=lambda name: (-known[name], name))[:10]],
        },
        "clusters": {
            "pictures": len(cluster),
            "clusters": len(pictures_of_cluster),
            "largest": int(pictures_of_cluster.max(initial=0)),
        },
        "captions": {
            "distinct": len(pictures_of_caption),
            "shared_by_several": int(np.count_nonzero(pictures_of_caption > 1)),
            "texts_per_picture": round(float(texts_of_picture.mean()), 3),
        },
    }


def _first_known(first: np.ndarray, second: np.ndarray, cluster: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """For every row the name that is not empty, else that of its near-duplicate cluster."""
    known = np.where(first != "", first, second)
    unknown = np.flatnonzero(known == "")
    known[unknown] = "cluster of " + ids[cluster[unknown]]
    return known


def _strings(column: pa.ChunkedArray | pa.Array, prefix: str = "") -> np.ndarray:
    """A text column, with *prefix* where not empty, as objects, one for all equal texts: a licence costs memory once."""
    encoded = pc.dictionary_encode(column)
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    distinct = [prefix + text if text else "" for text in encoded.dictionary.to_pylist()]
    return np.array(distinct, object)[encoded.indices.to_numpy()]


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """A number for every text of *column*, int32 (n,): equal for equal texts."""
    return pc.dictionary_encode(column).combine_chunks().indices.to_numpy()


def _counts(values: np.ndarray) -> dict[str, int]:
    return dict(sorted(Counter(values.tolist()).items()))


def _write(table: pa.Table, mask: np.ndarray, path: Path) -> None:
    """The rows of *table* in *mask*, in row groups that are each in one piece: the bytes depend on the rows alone."""
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for start in range(0, len(table), _BATCH):
            piece = table.slice(start, _BATCH).filter(pa.array(mask[start : start + _BATCH]))
            writer.write_table(piece.combine_chunks())
