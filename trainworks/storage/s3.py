"""S3 and what speaks its protocol, by boto3's own credential chain, region and ``AWS_ENDPOINT_URL``. Nothing else talks to it.

Requests have time limits and are tried again by botocore; large objects go in parts, some of them in memory at a time.
What goes wrong beyond that is a ``StorageError`` that says what to do; ``StorageUnreachable`` if later the same may succeed.
"""

import hashlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, TypeVar

from trainworks.errors import StorageError
from trainworks.storage import aws, credentials

SCHEME = "s3://"
LARGE = 8 * 2**20
"""Bytes from which on an object goes in parts, by threads of its own."""
AT_ONCE = 16
"""Smaller objects on their way at the same time."""

PART = 32 * 2**20
"""Bytes of a large object that one request brings."""
CHUNK = 2**18
"""Bytes from the network to a file at a time."""

T = TypeVar("T")


class Entry(NamedTuple):
    """What a listing tells of an object: its name below the prefix, its bytes, and the tag that changes with its content."""

    name: str
    size: int
    etag: str

    def tag(self) -> str:
        """The ETag, for who must notice a change.

        Raises:
            StorageError: the store gives none.
        """
        if not self.etag:
            raise StorageError(
                f"{self.name}: this store gives no ETag, so a change would go unnoticed; turn them on (JuiceFS: --keep-etag)"
            )
        return self.etag


def is_uri(place: str) -> bool:
    """Whether *place* is on S3; else it is a path on this machine."""
    return place.startswith(SCHEME)


def read(uri: str, etag: str | None = None) -> bytes | None:
    """One object; None if there is no such object or, with *etag*, if it is another by now."""
    answer = _get(uri, lambda body: body.read(), etag)
    return answer[0] if answer else None


def read_tagged(uri: str) -> tuple[bytes, str] | None:
    """One object and its ETag, or None if there is no such object."""
    return _get(uri, lambda body: body.read())


def sha256(uri: str) -> str | None:
    """Hexadecimal SHA-256 of one object as it is read back, in bounded memory, or None if there is no such object."""

    def digest(body: Any) -> str:
        checksum = hashlib.sha256()
        for chunk in body.iter_chunks(2**20):
            checksum.update(chunk)
        return checksum.hexdigest()

    answer = _get(uri, digest)
    return answer[0] if answer else None


def stat(uri: str) -> Entry | None:
    """Name, size and ETag of one object, or None if there is no such object."""
    with _at(uri) as (client, bucket, key):
        try:
            head = client.head_object(Bucket=bucket, Key=key)
        except client.exceptions.ClientError as error:
            if _is_missing(error):
                return None
            raise
        return Entry(PurePosixPath(key).name, head["ContentLength"], head.get("ETag", ""))


def listing(uri: str) -> Iterator[Entry]:
    """Every object below *uri*, by its name relative to *uri*."""
    with _at(uri) as (client, bucket, key):
        prefix = f"{key}/" if key else ""
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                name = entry["Key"].removeprefix(prefix)
                if name and not name.endswith("/"):  # what a console makes to show an empty folder
                    yield Entry(name, entry["Size"], entry.get("ETag", ""))


