"""A bundle is the same wherever it lies and however it is named, or is refused by name."""

import json
import tempfile
from pathlib import Path

import pytest

from tests.release import toy_bundle
from trainworks.errors import IntegrityError
from trainworks.release import stored
from trainworks.release.releases import release
from trainworks.storage import manifest, s3


def write(folder, content="weights"):
    """A toy bundle whose gates hold."""
    texts = {"model.onnx": content, "deep/metrics.json": '{"reached": 0.5}', "broken.json": "{"}
    return toy_bundle.write(folder, texts, config={"epochs": 4})


@pytest.fixture(params=["folder", "s3"])
def to(request, tmp_path):
    """Where releases go."""
    return f"{request.getfixturevalue('bucket')}/shop" if request.param == "s3" else str(tmp_path / "shop")


def put(uri, content):
    """Make *content* the file or object at *uri*."""
    if s3.is_uri(uri):
        s3.put(uri, content)
    else:
        Path(uri).write_bytes(content)


def test_a_release_and_its_version_are_the_same_bundle(to, tmp_path):
    """The address is that of the version either way, so that it names the content; a slash at the end changes nothing."""
    done = release(write(tmp_path / "bundle"), to)
    for uri in (to, f"{to}/", done.uri, f"{done.uri}/"):
        found = stored.locate(uri)
        assert (found.uri, found.version) == (done.uri, done.version)
        assert found.facts == manifest.read(tmp_path / "bundle")


def test_a_file_is_read_as_the_manifest_has_it(to, tmp_path):
    """In bytes or as JSON; a file that the manifest does not name is none."""
    found = stored.locate(release(write(tmp_path / "bundle"), to).uri)
    assert found.read("model.onnx") == b"weights" and found.json("deep/metrics.json") == {"reached": 0.5}
    assert found.read("other") is found.json("other.json") is None
    with pytest.raises(IntegrityError, match=r"broken\.json is damaged"):
        found.json("broken.json")
    put(f"{found.uri}/model.onnx", b"weighty")
    with pytest.raises(IntegrityError, match=r"model\.onnx is not the file its manifest names; fetch the bundle again"):
        found.read("model.onnx")


def test_a_whole_bundle_is_a_verified_folder(to, tmp_path, monkeypatch):
    """With its manifest; of what lies on S3 a copy that is gone afterwards."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    found = stored.locate(release(write(tmp_path / "bundle"), to).uri)
    with found.folder() as folder:
        assert manifest.verify(folder) == found.facts
        assert (folder / manifest.NAME).read_bytes() == (tmp_path / "bundle" / manifest.NAME).read_bytes()
    assert list((tmp_path / "temporary").iterdir()) == []
    put(f"{found.uri}/model.onnx", b"weighty")
    with pytest.raises(IntegrityError, match=r"model\.onnx: SHA-256"), found.folder():
        pytest.fail("given to a reader")


def test_only_what_the_manifest_names_is_fetched(bucket, tmp_path):
    """A key that leaves the folder is nobody's file; one that is gone is missed by its address."""
    uri = release(write(tmp_path / "bundle"), bucket).uri
    s3.put(f"{uri}/../../outside", b"x")
    with stored.locate(uri).folder() as folder:
        assert {path.name for path in folder.rglob("*") if path.is_file()} == {"model.onnx", "metrics.json", "broken.json", manifest.NAME}
    s3.delete(f"{uri}/model.onnx")
    with pytest.raises(IntegrityError, match=rf"{uri}/model\.onnx: no such object; fetch the bundle again"), stored.locate(uri).folder():
        pytest.fail("given to a reader")


def test_a_version_that_was_exchanged_is_refused(to, tmp_path):
    """Though it is whole in itself: the release's pointer names the manifest's hash."""
    uri = release(write(tmp_path / "bundle"), to).uri
    content = manifest.read(tmp_path / "bundle") | {"seed": 2}
    put(f"{uri}/{manifest.NAME}", manifest.sealed(content).encode())
    assert stored.locate(uri).facts["seed"] == 2
    with pytest.raises(IntegrityError, match=r"not the one that current\.json names"):
        stored.locate(to)


def test_what_is_no_bundle_is_refused(to, tmp_path):
    """By its address: a place with neither, a manifest that was changed, a pointer that is none."""
    with pytest.raises(IntegrityError, match=rf"{to}: neither a bundle .* nor a release"):
        stored.locate(to)
    uri = release(write(tmp_path / "bundle"), to).uri
    put(f"{uri}/{manifest.NAME}", json.dumps(manifest.read(tmp_path / "bundle")).encode())
    with pytest.raises(IntegrityError, match=rf"{uri}: manifest\.json is damaged"):
        stored.locate(uri)
    put(f"{to}/current.json", b"{}")
    with pytest.raises(IntegrityError, match="not a release pointer"):
        stored.locate(to)


def test_versions_are_those_of_a_release_or_a_bundle_itself(to, tmp_path):
    """The oldest first, whichever is current; the folder that holds them stands for the release."""
    uris = [release(write(tmp_path / name, name), to).uri for name in "ab"]
    for place in (to, f"{to}/versions/"):
        assert [found.uri for found in stored.versions(place)] == sorted(uris)
    assert [found.uri for found in stored.versions(uris[0])] == uris[:1]
    with pytest.raises(IntegrityError, match="neither a bundle"):
        stored.versions(f"{to}/other")
