"""A catalogue's source images, in a folder or a bucket: the fingerprint by which acquire sees a change, and the bytes for prepare."""

import os
import posixpath
import stat
import threading
import unicodedata
from functools import lru_cache
from pathlib import Path

from trainworks.errors import DataError
from trainworks.photostock.rejected import Rejected
from trainworks.storage import places, s3
from trainworks.storage.manifest import sha256

MAX_BYTES = 2**29
"""Size of an encoded picture, since each is held in memory as a whole; a 150-megapixel TIFF has 450 million."""

OUTSIDE_FOLDER = "path leaves the catalogue's folder"

LINKED = "TRAINWORKS_LINKED"
"""The variable that names a folder in which links may end beside the catalogue's own, as in caches of Hugging Face's Hub and DVC."""


class Folder:
    """Pictures below a folder; a fingerprint is the SHA-256 of a file."""

    threads = os.cpu_count()
    """Pictures prepared at the same time: decoding takes a core each."""

    def __init__(self, root: Path | str):
        self.root = Path(root).resolve()
        linked = places.of_environment(LINKED)
        self._allowed = [self.root, *([places.local(LINKED, linked).resolve()] if linked else [])]
        self._real_folder = lru_cache(4096)(os.path.realpath)
        self._names = lru_cache(4096)(_by_normal_form)

    def spelt(self, image: str) -> str:
        """*image* as its file is called: by another normal form of Unicode, where none is called as it stands there."""
        if os.path.lexists(self.root / image):
            return image
        path = self.root
        for part in image.split("/"):
            path /= part if os.path.lexists(path / part) else self._names(path).get(unicodedata.normalize("NFC", part), part)
        return path.relative_to(self.root).as_posix() if os.path.lexists(path) else image

    def _require_inside(self, path: Path, image: str) -> None:
        if not any(path.is_relative_to(folder) for folder in self._allowed):
            raise Rejected(OUTSIDE_FOLDER, f"{image!r} through a link; {LINKED} may name the folder that such links lead to")

    def fingerprint(self, image: str) -> str:
        """The SHA-256 of the file at *image*, which must lie below the root once links are followed, or in the folder of LINKED.

        Raises:
            Rejected: no such file, or it cannot be read.
        """
        folder, name = posixpath.split(image)
        path = Path(self._real_folder(self.root / folder), name)
        try:
            if path.is_symlink():
                path = Path(os.path.realpath(path))
            self._require_inside(path, image)
            if not stat.S_ISREG(path.stat().st_mode):
                raise Rejected("not a file", repr(image))
            return sha256(path)
        except (FileNotFoundError, NotADirectoryError):
            raise Rejected("missing file", repr(image)) from None
        except OSError as error:
            raise Rejected("unreadable file", f"{image!r}: {error.strerror}") from None

    def read(self, image: str, fingerprint: str) -> bytes:
        """The bytes of the file *image*. The caller hashes them, and compares the hash with *fingerprint*.

        Raises:
            Rejected: the file is gone, outside the root or too large.
            DataError: the root is gone.
            OSError: the file exists and cannot be read: a fault of the storage, which the caller may try again.
        """
        try:
            path = Path(os.path.realpath(self.root / image))
        except ValueError:  # a NUL in the name
            raise Rejected("missing file", repr(image)) from None
        self._require_inside(path, image)
        if not path.is_file():
            if not self.root.is_dir():
                raise DataError(f"{self.root}: expected the catalogue's folder, found none; was it moved since the catalogue was read?")
            raise Rejected("not a file" if path.exists() else "missing file", repr(image))
        _require_readable(path.stat().st_size)
        return path.read_bytes()


class Bucket:
    """Pictures below an ``s3://`` URI; a fingerprint is ``s3:<size>:<ETag>`` as one listing of them all gives them."""

    threads = 16
    """Pictures prepared at the same time: most threads wait for S3."""

    FINGERPRINT_PREFIX = "s3:"

    def __init__(self, uri: str):
        self.uri = uri.rstrip("/")
        self._fingerprints: dict[str, str] | None = None
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def spelt(self, image: str) -> str:
        """*image* as its object is called: by another normal form of Unicode, where none is called as it stands there."""
        return image if image in self._listed() else self._names.get(unicodedata.normalize("NFC", image), image)

    def _listed(self) -> dict[str, str]:
        with self._lock:
            if self._fingerprints is None:
                self._fingerprints = {entry.name: f"{self.FINGERPRINT_PREFIX}{entry.size}:{entry.tag()}" for entry in s3.listing(self.uri)}
                self._names = {unicodedata.normalize("NFC", name): name for name in self._fingerprints if not name.isascii()}
            return self._fingerprints

    def fingerprint(self, image: str) -> str:
        """The fingerprint of the object at *image*.

        Raises:
            Rejected: it is not in the listing.
            StorageError: S3 does not list the objects, or lists them without ETags; the message says what to do.
        """
        if (found := self._listed().get(image)) is None:
            raise Rejected("missing file", repr(image))
        return found

    def read(self, image: str, fingerprint: str) -> bytes:
        """The bytes of the object *image*, if its ETag is still that of *fingerprint*.

        Raises:
            Rejected: it has changed, or is too large.
        """
        size, _, etag = fingerprint.removeprefix(self.FINGERPRINT_PREFIX).partition(":")
        _require_readable(int(size))
        data = s3.read(f"{self.uri}/{image}", etag)
        if data is None:
            raise Rejected("changed while reading", f"{image!r} no longer has the ETag {etag} of the listing")
        return data


def originals(root: Path | str) -> Folder | Bucket:
    """The pictures of the catalogue that lies at *root*."""
    return Bucket(root) if isinstance(root, str) and s3.is_uri(root) else Folder(root)


def _by_normal_form(folder: Path) -> dict[str, str]:
    """NFC → name, of the names in *folder* that more than one normal form has."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return {unicodedata.normalize("NFC", name): name for name in names if not name.isascii()}


def _require_readable(size: int) -> None:
    if size > MAX_BYTES:
        raise Rejected("file too large", f"{size:,} bytes; at most {MAX_BYTES:,} are read")
