"""Curation of a million rows, and how it grows: our stage, and the same rules written naively in pandas.

Ours reads shards of metadata and writes the dataset: exact and near duplicates, captions and texts, at most 300 per contributor, split,
data card. The pandas script beside it does a part of that, as a first script would: sort, ``drop_duplicates``, captions by
``apply``, ``groupby.head``, and a split by the hash of the contributor; no near duplicates, no repairs, no reasons, no card. The
targets are absolute: 60 s and 2 GB.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Facts, Row, cached_folder, child, timed, version

SHARD = 20_000
LIMIT_SECONDS, LIMIT_BYTES = 60, 2 * 10**9


def rows(quick: bool) -> Iterator[Row]:
    """A million rows, quickly a tenth of that."""
    n = 100_000 if quick else 1_000_000
    folder = str(cached_folder(f"rows-{n}", lambda out: write_shards(n, out)))
    ours, naive = child(curate, folder=folder), child(pandas, folder=folder)
    shown = {"ours": f"{ours['cpu']:.1f} s", "theirs": f"{naive['cpu']:.1f} s"}
    yield Row(f"{n:,} rows", f"{version('pandas')}, naively, a part of it", [naive["cpu"] / ours["cpu"]], "", **shown)
    yield Row(f"{n:,} rows: time", f"{LIMIT_SECONDS} s", [ours["cpu"] / LIMIT_SECONDS], "<= 1", ours=shown["ours"])
    yield Row(
        f"{n:,} rows: peak memory",
        f"{LIMIT_BYTES / 1e9:.0f} GB",
        [ours["peak"] / LIMIT_BYTES],
        "<= 1",
        of="memory",
        ours=f"{ours['peak'] / 1e9:.2f} GB",
        theirs=f"{naive['peak'] / 1e9:.2f} GB",
    )


def write_shards(n: int, out: Path) -> None:
    """*n* rows as prepare leaves them, without pictures: 3 % exact and 10 % near duplicates, contributors of very unequal size."""
    from trainworks.photostock.preparation.shards import ROWS
    from trainworks.storage import manifest

    rng = np.random.default_rng(n)
    words = np.array([f"word{k:04d}" for k in range(5_000)], object)
    hashes = rng.integers(0, 2**64, n, np.uint64)
    near = rng.permutation(n)[: n // 10]
    hashes[near] = hashes[rng.integers(0, n, len(near))] ^ (np.uint64(1) << rng.integers(0, 64, len(near)).astype(np.uint64))
    fingerprint = np.array([hashlib.sha256(str(k).encode()).hexdigest() for k in range(n)], object)
    copies = rng.permutation(n)[: n * 3 // 100]
    fingerprint[copies] = fingerprint[rng.integers(0, n, len(copies))]
    for number, start in enumerate(range(0, n, SHARD)):
        count = min(SHARD, n - start)
        part = slice(start, start + count)
        text_words = words[(rng.pareto(1.0, (count, 12)) * 20).astype(np.int64) % len(words)]
        ids = [f"{k:08d}" for k in range(start, start + count)]
        contributor = (rng.pareto(1.2, count) * 40).astype(np.int64) % (n // 50)
        table = pa.table(
            {
                "id": ids,
                "image": [f"{name}.jpg" for name in ids],
                "title": [" ".join(row[:4]) for row in text_words],
                "description": [" ".join(row[4:8]) if k % 3 == 0 else "" for k, row in enumerate(text_words)],
                "tags": pa.array([list(dict.fromkeys(row[8:])) for row in text_words], pa.list_(pa.string())),
                "contributor": [f"contributor {k}" for k in contributor],
                "licence": ["CC0"] * count,
                "group": [""] * count,
                "fingerprint": fingerprint[part],
                "repairs": pa.array([[]] * count, pa.list_(pa.string())),
                "rejected": [""] * count,
                "detail": [""] * count,
                "phash": hashes[part],
                "width": pa.array([128] * count, pa.int32()),
                "height": pa.array([128] * count, pa.int32()),
                "format": ["JPEG"] * count,
            }
        )
        (shard := out / f"shard-{number:04d}").mkdir()
        pq.write_table(table, shard / ROWS, compression="zstd")
        manifest.write(shard)


def curate(folder: str) -> Facts:
    """Ours."""
    import tempfile

    from trainworks.photostock.curation.curate import curate
    from trainworks.photostock.curation.knobs import DataConfig

    shards = sorted(Path(folder).glob("shard-*"))
    with tempfile.TemporaryDirectory() as out:
        return timed(lambda: curate(shards, DataConfig(gallery=5_000 if len(shards) > 20 else 200), Path(out)))[0]


def pandas(folder: str) -> Facts:
    """The script that one writes first."""
    import tempfile

    import pandas as pd

    from trainworks.photostock.preparation.shards import ROWS

    def caption(row: pd.Series) -> str:
        return f"{row['title']}. {row['description']} {', '.join(row['tags'])}".strip()

    def split(contributor: str) -> str:
        bucket = int(hashlib.sha256(contributor.encode()).hexdigest()[:8], 16) % 100
        return "test" if bucket == 0 else "val" if bucket == 1 else "train"

    def work(out: Path) -> None:
        table = pd.concat([pd.read_parquet(shard / ROWS) for shard in sorted(Path(folder).glob("shard-*"))])
        table = table[table["rejected"] == ""].sort_values("id").drop_duplicates("fingerprint")
        table["caption"] = table.apply(caption, axis=1)
        table = table[table["caption"] != ""].groupby("contributor").head(300)
        table["split"] = table["contributor"].apply(split)
        table.to_parquet(out / "index.parquet")

    with tempfile.TemporaryDirectory() as out:
        return timed(lambda: work(Path(out)))[0]
