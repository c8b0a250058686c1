"""Embeddings of a shard: one of every picture that was not rejected, as the tower sees it."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from trainworks.photostock.curation import embed as stage
from trainworks.photostock.curation.embed import embed
from trainworks.photostock.model import towers
from trainworks.photostock.model.untouched import load
from trainworks.photostock.preprocessing.pixels import Preprocessing, normalise

pytestmark = pytest.mark.filterwarnings("ignore")  # open_clip's and timm's own


def jpeg(number):
    """A picture of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 48, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Untouched towers for pictures of 32 pixels."""
    folder = tmp_path_factory.mktemp("start")
    towers.save(load("lite0-minilm", "random", 32, seed=1), folder)
    return folder


def shard(folder, rows):
    """The file of a shard that embedding reads."""
    schema = pa.schema([("id", pa.string()), ("pixels", pa.binary())])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "pixels.parquet")
    return folder


def test_every_picture_not_rejected_has_its_towers_embedding(start, tmp_path, monkeypatch):
    """Unit length, and equal within float16 to the tower run on one picture at a time; batches of two change nothing."""
    monkeypatch.setattr(stage, "BATCH", 2)
    rows = [{"id": str(n), "pixels": None if n in (1, 4, 5) else jpeg(n)} for n in range(7)]
    embed(start, shard(tmp_path, rows), "squash(32)", tmp_path)
    table = pq.read_table(tmp_path / "embeddings.parquet")
    assert table["id"].to_pylist() == ["0", "2", "3", "6"]
    tower = towers.read(start)
    for name, embedding in zip(table["id"].to_pylist(), table["embedding"].to_pylist(), strict=True):
        pixels = Preprocessing("squash(32)").apply(Image.open(io.BytesIO(jpeg(int(name)))))
        with torch.no_grad():
            slow = tower.model.eval().encode_image(torch.from_numpy(normalise(pixels[None], tower.mean, tower.std)))[0].numpy()
        assert np.allclose(embedding, slow / np.linalg.norm(slow), atol=1e-3)
        assert abs(np.linalg.norm(embedding) - 1) < 1e-3


def test_a_shard_without_pictures_has_no_embeddings(start, tmp_path):
    """All were rejected: an empty table, not an error."""
    embed(start, shard(tmp_path, [{"id": "a", "pixels": None}]), "squash(32)", tmp_path)
    assert len(pq.read_table(tmp_path / "embeddings.parquet")) == 0
