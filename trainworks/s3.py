"""Reading from S3, by boto3's own credential chain, region and ``AWS_ENDPOINT_URL``."""

from pathlib import Path, PurePosixPath
from typing import Any

from trainworks.errors import IntegrityError

SCHEME = "s3://"


def read(uri: str) -> bytes | None:
    """One object, or None if there is no such object."""
    client, bucket, key = _open(uri)
    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey:
        return None


def fetch(uri: str, folder: Path) -> None:
    """Download every object below *uri* into *folder*, under its name relative to *uri*.

    Raises:
        IntegrityError: a name leaves the folder.
    """
    client, bucket, key = _open(uri)
    prefix = f"{key}/" if key else ""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            name = entry["Key"].removeprefix(prefix)
            if not name or name.endswith("/"):
                continue  # what a console makes to show an empty folder
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise IntegrityError(f"{SCHEME}{bucket}/{entry['Key']}: a name that leaves the folder")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, entry["Key"], str(folder / name))


def download(uri: str, path: Path) -> None:
    """Download the one object *uri* to *path*.

    Raises:
        FileNotFoundError: there is no such object.
    """
    client, bucket, key = _open(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        client.download_file(bucket, key, str(path))
    except client.exceptions.ClientError as error:
        raise FileNotFoundError(f"{uri}: {error}") from error


def _open(uri: str) -> tuple[Any, str, str]:
    """A client, the bucket and the key of *uri*."""
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not bucket:
        raise ValueError(f"expected {SCHEME}bucket/prefix, got {uri!r}")
    try:
        import boto3
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{uri}: reading S3 needs boto3; pip install 'trainworks[cloud]'", name="boto3") from error
    return boto3.client("s3"), bucket, key.rstrip("/")
