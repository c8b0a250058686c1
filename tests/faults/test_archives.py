"""Archives are unpacked inside their folder or refused; what Trainworks unpacks is SageMaker's ``model.tar.gz``."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from trainworks.errors import DataError, IntegrityError
from trainworks.photostock.catalogue import catalogue
from trainworks.storage import manifest
from trainworks.training import sagemaker


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "", size: int = 0, **more: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.pax_headers = kind, to, size, more
    return info


WICKED = {
    "a name that climbs out": [member("../escaped", size=1)],
    "a name that climbs out from below": [member("a/../../escaped", size=1)],
    "an absolute name": [member("/escaped", size=1)],
    "an absolute name in this folder": [member("{outside}/escaped", size=1)],
    "a link out": [member("link", tarfile.SYMTYPE, "../outside")],
    "a link out, and a file through it": [member("link", tarfile.SYMTYPE, "../outside"), member("link/escaped", size=1)],
    "an absolute link": [member("link", tarfile.SYMTYPE, "{outside}"), member("link/escaped", size=1)],
    "a link inside": [member("link", tarfile.SYMTYPE, "weights")],
    "a hard link out": [member("link", tarfile.LNKTYPE, "../outside/secret"), member("link", size=1)],
    "a hard link inside": [member("link", tarfile.LNKTYPE, "weights")],
    "a character device": [member("null", tarfile.CHRTYPE)],
    "a block device": [member("disk", tarfile.BLKTYPE)],
    "a pipe": [member("pipe", tarfile.FIFOTYPE)],
    "an absolute name in an extended header": [member("weights2", size=1, path="/escaped")],
    "a bomb of zeros": [member("bomb", size=64_000_000)],
    "a bomb of many files": [member(f"bomb{n}", size=1_000_000) for n in range(64)],
    "a bomb in an extended header": [member("weights2", size=1, comment="0" * 64_000_000)],
    "a sparse bomb": [member("bomb", tarfile.GNUTYPE_SPARSE, size=64_000_000)],
}


def pack(path: Path, more: list[tarfile.TarInfo], outside: Path) -> Path:
    """A model with a manifest that vouches for all of it, and *more* behind."""
    model = path.parent / "packed"
    model.mkdir()
    (model / "weights").write_text("w")
    manifest.write(model)
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted(model.iterdir()):
            tar.add(file, file.name)
        for info in more:
            info = info.replace(name=info.name.format(outside=outside), linkname=info.linkname.format(outside=outside), deep=False)
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return path


@pytest.fixture
def outside(tmp_path) -> Path:
    """A folder beside the one that is unpacked into."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("s")
    return tmp_path / "outside"


@pytest.mark.parametrize("wicked", WICKED)
def test_a_wicked_archive_is_refused_and_nothing_leaves_the_folder(wicked, tmp_path, outside):
    """0 bytes outside, and no more inside than a model may have."""
    archive, out = pack(tmp_path / "model.tar.gz", WICKED[wicked], outside), tmp_path / "out"
    out.mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and out not in path.parents}
    with pytest.raises(IntegrityError, match="delete it from S3"):
        sagemaker.unpack(archive, out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and out not in path.parents} == before
    assert not Path("/escaped").exists() and not any(path.is_symlink() for path in out.rglob("*"))
    limit = sagemaker.BOMB * archive.stat().st_size + 2**24
    assert sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) <= limit


def test_an_honest_archive_is_unpacked(tmp_path, outside):
    """So that the refusals above are of what is wicked in them, folders included."""
    archive, out = (
        pack(tmp_path / "model.tar.gz", [member("deep", tarfile.DIRTYPE), member("deep/more", size=9)], outside),
        tmp_path / "out",
    )
    out.mkdir()
    sagemaker.unpack(archive, out)
    assert (out / "weights").read_text() == "w" and (out / "deep" / "more").stat().st_size == 9


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar", "photos.tar.gz", "photos.csv.gz"])
def test_an_archive_is_no_catalogue(name, tmp_path):
    """A source is never unpacked, so there is nothing to escape from."""
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("../escaped", "x")
        archive.writestr("catalogue.csv", "image,title\n../escaped,A\n")
    with pytest.raises(DataError, match="expected sample, a folder with exactly one catalogue"):
        catalogue.read(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == [name]
