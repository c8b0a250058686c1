"""Pictures on S3 make the same shards as pictures in a folder."""

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import write_catalogue
from trainworks.errors import DataError, StorageError
from trainworks.photostock.catalogue import catalogue, slices
from trainworks.photostock.preparation.originals import Bucket
from trainworks.photostock.preparation.prepare import prepare
from trainworks.storage import s3


def put(folder: Path, uri: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            s3.upload(path, f"{uri}/{path.relative_to(folder).as_posix()}")


def shard(source: str, out: Path):
    """Catalogue → one slice → shard, as rows."""
    result = catalogue.read(source)
    slices.write_slice(result.table, out / "slice")
    prepare(out / "slice", result.root, out, stored_size=32)
    columns = [pq.read_table(out / file) for file in ("rows.parquet", "pixels.parquet")]
    return [row | picture for row, picture in zip(*(table.to_pylist() for table in columns), strict=True)]


@pytest.fixture
def folder(tmp_path):
    return write_catalogue(tmp_path / "photos", pictures=6)


@pytest.fixture
def photos(bucket, folder):
    put(folder, f"{bucket}/my/photos")
    s3.put(f"{bucket}/my/photos-old/catalogue.csv", b"image,title\n")
    return f"{bucket}/my/photos"


def test_a_bucket_gives_the_shards_of_the_folder_it_was_copied_from(photos, folder, tmp_path):
    """Pixels, hashes and fingerprints, row by row: duplicates are found across both."""
    (tmp_path / "a").mkdir()
    here = shard(str(folder), tmp_path / "a")
    for name, source in (("b", photos), ("c", f"{photos}/"), ("d", f"{photos}/catalogue.jsonl")):
        (tmp_path / name).mkdir()
        assert shard(source, tmp_path / name) == here
    assert here[0]["fingerprint"] == hashlib.sha256((folder / "000.png").read_bytes()).hexdigest()


def test_reading_a_catalogue_downloads_no_picture(photos):
    """One listing tells of them all; what it tells changes with the picture."""
    before = catalogue.read(photos).table["fingerprint"].to_pylist()
    assert all(fingerprint.startswith(Bucket.FINGERPRINT_PREFIX) for fingerprint in before)
    s3.put(f"{photos}/003.png", b"another")
    after = catalogue.read(photos).table["fingerprint"].to_pylist()
    assert [number for number in range(6) if before[number] != after[number]] == [3]


def test_what_the_listing_does_not_have_is_missing(photos, tmp_path):
    """Only its own row is lost."""
    s3.delete(f"{photos}/003.png")
    rows = shard(photos, tmp_path)
    assert [row["rejected"] for row in rows] == ["", "", "", "missing file", "", ""]


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_picture_changed_since_the_listing_is_rejected(photos, tmp_path, change):
    """Its slice is cached by the size and ETag of the listing."""
    result = catalogue.read(photos)
    s3.delete(f"{photos}/003.png") if change == "deleted" else s3.put(f"{photos}/003.png", b"another")
    slices.write_slice(result.table, tmp_path / "slice")
    prepare(tmp_path / "slice", result.root, tmp_path, stored_size=32)
    rejected = pq.read_table(tmp_path / "rows.parquet")["rejected"].to_pylist()
    assert rejected == ["", "", "", "changed while reading", "", ""]


def test_an_object_too_large_to_hold_is_rejected_unread(photos, tmp_path, monkeypatch):
    """By the size in the listing."""
    monkeypatch.setattr("trainworks.photostock.preparation.originals.MAX_BYTES", 10)
    monkeypatch.setattr(s3, "read", lambda *_: pytest.fail("read"))
    assert {row["rejected"] for row in shard(photos, tmp_path)} == {"file too large"}


def test_a_source_that_is_not_there_is_refused_at_once(bucket, photos):
    """Nothing below the prefix, two catalogues, no such bucket: refused in the first step, with S3's own message."""
    catalogue.check(photos)
    with pytest.raises(DataError, match=r"found none, expected .*catalogue\.csv"):
        catalogue.check(f"{bucket}/my/photo")
    s3.put(f"{photos}/catalogue.csv", b"image,title\n")
    with pytest.raises(DataError, match=r"found catalogue\.csv and catalogue\.jsonl"):
        catalogue.check(photos)
    with pytest.raises(StorageError, match="no such bucket"):
        catalogue.check(f"{bucket}-misspelt/photos")


def test_a_bad_catalogue_on_s3_is_named_by_its_uri(bucket):
    """Not by the file it was copied to."""
    s3.put(f"{bucket}/catalogue.csv", b"picture,title\na.png,A\n")
    with pytest.raises(DataError, match=f"^{bucket}/catalogue.csv: column 'image' is missing"):
        catalogue.read(bucket)
