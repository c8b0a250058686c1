"""Releases over S3: upload and fetch of one 350 MB file and of 500 small ones, against s5cmd and boto3 as it comes.

Both sides talk to one versitygw on loopback, an S3 server in Go over a folder, which serves ranges without reading the whole object.
It is a process of its own, whose time is in no CPU figure but in every wall time. Ours is what a release does: ``release`` uploads, reads
every byte back against its SHA-256, writes the manifest last and moves the pointer by compare-and-swap; ``fetch`` is what a service does
when it loads. s5cmd copies the same folder with its 256 workers and checks nothing afterwards; "upload alone" is ours without reading
back. Python's imports and boto3's client, once per process, are left out. Sending a byte costs the server as much as the client, so wall
time is the target.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.harness import PEERS, Facts, Row, alternate, cached_folder, child, median, program, ratios, timed, version

LARGE, SMALL, COUNT = 350_000_000, 20_000, 500


def rows(quick: bool) -> Iterator[Row]:
    """Both kinds of bundle, up and down."""
    s5cmd = next(PEERS.parent.glob("lib/python*/site-packages/s5cmd/bin/s5cmd"))
    bundles = {
        "500 small files": cached_folder("bundle-small", lambda out: write_bundle(out, COUNT, SMALL)),
        "one 350 MB file": cached_folder("bundle-large", lambda out: write_bundle(out, 1, LARGE)),
    }
    if quick:
        bundles.popitem()
    with server() as environment:
        os.environ.update(environment)
        child(make_bucket)
        for name, bundle in bundles.items():
            folder = str(bundle)
            sides = [
                partial(child, release, bundle=folder),
                partial(child, upload, bundle=folder),
                partial(program, [s5cmd, "cp", f"{folder}/", "s3://bench/peer/"], environment=environment),
                partial(child, boto3_upload, bundle=folder),
                partial(child, fetch, uri="s3://bench/peer"),
                partial(s5cmd_fetch, s5cmd, environment),
                partial(child, boto3_fetch, names=sorted(path.name for path in bundle.iterdir())),
            ]
            runs = alternate(1 if quick else 4, *sides)
            releases, uploads, s5_up, boto_up, fetches, s5_down, boto_down = runs
            peer = f"s5cmd 2.3 ({version('s5cmd')})"
            compared = [
                ("release", releases, s5_up, peer, ""),
                ("upload alone", uploads, s5_up, peer, ">= 0.9"),
                ("upload alone", uploads, boto_up, f"{version('boto3')}, defaults", ""),
                ("fetch", fetches, s5_down, peer, ">= 0.9"),
                ("fetch", fetches, boto_down, f"{version('boto3')}, defaults", ""),
            ]
            for work, mine, theirs, program_name, target in compared:
                yield Row(
                    f"{name}: {work}",
                    program_name,
                    ratios(theirs, mine, "wall"),
                    target,
                    of="wall",
                    ours=f"{median(mine, 'wall'):.1f} s, CPU {median(mine):.1f} s",
                    theirs=f"{median(theirs, 'wall'):.1f} s, CPU {median(theirs):.1f} s",
                )
            child(empty_bucket)


@contextmanager
def server() -> Iterator[dict[str, str]]:
    """An S3 server over a folder of its own; gives the environment that reaches it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as root:
        process = subprocess.Popen(
            [PEERS / "versitygw", "--port", f"127.0.0.1:{port}", "--keep-alive", "--quiet", "posix", root],
            env={**os.environ, "ROOT_ACCESS_KEY": "key", "ROOT_SECRET_KEY": "secret"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while socket.socket().connect_ex(("127.0.0.1", port)):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("versitygw did not start")
                time.sleep(0.2)
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        finally:
            process.terminate()
            process.wait(20)


def write_bundle(out: Path, count: int, size: int) -> None:
    """*count* files of *size* random bytes, sealed as a bundle whose gates hold."""
    from trainworks.storage import manifest

    rng = np.random.default_rng(count)
    for number in range(count):
        (out / f"{number:03d}.onnx").write_bytes(rng.bytes(size))
    manifest.write(out, created="2026-01-31T12:00:00+00:00", verdict={"passed": True, "gates": []})


def make_bucket() -> Facts:
    """The bucket of all runs."""
    import boto3

    boto3.client("s3").create_bucket(Bucket="bench")
    return {}


def empty_bucket() -> Facts:
    """Remove what a run left."""
    import boto3

    boto3.resource("s3").Bucket("bench").objects.all().delete()
    return {}


def release(bundle: str) -> Facts:
    """Ours, to a place of its own."""
    import uuid

    from trainworks.release.releases import release
    from trainworks.storage import aws

    aws.client(aws.S3)
    return timed(lambda: release(Path(bundle), f"s3://bench/{uuid.uuid4().hex}"))[0]


def upload(bundle: str) -> Facts:
    """The part of a release that s5cmd does as well."""
    from trainworks.storage import aws, s3

    aws.client(aws.S3)
    sizes = {path.name: path.stat().st_size for path in sorted(Path(bundle).iterdir())}

    def work() -> None:
        s3.each(lambda name: s3.upload(Path(bundle, name), f"s3://bench/ours/{name}"), sizes)

    return timed(work)[0]


def boto3_upload(bundle: str) -> Facts:
    """A loop over ``upload_file``."""
    import boto3

    client = boto3.client("s3")

    def work() -> None:
        for path in sorted(Path(bundle).iterdir()):
            client.upload_file(str(path), "bench", f"boto3/{path.name}")

    return timed(work)[0]


def fetch(uri: str) -> Facts:
    """Ours, down."""
    from trainworks.storage import aws, s3

    aws.client(aws.S3)
    with tempfile.TemporaryDirectory() as folder:
        return timed(lambda: s3.fetch(uri, Path(folder), {entry.name: entry.size for entry in s3.listing(uri)}))[0]


def boto3_fetch(names: list[str]) -> Facts:
    """A loop over ``download_file``."""
    import boto3

    client = boto3.client("s3")
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            for name in names:
                client.download_file("bench", f"peer/{name}", f"{folder}/{name}")

        return timed(work)[0]


def s5cmd_fetch(s5cmd: Path, environment: dict[str, str]) -> Facts:
    """The peer, down."""
    folder = tempfile.mkdtemp()
    try:
        return program([s5cmd, "cp", "s3://bench/peer/*", f"{folder}/"], environment=environment)
    finally:
        shutil.rmtree(folder)
