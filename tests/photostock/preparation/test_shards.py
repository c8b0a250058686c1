"""Of a shard only the files that a stage reads are fetched: rows for curation, pictures for stages that need pixels."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flytekit.types.directory import FlyteDirectory

from tasks import photostock as tasks
from tasks import stage
from tests.fault_proxy import fault_proxy
from trainworks.photostock.curation import index
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.preparation.shards import stored_pictures
from trainworks.storage import manifest, store


def write_pixels(folder, count, per_group=4):
    """A file of *count* pictures, each of which says which it is."""
    folder.mkdir(exist_ok=True)
    pictures = [f"{folder.name} {row}".encode() for row in range(count)]
    pq.write_table(
        pa.table({"id": [str(row) for row in range(count)], "pixels": pictures}), folder / "pixels.parquet", row_group_size=per_group
    )


@pytest.mark.parametrize("rows", [[], [0], [9, 3, 4, 3], [*range(10)]])
def test_stored_pictures_are_those_of_the_rows(tmp_path, rows):
    """Each with its place, whatever the order, and whichever row group it lies in."""
    write_pixels(tmp_path / "shard", 10)
    expected = [(place, f"shard {row}".encode()) for place, row in enumerate(rows)]
    assert sorted(stored_pictures(tmp_path / "shard", np.array(rows, int))) == expected


@pytest.fixture
def elsewhere(bucket, tmp_path, monkeypatch):
    """Puts shards into an artifact root on S3 and gives their addresses, to a machine whose disk is empty."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", f"{bucket}/artifacts")

    def elsewhere(make):
        (tmp_path / "one").mkdir()
        monkeypatch.chdir(tmp_path / "one")
        addresses = [store.address(store.remember("prepare", name, write)) for name, write in make.items()]
        (tmp_path / "two").mkdir()
        monkeypatch.chdir(tmp_path / "two")
        monkeypatch.setattr(store, "_settled", set())
        return addresses

    return elsewhere


@pytest.fixture
def read(s3_server, monkeypatch):
    """The objects that are read from S3, by the last two parts of their names."""
    fetched = []
    with fault_proxy(s3_server) as proxy:
        proxy.before = lambda method, path: fetched.append("/".join(path.split("/")[-2:])) if method == "GET" else None
        yield lambda: (monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url), fetched)[1]


@pytest.mark.filterwarnings("ignore")  # flytekit's own
def test_curation_moves_no_pictures(elsewhere, read, shards):
    """The task reads manifest, facts and rows of every shard, for its key as for its work; its result is that of whole shards."""
    files = {shard.name: {path.name: path.read_bytes() for path in shard.iterdir()} for shard in shards}
    addresses = elsewhere(
        {name: lambda out, held=held: [(out / n).write_bytes(b) for n, b in held.items()] for name, held in files.items()}
    )
    keys = read()
    knobs = vars(DataConfig(gallery=10, subsample=""))
    made = tasks.curate(shards=[FlyteDirectory(address) for address in addresses], embeddings=[], **knobs)
    moved = [key for key in keys if key.split("/")[0] in files]
    assert {key.split("/")[1] for key in moved} == {"manifest.json", "run.json", "rows.parquet"}
    assert len(moved) == len(set(moved)) == 3 * len(files), "and each of them once"
    assert len(index.rows(stage.path(made), "test")) == 10


def test_a_split_fetches_only_the_shards_it_is_in(elsewhere, read, tmp_path):
    """Evaluation and report need few pictures."""
    addresses = elsewhere({name: lambda out, name=name: write_pixels(out, 10) for name in "abc"})
    keys = read()
    folders = [store.local(address, whole=False) for address in addresses]
    rows = pd.DataFrame({"shard": [manifest.digest(folders[1])] * 2, "row": [7, 2]})
    assert len(dict(index.pictures(rows, folders))) == 2
    assert [key for key in keys if key.endswith("pixels.parquet")] == ["b/pixels.parquet"]