def each(work: Callable[[str], object], sizes: Mapping[str, int]) -> None:
    """Call *work* with every name in *sizes*: `AT_ONCE` small objects at a time, large ones one after another.

    Where *work* raises, what has begun ends, nothing more begins, and the error is raised here.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(work, [name for name, size in sizes.items() if size < LARGE]):
            pass
    for name in (name for name, size in sizes.items() if size >= LARGE):
        work(name)


def fetch(uri: str, folder: Path, sizes: Mapping[str, int]) -> None:
    """Download objects below *uri* into *folder*; *sizes* has their bytes by their names relative to *uri*.

    Raises:
        FileNotFoundError: there is no such object.
    """

    def bring(name: str) -> None:
        (_save if sizes[name] < LARGE else download)(f"{uri.rstrip('/')}/{name}", folder / name)

    each(bring, sizes)


def _save(uri: str, path: Path) -> None:
    """`download` in one request instead of two, for small objects; on errors *path* may be there in part."""

    def write(body: Any) -> bool:
        with path.open("wb") as file:
            shutil.copyfileobj(body, file, CHUNK)
        return True

    path.parent.mkdir(parents=True, exist_ok=True)
    if not _get(uri, write):
        raise FileNotFoundError(f"{uri}: no such object")


def download(uri: str, path: Path) -> None:
    """Download the one object *uri* to *path*, which appears when it is complete; `AT_ONCE` parts of it at a time.

    Raises:
        FileNotFoundError: there is no such object.
        StorageError: it became another one meanwhile.
    """
    found = stat(uri)
    if found is None:
        raise FileNotFoundError(f"{uri}: no such object")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{uuid.uuid4().hex}")

    def bring(start: int) -> None:
        def write(body: Any) -> bool:
            with draft.open("r+b") as file:
                file.seek(start)
                shutil.copyfileobj(body, file, CHUNK)
            return True

        if not _get(uri, write, found.etag, Range=f"bytes={start}-{min(start + PART, found.size) - 1}"):
            raise StorageError(f"{uri}: expected one object from start to end, it was replaced while it was read; read it again")

    try:
        draft.touch()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(bring, range(0, found.size, PART)):
                pass
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def upload(path: Path, uri: str) -> None:
    """Make the file *path* the object *uri*, in parts if it is large; the store checks every part against its checksum."""
    if path.stat().st_size < LARGE:
        with path.open("rb") as file:
            return put(uri, file)
    from trainworks.progress import Bar  # a service, which only reads, need not have it

    bar = Bar(total=path.stat().st_size, desc=f"upload {path.name}", unit="B", unit_scale=True)
    with bar, _at(uri) as (client, bucket, key):
        client.upload_file(str(path), bucket, key, Callback=bar.update)


def put(uri: str, data: bytes | IO[bytes]) -> None:
    """Make *data* the object *uri*, whatever was there."""
    with _at(uri) as (client, bucket, key):
        client.put_object(Bucket=bucket, Key=key, Body=data)


def swap(uri: str, data: bytes, expected: str | None) -> bool:
    """Compare and swap: put *data* if the object still has the ETag *expected*, or is not there if that is None.

    False if it is otherwise. A request whose answer was lost is tried again and then finds its own work:
    after False, read before you conclude that somebody else was first.
    """
    condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
    with _at(uri) as (client, bucket, key):
        try:
            client.put_object(Bucket=bucket, Key=key, Body=data, **condition)
        except client.exceptions.ClientError as error:
            if _status(error) in (409, 412) or (expected and _is_missing(error)):
                return False
            raise
        return True


def delete(uri: str) -> None:
    """Remove the object *uri*, if it is there."""
    with _at(uri) as (client, bucket, key):
        client.delete_object(Bucket=bucket, Key=key)


def check_writable(uri: str) -> None:
    """Put a scratch object below *uri*, read it and delete it again.

    Raises:
        StorageError: it cannot be done, and what to do about it.
    """
    scratch = _scratch(uri)
    try:
        put(scratch, b"probe")
        if read(scratch) != b"probe":
            raise StorageError(f"{uri}: what was put there is not found again: {aws.no_answer(aws.S3)}")
        delete(scratch)
    except StorageError as error:
        raise type(error)(str(error).replace(scratch, uri)) from error  # nobody knows the name of the scratch object


def honours_conditions(uri: str) -> bool:
    """Whether the store refuses a `swap` it should refuse, tried on a scratch object below *uri*.

    Raises:
        StorageError: the object cannot be put or deleted, and what to do about it.
    """
    scratch = _scratch(uri)
    put(scratch, b"first")
    honoured = not swap(scratch, b"second", None) and not swap(scratch, b"second", f'"{0:032x}"')
    delete(scratch)
    return honoured


def _scratch(uri: str) -> str:
    return f"{uri.rstrip('/')}/.probe-{uuid.uuid4().hex}"


def _get(uri: str, consume: Callable[[Any], T], etag: str | None = None, **request: str) -> tuple[T, str] | None:
    """What *consume* makes of an object's body, and its ETag. botocore does not try again once a body has begun: this does."""
    with _at(uri) as (client, bucket, key):
        from botocore.exceptions import FlexibleChecksumError, HTTPClientError, IncompleteReadError

        for attempt in range(1, aws.ATTEMPTS + 1):
            try:
                answer = client.get_object(Bucket=bucket, Key=key, **request)
            except client.exceptions.ClientError as error:
                if _is_missing(error):
                    return None
                raise
            with closing(answer["Body"]) as body:  # entered itself, it would give the stream without its checks
                tag = answer.get("ETag", "")
                if etag not in (None, tag):
                    return None
                try:
                    return consume(body), tag
                except (HTTPClientError, IncompleteReadError, FlexibleChecksumError):
                    if attempt == aws.ATTEMPTS:
                        raise
    raise AssertionError("the last attempt answers or raises")


def _status(error: Any) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _is_missing(error: Any) -> bool:
    return _status(error) == 404 and error.response["Error"].get("Code") != "NoSuchBucket"


@contextmanager
def _at(uri: str) -> Iterator[tuple[Any, str, str]]:
    """A client, the bucket and the key of *uri*; what goes wrong inside is explained."""
    credentials.refuse("S3", uri)
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not bucket:
        raise ValueError(f"expected {SCHEME}bucket/prefix, got {uri!r}")
    with aws.explained(uri, aws.S3):
        yield aws.client(aws.S3), bucket, key.rstrip("/")
