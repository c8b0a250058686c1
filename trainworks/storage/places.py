"""Places that settings name: a path of this machine, or an object or prefix on S3. Whatever a person gives is read here, once."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from trainworks.storage import credentials, s3

PLACE = f"a local path or {s3.SCHEME}bucket/prefix"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/|(s3|file):", re.IGNORECASE)
"""What makes a URI of a text; one letter is a drive of Windows."""


def parse(setting: str, text: str | Path, expected: str = PLACE) -> str:
    """What *text*, given as *setting*, names: ``s3://bucket/prefix``, or a path of this machine; without a slash at its end.

    Blanks around it are left out, ``S3://`` is ``s3://``, ``~`` is the home folder, and ``file:///a%20b`` is ``/a b``.

    Raises:
        ValueError: nothing, another scheme, no bucket, or credentials in it; with what is *expected*.
    """

    def refused(why: str) -> ValueError:
        return ValueError(f"{setting} = {str(text)!r}: expected {expected}; {why}")

    place = str(text).strip()
    credentials.refuse(setting, place)
    scheme = _SCHEME.match(place)
    if scheme and (scheme[1] or scheme[2]).lower() == "file":
        parts = urlsplit(place)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise refused("file: names an absolute path, as in file:///srv/x")
        place = url2pathname(parts.path)
    elif scheme:
        place = place.replace(place[: len(s3.SCHEME)], place[: len(s3.SCHEME)].lower(), 1)
        if not s3.is_uri(place):
            raise refused("no other store is known")
        if not place.removeprefix(s3.SCHEME).partition("/")[0]:
            raise refused("it names no bucket")
    elif place.startswith("~"):
        try:
            place = str(Path(place).expanduser())
        except RuntimeError:
            raise refused("there is no such user") from None
    if not place:
        raise refused("it is empty")
    if re.search(r"[\x00-\x1f\x7f]", place) or re.fullmatch(r"\"[^\"]*\"|'[^']*'", place):
        raise refused("it has quotes around it, or control characters in it")
    return place.rstrip("/") or "/"


def of_environment(variable: str, default: str = "") -> str:
    """The place that *variable* names, as `parse` has it; *default* where it is not set or empty, as in ``docker run -e NAME=``.

    Raises:
        ValueError: as `parse`.
    """
    text = os.environ.get(variable, "")
    return parse(variable, text) if text.strip() else default


def local(setting: str, text: str | Path) -> Path:
    """What *text*, given as *setting*, names on this machine.

    Raises:
        ValueError: as `parse`, or it is on S3.
    """
    place = parse(setting, text)
    if s3.is_uri(place):
        raise ValueError(f"{setting} = {str(text)!r}: expected a path of this machine")
    return Path(place)


@contextmanager
def opened(place: str) -> Iterator[Path]:
    """The one file at *place*, a place as `parse` gives it: itself or, from S3, a copy that is there while this lasts.

    Raises:
        FileNotFoundError: there is no such object.
        StorageError: S3 does not give it.
    """
    if not s3.is_uri(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="trainworks-") as folder:
        path = Path(folder, PurePosixPath(place).name)
        s3.download(place, path)
        yield path
