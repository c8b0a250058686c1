"""Whatever a catalogue calls a picture, nothing but a file below its folder is opened, and no connection is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REFERENCES = [
    "../secret.png",
    "a/../../secret.png",
    "..",
    "./../secret.png",
    "/etc/passwd",
    "//etc/passwd",
    "/proc/self/environ",
    "file:///etc/passwd",
    "FILE://localhost/etc/passwd",
    "file:/etc/passwd",
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "https://example.org/a.png",
    "ftp://example.org/a.png",
    "s3://bucket/a.png",
    "data:image/png;base64,AAAA",
    "\\\\server\\share\\a.png",
    "C:\\Windows\\win.ini",
    "C:/Windows/win.ini",
    "owl.png\0.jpg",
    "\0/etc/passwd",
    "~/.ssh/id_rsa",
    "$HOME/.netrc",
    "%2e%2e/secret.png",
    "..%2fsecret.png",
    "．．/secret.png",
    "to-secret.png",
    "to-etc/passwd",
    "to-environ.png",
    "to-zero.png",
]
"""The last four are links inside the catalogue's folder."""

CHILD = """
import json, sys
from pathlib import Path
import pyarrow as pa
import pyarrow.parquet as pq
from trainworks.errors import DataError
from trainworks.photostock.catalogue import catalogue, slices
from trainworks.photostock.preprocessing.pixels import open_rgb
from trainworks.photostock.preparation.prepare import prepare

base = Path(sys.argv[1])
references = json.loads((base / "references.json").read_text())
sockets, opened = [], []

def watch(event, arguments):
    if event.startswith("socket."):
        sockets.append([event, str(arguments)])
    elif event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])

def shard(source, name):
    read = catalogue.read(str(source))
    for folder in (base / f"{name}-slice", base / f"{name}-shard"):
        folder.mkdir()
    rows = read.table.to_pylist()
    if name == "forced":  # as if acquire had let everything pass
        rows = [{**rows[0], "id": f"{n}", "image": reference} for n, reference in enumerate(references)] + rows[:1]
    slices.write_slice(pa.Table.from_pylist(rows, slices.SCHEMA), base / f"{name}-slice")
    prepare(base / f"{name}-slice", read.root, base / f"{name}-shard", 32, threads=1)
    (table,) = (base / f"{name}-shard").glob("rows.parquet")
    return pq.read_table(table)["rejected"].to_pylist()

shard(base / "photos" / "one.csv", "warm")
sys.addaudithook(watch)
rejected = {name: shard(base / "photos" / f"{name}.{suffix}", name)
            for name, suffix in (("csv", "csv"), ("jsonl", "jsonl"), ("parquet", "parquet"))}
rejected["forced"] = shard(base / "photos" / "one.csv", "forced")
served = []
for reference in references:
    if "://" in reference:
        try:
            open_rgb(reference)
            served.append(reference)
        except DataError:
            pass
print(json.dumps({"rejected": rejected, "sockets": sockets, "opened": opened, "served": served}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict:
    """What a process did that acquired and prepared three catalogues of these references, by Python's audit events."""
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.conftest import draw

    base = tmp_path_factory.mktemp("references")
    photos = base / "photos"
    photos.mkdir()
    draw("red", "ellipse", 1).save(photos / "owl.png")
    draw("red", "ellipse", 1).save(base / "secret.png")
    for name, target in (("to-secret.png", "../secret.png"), ("to-etc", "/etc"), ("to-environ.png", "/proc/self/environ")):
        (photos / name).symlink_to(target)
    (photos / "to-zero.png").symlink_to("/dev/zero")
    rows = [{"image": reference, "title": "A"} for reference in [*REFERENCES, "owl.png"]]
    (base / "references.json").write_text(json.dumps(REFERENCES))
    (photos / "jsonl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), photos / "parquet.parquet")
    for name, some in (("csv", rows), ("one", rows[-1:])):
        with (photos / f"{name}.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, ["image", "title"])
            table.writeheader()
            table.writerows(some)
    done = subprocess.run([sys.executable, "-c", CHILD, base], stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[2])
    return json.loads(done.stdout.splitlines()[-1]) | {"base": str(base)}


@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet", "forced"])
def test_every_reference_out_of_the_folder_is_refused(seen, name):
    """All 30, in every format of catalogue, and again by prepare if acquire had been wrong; the picture beside them is kept."""
    *refused, kept = seen["rejected"][name]
    assert len(refused) == len(REFERENCES) == 30 and all(refused) and kept == ""


def test_no_socket_is_opened(seen):
    """Neither to a link-local address nor to any other, also where a service gets a URL in the place of a picture."""
    assert seen["sockets"] == [] and seen["served"] == []


def test_nothing_outside_is_opened(seen):
    """No file that a reference, or a link it names, points at."""
    assert any(path.endswith("owl.png") for path in seen["opened"])
    wicked = ("/etc/", "/proc/", "/dev/", "secret", "meta-data", ".ssh", "win.ini")
    named = [path for path in seen["opened"] if any(part in path for part in wicked) and "://" not in path]  # a URL is no file
    assert [path for path in named if not path.startswith(f"{seen['base']}/photos/")] == []
