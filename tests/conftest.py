"""What tests of several stages share: a catalogue drawn in code, taken through the stages that are quick."""

import json
import os
import uuid
from pathlib import Path

import pytest
from hypothesis import settings
from PIL import Image, ImageDraw

from trainworks.photostock.catalogue import catalogue, slices
from trainworks.photostock.curation.curate import curate
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.preparation.prepare import prepare
from trainworks.storage import manifest

settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

# A client of Admin that another test left is enough for gRPC's fork handlers to make a child of fork (Spark's gateway) fail now and then.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# As who registers has it: without, launch plans whose data no cluster finds are left out.
os.environ["TRAINWORKS_DATA"] = "s3://bucket/data"

COLOURS = ("red", "green", "blue", "orange", "purple", "black", "yellow", "grey")
SHAPES = ("ellipse", "rectangle", "triangle")

LONGEST = (
    "test_launch.py",
    "test_pipeline.py",
    "test_resume.py",
    "test_backbones.py",
    "test_export.py",
    "test_train.py",
    "test_devices.py",
)
"""Files that take minutes, or nearly one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that workers end together; the order within a file stays."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def draw(colour: str, shape: str, number: int) -> Image.Image:
    """A shape whose place and size depend on *number*, so that no two pictures are near-duplicates."""
    image = Image.new("RGB", (96, 80), "white")
    left, top, side = 7 * (number % 9), 5 * (number % 7), 18 + 9 * (number % 4)
    box = (left, top, left + side, top + side)
    if shape == "triangle":
        ImageDraw.Draw(image).polygon([(left, top + side), (left + side, top + side), (left + side // 2, top)], fill=colour)
    else:
        getattr(ImageDraw.Draw(image), shape)(box, fill=colour)
    return image


def write_catalogue(folder: Path, pictures: int = 90) -> Path:
    """A catalogue of drawn shapes by a dozen contributors."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(pictures):
        colour, shape = COLOURS[number % 8], SHAPES[number % 3]
        draw(colour, shape, number).save(folder / f"{number:03d}.png")
        rows.append(
            {
                "image": f"{number:03d}.png",
                "title": f"{colour} {shape} {number}",
                "tags": [colour, shape],
                "contributor": f"artist {number % 13}",
                "licence": "public domain",
            }
        )
    (folder / "catalogue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> list[Path]:
    """The drawn catalogue, acquired and prepared."""
    base = tmp_path_factory.mktemp("drawn")
    found = catalogue.read(str(write_catalogue(base / "catalogue")))
    made = []
    for number, rows in enumerate(slices.slices(found.table)):
        rows_folder, shard = base / f"rows-{number}", base / f"shard-{number}"
        rows_folder.mkdir()
        shard.mkdir()
        slices.write_slice(rows, rows_folder)
        prepare(rows_folder, found.root, shard, stored_size=64)
        manifest.write(shard)
        made.append(shard)
    return made


@pytest.fixture(scope="session")
def dataset(shards, tmp_path_factory) -> Path:
    """The drawn catalogue, curated, with galleries of ten pictures."""
    folder = tmp_path_factory.mktemp("dataset")
    curate(shards, DataConfig(gallery=10, subsample=""), folder)
    manifest.write(folder)
    return folder


@pytest.fixture(scope="session")
def untouched(tmp_path_factory) -> Path:
    """The pretrained towers at 32 pixels."""
    from trainworks.photostock.model import towers  # torch, which most tests go without
    from trainworks.photostock.model.untouched import load

    folder = tmp_path_factory.mktemp("untouched")
    towers.save(load("lite0-minilm", "pretrained", 32, seed=1), folder)
    manifest.write(folder)
    return folder


@pytest.fixture(scope="session")
def s3_server():
    """The address of a real S3 server on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server, monkeypatch) -> str:
    """The URI of an empty bucket, reached as people reach theirs: through the standard environment variables."""
    import boto3

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"
