"""Checkpoint files: located, fetched once from S3, and identified by their content."""

import pytest

from trainworks.errors import WeightsError
from trainworks.photostock.model import weights
from trainworks.storage import manifest, s3


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))


@pytest.mark.parametrize(
    ("name", "is_file"), [("laion2b_s34b_b79k", False), ("pretrained", False), ("model.pt", True), ("s3://b/model", True)]
)
def test_a_file_is_told_from_a_tag(name, is_file):
    """By a slash or a suffix; a tag has no digest of its own."""
    assert weights.is_file(name) == is_file
    assert is_file or weights.digest(name) == ""


def test_a_changed_checkpoint_has_another_digest(bucket, tmp_path):
    """On disk and on S3 alike, where an unchanged one is fetched once."""
    path, uri = tmp_path / "model.pt", f"{bucket}/model.pt"
    path.write_bytes(b"one")
    s3.upload(path, uri)
    first = weights.local(uri)
    assert weights.digest(uri) == weights.digest(str(path)) == manifest.sha256(path)
    fetched = first.stat().st_mtime_ns
    assert weights.local(uri) == first and first.stat().st_mtime_ns == fetched
    s3.put(uri, b"two")
    assert weights.digest(uri) != weights.digest(str(path))


def test_a_checkpoint_that_is_not_there_is_named(bucket):
    """HEAD gives one answer for a missing bucket and a missing object, so the message names both."""
    with pytest.raises(WeightsError, match=r"no checkpoint s3://.*there is no such object"):
        weights.local(f"{bucket}/model.pt")
    with pytest.raises(WeightsError, match="no-such-bucket"):
        weights.local("s3://no-such-bucket/model.pt")
    with pytest.raises(WeightsError, match="expected a file such as"):
        weights.local("nowhere/model.pt")
