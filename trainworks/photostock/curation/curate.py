"""Curation: the pictures of the dataset, their captions and their splits; from metadata alone."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainworks.errors import DataError
from trainworks.photostock.catalogue.repairs import caption_title
from trainworks.photostock.curation import near_duplicates, thinning
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.curation.subsample import steps
from trainworks.photostock.preparation.shards import read_rows
from trainworks.photostock.preprocessing.text import Prompt, texts
from trainworks.progress import Bar
from trainworks.splits import LEFT_OUT, TEST, TRAIN, VAL, split
from trainworks.storage import manifest

_TEXT = ("title", "description", "tags")
_ORIGIN = ("contributor", "licence", "group")
_COLUMNS = ("id", "image", *_TEXT, *_ORIGIN, "fingerprint", "repairs", "rejected", "detail", "phash")
_CAPTIONS = pa.schema([("title", pa.string()), ("repair", pa.string()), ("caption", pa.string()), ("texts", pa.list_(pa.string()))])
_BATCH = 50_000
_FINER_GROUPS = "give the catalogue a finer column 'group' (without one, a group is all pictures of one contributor)"


class _Rejections:
    """For every row the stage that rejected it, the reason and its detail; all ``""`` while the row is kept."""

    def __init__(self, rows: pa.Table):
        is_kept = pc.equal(rows["rejected"], "").to_numpy()
        has_picture = pc.not_equal(rows["fingerprint"], "").to_numpy()
        self.stage = np.select([is_kept, has_picture], ["", "prepare"], "acquire").astype(object)
        self.reason, self.detail = _strings(rows["rejected"]), _strings(rows["detail"])

    @property
    def kept(self) -> np.ndarray:
        """The rows that no stage has rejected, ascending."""
        return np.flatnonzero(self.stage == "")

    def reject(self, rows: np.ndarray, reason: str, detail: np.ndarray | str = "") -> None:
        assert np.all(self.stage[rows] == ""), "a row is rejected once"
        self.stage[rows], self.reason[rows], self.detail[rows] = "curate", reason, detail

    def stages(self) -> list[dict[str, Any]]:
        """Per stage: rows read, kept, and rejected by reason."""
        counts, read = [], len(self.stage)
        for stage in ("acquire", "prepare", "curate"):
            rejected = _counts(self.reason[self.stage == stage])
            kept = read - sum(rejected.values())
            counts.append({"stage": stage, "read": read, "kept": kept, "rejected": rejected})
            read = kept
        assert read == len(self.kept), "every row read is kept or rejected"
        return counts


def curate(shards: list[Path], config: DataConfig, out: Path, embeddings: Sequence[Path] = (), batch_size: int = 1) -> None:
    """Write the dataset of *shards* to *out*: ``index.parquet``, ``rejected.parquet`` and ``card.json``.

    Reads no pixels. The result depends neither on the order of the shards nor on how rows were cut into them, but for
    the columns ``shard`` and ``row`` (and, with ``visual_cluster``, the rounding of its *embeddings*). Every row
    read is in the index or among the rejected, with the first reason that holds: that of an earlier stage · *exact
    duplicate* (the one with the most text stays) · *no text* (the caption is empty) · then in the order of
    ``subsample``: *near duplicate*, *similar text*, *contributor at the limit*, *visual cluster at the limit* ·
    *near duplicate in another group* · *gallery full*; the last two only where a picture's group is held out.

    A group is what the catalogue says, else a contributor, else a near-duplicate cluster: pictures of unknown
    contributors are not one contributor's. Which pictures a limit keeps is decided by the hash of their ids.

    Raises:
        DataError: an id comes twice, the rows kept are too few to split or, once split, for a training batch of *batch_size* pairs,
            or ``subsample`` needs embeddings that are missing.
    """
    rows = _read(shards)
    rejections = _Rejections(rows)
    ids = _strings(rows["id"])
    duplicates, originals = thinning.over_limit(1, rejections.kept, _codes(rows["fingerprint"]), -_text_length(rows))
    rejections.reject(duplicates, "exact duplicate", "of " + ids[originals])
    captions = _captions(rows, rejections, Prompt(config.prompt))

    captioned = rejections.kept
    cluster = np.arange(len(rows))
    hashes = rows["phash"].to_numpy()
    cluster[captioned] = captioned[near_duplicates.clusters(hashes[captioned], near_duplicates.RADIUS)]
    contributor, group = _strings(rows["contributor"], "contributor "), _strings(rows["group"], "group ")
    owner = _first_name(contributor, group, cluster, ids)
    priority = np.array([int.from_bytes(hashlib.sha256(id.encode()).digest()[:8]) for id in ids], np.uint64)
    columns = thinning.Columns(ids, captions["caption"], hashes, cluster, owner, priority, embeddings)
    for step in steps(config.subsample):
        rejections.reject(*columns.surplus(step, rejections.kept))
    split_of_row = _split(rejections, _first_name(group, contributor, cluster, ids), cluster, config.gallery, batch_size)

    digests = pa.array([manifest.digest(shard) for shard in shards], pa.string())
    index = {
        "id": rows["id"],
        "shard": digests.take(rows["shard"]),
        "row": rows["row"],
        "split": pa.array(split_of_row, pa.string()),
        **{name: captions[name] for name in ("caption", "texts", "title")},
        **{name: rows[name] for name in ("description", "tags", "contributor", "licence")},
        "cluster": pa.array(cluster, pa.int64()),
    }
    _write(pa.table(index), rejections.stage == "", out / "index.parquet")
    rejected = {name: pa.array(column, pa.string()) for name, column in vars(rejections).items()}
    _write(pa.table({"id": rows["id"], **rejected}), rejections.stage != "", out / "rejected.parquet")
    card = {"prompt": config.prompt, **_card(rows, rejections, captions, split_of_row, cluster[captioned])}
    (out / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(shards: list[Path]) -> pa.Table:
    """The metadata of all *shards* in order of id, with ``shard`` (its position in *shards*) and ``row`` within it."""
    tables = []
    for number, shard in enumerate(Bar(shards, "shards")):
        table = read_rows(shard, _COLUMNS)
        table = table.append_column("shard", pa.array(np.full(len(table), number, np.int32)))
        tables.append(table.append_column("row", pa.array(np.arange(len(table), dtype=np.int32))))
    if not tables:
        raise DataError("no shards to curate: expected at least one")
    rows = pa.concat_tables(tables)
    rows = rows.take(pc.sort_indices(rows["id"])).combine_chunks()
    repeated = pc.equal(rows["id"][1:], rows["id"][:-1])
    if pc.any(repeated).as_py():
        id = rows["id"][pc.index(repeated, True).as_py()]
        raise DataError(f"id {id.as_py()!r} comes twice: curate takes the shards of one catalogue, each once")
    return rows


def _text_length(rows: pa.Table) -> np.ndarray:
    """Characters of title, description and tags of every row, int64 (n,)."""
    columns = (rows["title"], rows["description"], pc.binary_join(rows["tags"], ""))
    return sum(pc.utf8_length(column).to_numpy().astype(np.int64) for column in columns)


def _captions(rows: pa.Table, rejections: _Rejections, prompt: Prompt) -> pa.Table:
    """Title, its repair, caption and texts of every row kept, null for the others; rejects the rows without a caption."""
    is_kept = rejections.stage == ""
    code = _codes(rows["title"])
    title_count = np.bincount(code[is_kept], minlength=len(rows))[code]
    columns = ("title", "image", "contributor", "description", "tags")
    batches, start = [], 0
    for batch in Bar(rows.select(columns).to_batches(_BATCH), "captions"):
        part = slice(start, start + len(batch))
        values = zip(is_kept[part].tolist(), title_count[part].tolist(), *(batch[name].to_pylist() for name in columns), strict=True)
        captions = [_caption(prompt, *row) if kept else (None,) * len(_CAPTIONS) for kept, *row in values]
        arrays = [pa.array(column, type) for column, type in zip(zip(*captions, strict=True), _CAPTIONS.types, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=_CAPTIONS))
        start += len(batch)
    table = pa.Table.from_batches(batches, _CAPTIONS)
    is_empty = pc.equal(table["caption"], "").fill_null(False).to_numpy()
    rejections.reject(np.flatnonzero(is_empty), "no text")
    return table


def _caption(prompt: Prompt, title_count: int, title: str, image: str, contributor: str, description: str, tags: list[str]) -> tuple:
    title, repair = caption_title(title, image, title_count, contributor)
    all_texts = texts({"title": title, "description": description, "tags": tags}, prompt)
    return title, repair, all_texts[0] if all_texts else "", all_texts


def _split(rejections: _Rejections, group: np.ndarray, cluster: np.ndarray, gallery: int, batch_size: int) -> np.ndarray:
    """The split of every row kept, ``LEFT_OUT`` for the others; rejects rows of a held-out group that its gallery cannot take."""
    kept = rejections.kept
    code = pd.factorize(group[kept])[0]
    # Only a picture whose near duplicates are all of its own group may be held out: no split can then leak into another.
    smallest_code, largest_code = np.full(len(group), len(group)), np.full(len(group), -1)
    np.minimum.at(smallest_code, cluster[kept], code)
    np.maximum.at(largest_code, cluster[kept], code)
    may_be_held_out = (smallest_code == largest_code)[cluster[kept]]
    split_of_row = np.full(len(group), LEFT_OUT, object)
    try:
        split_of_row[kept] = split(group[kept], gallery, may_be_held_out, knob="--gallery", finer_groups=_FINER_GROUPS)
        train = np.count_nonzero(split_of_row == TRAIN)
        if train < batch_size:
            raise DataError(f"{train} training pictures are fewer than --batch_size = {batch_size}")
    except DataError as error:
        values = _feasible(group[kept], gallery, may_be_held_out)
        counts = ", ".join(f"{n} {reason}" for stage in rejections.stages() for reason, n in stage["rejected"].items())
        raise DataError(
            f"{error}; {len(kept)} pictures: {values}. Rows read: {len(group)}; rejected before the split: {counts or 'none'}"
        ) from None
    left_out = split_of_row[kept] == LEFT_OUT
    for mask, reason in ((~may_be_held_out, "near duplicate in another group"), (may_be_held_out, "gallery full")):
        rejected = kept[left_out & mask]
        rejections.reject(rejected, reason, group[rejected])
    return split_of_row


def _feasible(group: np.ndarray, gallery: int, may_be_held_out: np.ndarray) -> str:
    """The values of knobs that pictures of these groups can be trained with, in words."""
    least = next(field.metadata["least"] for field in fields(DataConfig) if field.name == "gallery")
    size = min(gallery, len(group) // 5)
    while size >= least:
        try:
            train = np.count_nonzero(split(group, size, may_be_held_out, knob="--gallery", finer_groups="") == TRAIN)
            return f"--gallery {size} --batch_size {min(64, 2 ** int(np.log2(train)))}"
        except DataError:
            size = size * 9 // 10
    return f"no --gallery of {least} or more can be held out of them, bring more"


def _card(rows: pa.Table, rejections: _Rejections, captions: pa.Table, split_of_row: np.ndarray, cluster: np.ndarray) -> dict[str, Any]:
    """The data card: counts of rows read, kept and rejected, and of licences, contributors, clusters and captions."""
    is_kept = rejections.stage == ""
    contributors = _strings(rows["contributor"])
    named = {name: n for name, n in _counts(contributors[is_kept]).items() if name}
    repairs = np.concatenate([_strings(pc.list_flatten(rows["repairs"])), _strings(pc.drop_null(captions["repair"]))])
    pictures_of_cluster = np.unique(cluster, return_counts=True)[1]
    pictures_of_caption = np.bincount(pc.rank(captions["caption"].filter(is_kept), tiebreaker="dense").to_numpy())[1:]
    texts_of_picture = pc.list_value_length(captions["texts"]).filter(is_kept).to_numpy()
    return {
        "read": len(rows),
        "kept": {name: int(np.count_nonzero(split_of_row[is_kept] == name)) for name in (TRAIN, VAL, TEST)},
        "stages": rejections.stages(),
        "repairs": {name: n for name, n in _counts(repairs).items() if name},
        "licences": _counts(_strings(rows["licence"])[is_kept]),
        "contributors": {
            "read": len(set(contributors) - {""}),
            "kept": len(named),
            "largest": [[name, named[name]] for name in sorted(named, key=lambda name: (-named[name], name))[:10]],
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


def _first_name(first: np.ndarray, second: np.ndarray, cluster: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """For every row the *first* name, else the *second*, else a name for its near-duplicate cluster."""
    name = np.where(first != "", first, second)
    unnamed = np.flatnonzero(name == "")
    name[unnamed] = "cluster of " + ids[cluster[unnamed]]
    return name


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
