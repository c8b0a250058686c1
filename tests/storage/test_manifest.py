"""A manifest vouches for every byte of a folder."""

import hashlib

import numpy as np
import pytest

from trainworks.errors import IntegrityError
from trainworks.storage import manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_bytes(b"alpha")
    (tmp_path / "deep" / "b.bin").write_bytes(bytes(range(256)))
    manifest.write(tmp_path, stage="toy", seed=3)
    return tmp_path


def rewrite(folder, change):
    """Change the manifest itself, as one who knows how it is written."""
    content = manifest.parse((folder / manifest.NAME).read_bytes())
    change(content)
    (folder / manifest.NAME).write_text(manifest.sealed(content))


def test_a_manifest_names_every_file_with_hash_and_size(folder):
    """Facts stand beside the files; the manifest does not name itself."""
    content = manifest.verify(folder)
    assert content["stage"] == "toy" and content["seed"] == 3
    assert content["files"]["a.txt"] == {"sha256": hashlib.sha256(b"alpha").hexdigest(), "size": 5}
    assert set(content["files"]) == {"a.txt", "deep/b.bin"}


@pytest.mark.parametrize("at", [0, 100, 255])
def test_one_flipped_bit_is_found(folder, at):
    """Same size, one bit: the hash tells."""
    path = folder / "deep" / "b.bin"
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"b\.bin: SHA-256"):
        manifest.verify(folder)


def test_every_flipped_bit_of_the_manifest_is_found(folder):
    """200 random ones and each of its own seal's: what it tells of the run counts as much as what it tells of the files."""
    whole = (folder / manifest.NAME).read_bytes()
    at = 8 * whole.index(b'"seal"')
    for bit in [*range(at, at + 8 * 74), *np.random.default_rng(1).integers(8 * len(whole), size=200)]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << int(bit % 8)
        (folder / manifest.NAME).write_bytes(damaged)
        with pytest.raises(IntegrityError, match=r"no readable manifest\.json"):
            manifest.read(folder)


def test_a_truncated_file_is_found(folder):
    """The size tells before the hash is computed."""
    (folder / "a.txt").write_bytes(b"alph")
    with pytest.raises(IntegrityError, match=r"a\.txt: 4 bytes where the manifest has 5"):
        manifest.verify(folder)


def test_a_missing_file_is_found(folder):
    """So is a folder in a file's place."""
    (folder / "a.txt").unlink()
    with pytest.raises(IntegrityError, match=r"a\.txt is missing"):
        manifest.verify(folder)
    (folder / "a.txt").mkdir()
    with pytest.raises(IntegrityError, match=r"a\.txt is missing"):
        manifest.verify(folder)


@pytest.mark.parametrize("name", ["../secret", "deep/../../secret", "/etc/hostname"])
def test_a_name_that_leaves_the_folder_is_refused(folder, name):
    """Even if the file there has the right hash."""
    (folder.parent / "secret").write_bytes(b"s")
    rewrite(folder, lambda content: content["files"].update({name: {"sha256": hashlib.sha256(b"s").hexdigest(), "size": 1}}))
    with pytest.raises(IntegrityError, match="leaves the folder"):
        manifest.verify(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": []}', "3", "[" * 100_000])
def test_a_damaged_manifest_is_refused(folder, text):
    """Half a manifest vouches for nothing."""
    (folder / manifest.NAME).write_text(text)
    with pytest.raises(IntegrityError, match=r"no readable manifest\.json"):
        manifest.verify(folder)


def test_a_folder_without_manifest_is_refused(tmp_path):
    """It was not finished, or never was one."""
    with pytest.raises(IntegrityError, match="incomplete or damaged"):
        manifest.read(tmp_path)


def test_the_digest_is_of_the_content_alone(folder, tmp_path_factory):
    """Equal files give equal digests whatever the facts; another byte or another name gives another."""
    before = manifest.digest(folder)
    manifest.write(folder, stage="other")
    assert manifest.digest(folder) == before
    (folder / manifest.RUN).write_text("{}")
    manifest.write(folder)
    assert manifest.digest(folder) == before
    (folder / "a.txt").rename(folder / "c.txt")
    manifest.write(folder)
    renamed = manifest.digest(folder)
    (folder / "c.txt").write_bytes(b"Alpha")
    manifest.write(folder)
    assert len({before, renamed, manifest.digest(folder)}) == 3
