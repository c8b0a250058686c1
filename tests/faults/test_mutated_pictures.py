"""1,000 damaged pictures: each is kept or rejected, nothing crashes, and memory stays within what one large picture may take."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import hashlib, io, json, resource, struct, sys, zlib
from collections import Counter
from pathlib import Path
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from trainworks.photostock.catalogue import catalogue, slices
from trainworks.photostock.preparation.prepare import prepare

base, count, sides = Path(sys.argv[1]), 1000, (0, 1, 5, 97, 4000, 13000, 65535)
rng = np.random.default_rng(0)
originals = sorted((catalogue.SAMPLE / "images").iterdir())[:20]
formats = ("PNG", "JPEG", "WEBP", "GIF")

def encoded(path, format):
    file = io.BytesIO()
    Image.open(path).convert("RGB").save(file, format)
    return file.getvalue()

def bytes_flipped(data):
    for at in rng.integers(len(data), size=rng.integers(1, 9)):
        data[at] ^= 1 << int(rng.integers(8))

def truncated(data):
    del data[int(rng.integers(len(data))):]

def header_overwritten(data):
    at, length = int(rng.integers(40)), int(rng.integers(1, 9))
    data[at:at + length] = rng.bytes(length)

def header_of_another_size(data):
    width, height = rng.choice(sides, 2).tolist()
    if data.startswith(b"\\x89PNG"):  # with the checksum that belongs to it
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif data.startswith(b"GIF"):
        for at in (6, data.index(b",") + 5):
            data[at:at + 4] = struct.pack("<HH", width, height)
    elif data.startswith(b"RIFF"):
        at = data.index(b"\\x9d\\x01\\x2a") + 3
        data[at:at + 4] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    else:
        at = data.index(b"\\xff\\xc0") + 5
        data[at:at + 4] = struct.pack(">HH", height, width)

mutations = (bytes_flipped, truncated, header_overwritten, header_of_another_size)

def mutated(n):
    data = bytearray(encoded(originals[n // 16 % len(originals)], formats[n % 4]))
    mutations[n // 4 % 4](data)
    return bytes(data)

def shard(pictures, name):
    root = base / name
    root.mkdir()
    for n, data in enumerate(pictures):
        (root / f"{n:04}").write_bytes(data)
    (root / "catalogue.jsonl").write_text("".join(json.dumps({"image": f"{n:04}", "title": f"{n}"}) + "\\n" for n in range(len(pictures))))
    read = catalogue.read(str(root))
    rows = []
    for number, piece in enumerate(slices.slices(read.table)):
        folders = [base / f"{name}-{number}-{what}" for what in ("slice", "shard")]
        for folder in folders:
            folder.mkdir()
        slices.write_slice(piece, folders[0])
        prepare(folders[0], read.root, folders[1], 96, threads=4)
        rows += pq.read_table(folders[1] / "rows.parquet").to_pylist()
    return rows

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

assert not any(row["rejected"] for row in shard([encoded(path, format) for path in originals for format in formats], "whole"))
before, given = peak(), [mutated(n) for n in range(count)]
rows = shard(given, "mutated")
print(json.dumps({"given": len(given), "rows": len(rows), "kept": sum(not row["rejected"] for row in rows),
                  "rejected": sum(bool(row["rejected"]) for row in rows), "megabytes": peak() - before,
                  "unsized": sum(not row["rejected"] and not row["width"] for row in rows),
                  "reasons": Counter(row["rejected"] for row in rows)}))
"""

LARGEST = 178_956_970 * 4 // 2**20
"""Megabytes of the one picture of the most pixels that is decoded at a time."""


@pytest.mark.slow
def test_of_1000_mutated_pictures_each_is_kept_or_rejected_in_bounded_memory(tmp_path):
    """Flipped bytes, cut ends, overwritten headers and headers of another size, of real pictures in four formats."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", CHILD, tmp_path], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["given"] == counts["rows"] == counts["kept"] + counts["rejected"] == 1000
    assert 100 < counts["kept"] < 900 and counts["unsized"] == 0
    assert counts["megabytes"] < 2 * LARGEST, counts
