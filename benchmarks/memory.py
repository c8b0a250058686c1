"""Peak memory of the stages before training, as the catalogue grows 1, 4 and 16 times; each measured in a process of its own.

python -m benchmarks.memory                      # all: about ten minutes of one core and 3 GB of memory
python -m benchmarks.memory prepare --times 1 4  # one of them, on less
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

# Only the children import the heavy packages: a child's peak begins with the size of its parent.

PICTURES, SIDE = 200, 1200
"""The catalogue that prepare takes 1, 4 and 16 times: pictures of the embedded sample, enlarged to this width, as JPEG."""

ROWS, PER_SHARD = 62_500, 2_500
"""The rows that curate takes 1, 4 and 16 times, and those of a shard."""


def main() -> None:
    """Make the inputs, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stages", nargs="*", default=[*STAGES], help=f"of {', '.join(STAGES)}")
    parser.add_argument("--times", nargs="*", type=int, default=[1, 4, 16], help="how often the catalogue is taken")
    arguments = parser.parse_args()
    print("| stage | rows | CPU seconds | peak MB |\n|---|---|---|---|")
    for stage in arguments.stages:
        make, unit = STAGES[stage]
        for times in arguments.times:
            with tempfile.TemporaryDirectory() as folder:
                _child(f"{make}({times}, Path({folder!r}))")
                used = _child(f"{stage}(Path({folder!r}))")
            print(f"| {stage} | {times * unit:,} | {used.ru_utime + used.ru_stime:.0f} | {used.ru_maxrss / 1024:.0f} |", flush=True)


def _child(call: str) -> resource.struct_rusage:
    """Run *call* in a new process and give the resources it used."""
    code = f"from pathlib import Path\nfrom benchmarks.memory import *\n{call}"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[1])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{call} ended with {process.returncode}")
    return used


def catalogue_of_pictures(times: int, folder: Path) -> None:
    """Slices of a catalogue that names each picture *times* times."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from PIL import Image

    from trainworks.photostock.catalogue import catalogue, slices

    sample = catalogue.read("sample")
    table = sample.table.slice(0, PICTURES)
    (folder / "pictures").mkdir()
    for name in table["image"].to_pylist():
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(Path(sample.root) / name) as image:
            image.convert("RGB").resize((SIDE, SIDE * image.height // image.width)).save(path, "JPEG", quality=90)
    fingerprints = pa.array([_sha256((folder / "pictures" / name).read_bytes()) for name in table["image"].to_pylist()])
    table = table.set_column(table.schema.get_field_index("fingerprint"), "fingerprint", fingerprints)
    copies = [table.set_column(0, "id", pc.binary_join_element_wise(table["id"], str(copy), "-")) for copy in range(times)]
    for number, rows in enumerate(slices.slices(pa.concat_tables(copies))):
        slices.write_slice(rows, folder / "slices" / str(number))


def prepare(folder: Path) -> None:
    """All slices, one after another."""
    from trainworks.photostock.preparation import prepare

    for number, rows in enumerate(sorted((folder / "slices").iterdir())):
        out = folder / "shards" / str(number)
        out.mkdir(parents=True)
        prepare.prepare(rows, folder / "pictures", out, stored_size=256)


def rows_of_hashes(times: int, folder: Path) -> None:
    """Shards without pictures: every column of a row is drawn from the hash of its number."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from trainworks.photostock.catalogue.slices import SCHEMA
    from trainworks.storage import manifest

    words = np.array([_sha256(str(n).encode())[: 3 + n % 7] for n in range(20_000)], object)
    for first in range(0, times * ROWS, PER_SHARD):
        digests = [_sha256(str(row).encode()) for row in range(first, first + PER_SHARD)]
        rng = np.random.default_rng(first)
        text_words = words[(20_000 * rng.random((PER_SHARD, 14)) ** 3).astype(int)].tolist()  # some words are frequent, most are not
        empty = [""] * PER_SHARD
        columns = {
            "id": digests,
            "image": [f"{digest[:2]}/{digest}.jpg" for digest in digests],
            "title": [" ".join(row[:8]) for row in text_words],
            "tags": [row[8:] for row in text_words],
            "contributor": [f"contributor {number}" for number in rng.integers(0, times * ROWS // 40, PER_SHARD)],
            "licence": ["CC0"] * PER_SHARD,
            "fingerprint": digests,
            "repairs": [list[str]()] * PER_SHARD,
            **dict.fromkeys(("description", "group", "rejected", "detail"), empty),
        }
        schema = pa.schema([field for field in SCHEMA if field.name != "bytes"])
        table = pa.table(columns, schema).append_column("phash", pa.array([int(digest[:16], 16) for digest in digests], pa.uint64()))
        shard = folder / "shards" / str(first)
        shard.mkdir(parents=True)
        pq.write_table(table, shard / "rows.parquet", compression="zstd")
        manifest.write(shard)


def curate(folder: Path, subsample: str = "near_duplicates(1) > contributor(300)") -> None:
    """All shards."""
    from trainworks.photostock.curation.curate import curate
    from trainworks.photostock.curation.knobs import DataConfig

    (folder / "dataset").mkdir()
    curate(sorted((folder / "shards").iterdir()), DataConfig(subsample=subsample), folder / "dataset")


def curate_similar_texts(folder: Path) -> None:
    """All shards, captions compared as well."""
    curate(folder, "similar_texts(1, 0.1)")


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


STAGES = {
    "prepare": ("catalogue_of_pictures", PICTURES),
    "curate": ("rows_of_hashes", ROWS),
    "curate_similar_texts": ("rows_of_hashes", ROWS),
}
"""Stage → the function that makes its input, and rows of the catalogue taken once."""


if __name__ == "__main__":
    main()
