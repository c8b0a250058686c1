"""A catalogue's source images, in a folder or a bucket: the fingerprint by which acquire sees a change, and the bytes for prepare."""

import os
import posixpath
import stat
import threading
from functools import lru_cache
from pathlib import Path

from trainworks.errors import DataError
from trainworks.photostock.rejected import Rejected
from trainworks.storage import s3
from trainworks.storage.manifest import sha256

MAX_BYTES = 2**29
"""Size of an encoded picture, since each is held in memory as a whole; a 150-megapixel TIFF has 450 million."""

OUTSIDE_FOLDER = "path leaves the catalogue's folder"


class Folder:
    """Pictures below a folder; a fingerprint is the SHA-256 of a file."""

    threads = os.cpu_count()
    """Pictures prepared at the same time: decoding takes a core each."""

    def __init__(self, root: Path | str):
        self.root = Path(root).resolve()
        self._real_folder = lru_cache(4096)(os.path.realpath)

    def fingerprint(self, image: str) -> str:
        """The SHA-256 of the file at *image*, which must lie below the root once links are followed.

        Raises:
            Rejected: no such file, or it cannot be read.
        """
        folder, name = posixpath.split(image)
        path = Path(self._real_folder(self.root / folder), name)
        try:
            if path.is_symlink():
                path = Path(os.path.realpath(path))
            if not path.is_relative_to(self.root):
                raise Rejected(OUTSIDE_FOLDER, f"{image!r} through a link")
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
        if not path.is_relative_to(self.root):
            raise Rejected(OUTSIDE_FOLDER, f"{image!r} through a link")
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
        self._lock = threading.Lock()

    def fingerprint(self, image: str) -> str:
        """The fingerprint of the object at *image*.

        Raises:
            Rejected: it is not in the listing.
            StorageError: S3 does not list the objects, or lists them without ETags; the message says what to do.
        """
        with self._lock:
            if self._fingerprints is None:
                self._fingerprints = {entry.name: f"{self.FINGERPRINT_PREFIX}{entry.size}:{entry.tag()}" for entry in s3.listing(self.uri)}
        if image not in self._fingerprints:
            raise Rejected("missing file", repr(image))
        return self._fingerprints[image]

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


def _require_readable(size: int) -> None:
    if size > MAX_BYTES:
        raise Rejected("file too large", f"{size:,} bytes; at most {MAX_BYTES:,} are read")
