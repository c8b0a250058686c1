"""Releases on S3: the same contract as on a disk, through faults, rivals and stores that cannot keep it."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fault_proxy import FAULTS, fault_proxy
from tests.release import toy_bundle
from trainworks.errors import IntegrityError, ReleaseError, StorageError
from trainworks.release.releases import Pointer, check_target, current, release
from trainworks.storage import aws, manifest, s3


def make(folder, content="weights", accuracy=0.5):
    """A toy bundle whose one gate asks for an accuracy of 0.4."""
    return toy_bundle.write(folder, {"model.onnx": content}, verdict=toy_bundle.verdict(accuracy))


def names(uri):
    return sorted(entry.name for entry in s3.listing(uri))


def require_whole(to, version, folder):
    """The version has every file of the bundle in *folder*, each as it is there."""
    uri = f"{to}/versions/{version}"
    assert names(uri) == sorted([*manifest.read(folder)["files"], manifest.NAME])
    for name in names(uri):
        assert s3.read(f"{uri}/{name}") == (folder / name).read_bytes()


@pytest.fixture
def good(tmp_path):
    return make(tmp_path / "good")


def test_a_good_bundle_becomes_current(bucket, tmp_path):
    """The version is a copy of what the manifest names, in folders too, and the pointer names it; nothing else is left behind."""
    good = toy_bundle.write(tmp_path / "good", {"model.onnx": "weights", "deep/README.md": "# card"})
    (good / "run.json").write_text("{}")
    done = release(good, f"{bucket}/releases/")
    assert (done.moved, done.why, done.uri) == (True, "every gate holds", f"{bucket}/releases/versions/{done.version}")
    require_whole(f"{bucket}/releases", done.version, good)
    assert current(f"{bucket}/releases") == Pointer(done.version, manifest.sha256(good / manifest.NAME), None)
    assert len(names(bucket)) == 5


def test_the_pointer_follows_releases_and_goes_back(bucket, good, tmp_path):
    """A repeated release changes nothing, a failing one is a candidate, an earlier one again is a rollback."""
    first = release(good, bucket)
    before = list(s3.listing(bucket))
    assert release(good, bucket) == first and list(s3.listing(bucket)) == before
    second = release(make(tmp_path / "better", "more"), bucket)
    assert (current(bucket).version, current(bucket).previous) == (second.version, first.version)
    poor = release(make(tmp_path / "poor", "less", accuracy=0.1), bucket)
    assert not poor.moved and "0.3 off" in poor.why
    require_whole(bucket, poor.version, tmp_path / "poor")
    assert current(bucket).version == second.version
    assert release(good, bucket) == first and current(bucket).previous == second.version


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_version_with_other_content_is_refused(bucket, good, name):
    """Neither overwritten nor made current."""
    done = release(good, bucket)
    s3.delete(f"{bucket}/current.json")
    s3.put(f"{done.uri}/{name}", b"other")
    with pytest.raises(IntegrityError, match=r"versions never change"):
        release(good, bucket)
    assert current(bucket) is None and s3.read(f"{done.uri}/{name}") == b"other"


def test_a_damaged_pointer_is_not_guessed_at(bucket, good):
    """Neither read nor overwritten: a person restores it."""
    s3.put(f"{bucket}/current.json", b"{}")
    with pytest.raises(IntegrityError, match="not a release pointer"):
        release(good, bucket)
    assert s3.read(f"{bucket}/current.json") == b"{}"


def test_a_bucket_that_is_not_there_is_refused_at_once(bucket):
    """In the first, cheap step of a run."""
    with pytest.raises(StorageError, match="no such bucket; create it"):
        check_target(f"{bucket}-misspelt/releases")


@pytest.fixture
def client(monkeypatch):
    """Changes how often this test's clients try, and how many seconds they wait for an answer."""

    def client(**limits):
        for name, value in limits.items():
            monkeypatch.setattr(aws, name, value)
        aws._client.cache_clear()

    yield client
    aws._client.cache_clear()


REQUESTS = 13
"""Of one release of a bundle with two files and a manifest: a probe (4), the pointer, is it there, 2 up, 2 back, manifest (2), the swap."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_request_that_fails_once_costs_nothing(bucket, s3_server, client, good, monkeypatch, fault):
    """Whichever request of a release is cut, refused or late, once: it ends with the version whole and current."""
    with fault_proxy(s3_server, late=1) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        release(good, f"{bucket}/0")
        assert proxy.count == REQUESTS
        client(READ_SECONDS=0.5 if fault == "late" else 60)
        for at in range(1, REQUESTS + 1):
            proxy.plan(fault, at)
            done = release(good, f"{bucket}/{at}")
            assert done.moved and proxy.count >= REQUESTS
            assert current(f"{bucket}/{at}").version == done.version
            require_whole(f"{bucket}/{at}", done.version, good)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_store_that_dies_leaves_no_half_release(bucket, s3_server, client, good, tmp_path, monkeypatch, fault):
    """From any request on nothing gets through: what can be seen is whole; and the retry, once the store is back, finishes."""
    client(ATTEMPTS=1)
    better = make(tmp_path / "better", "better")
    with fault_proxy(s3_server) as proxy:
        old = release(good, f"{bucket}/0")
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        new = release(better, f"{bucket}/0")
        for at in range(1, REQUESTS + 1):
            to = f"{bucket}/{at}"
            proxy.plan("", 0)
            release(good, to)
            proxy.plan(fault, at, forever=True)
            with pytest.raises(StorageError):
                release(better, to)
            proxy.plan("", 0)
            if s3.read(f"{to}/versions/{new.version}/manifest.json"):
                require_whole(to, new.version, better)
            assert current(to).version == old.version or (fault == "cut after" and at == REQUESTS)
            assert release(better, to).moved and current(to).previous == old.version


WRITER = """
import sys
from pathlib import Path
from trainworks.errors import ReleaseConflict
from trainworks.release.releases import check_target, release
check_target(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    try:
        print("moved" if release(Path(line.strip()), sys.argv[1]).moved else "kept", flush=True)
    except ReleaseConflict:
        print("conflict", flush=True)
"""


@pytest.mark.slow
def test_of_eight_writers_one_wins_each_round(bucket, s3_server, tmp_path, monkeypatch):
    """20 rounds of 8 processes that have all read the pointer before any of them moves it: one winner and 7 that are told."""
    writers, rounds = 8, 20
    together = threading.Barrier(writers)
    with fault_proxy(s3_server) as proxy, ExitStack() as stack:
        proxy.before = lambda method, path: together.wait(60) if method == "PUT" and path.endswith("/current.json") else None
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        command = [sys.executable, "-c", WRITER, f"{bucket}/releases"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(writers)]
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * writers
        for number in range(rounds):
            folders = [make(tmp_path / f"{number}-{writer}", f"{number} {writer}") for writer in range(writers)]
            for process, folder in zip(processes, folders, strict=True):
                process.stdin.write(f"{folder}\n")
                process.stdin.flush()
            answers = [process.stdout.readline().strip() for process in processes]
            assert sorted(answers) == ["conflict"] * (writers - 1) + ["moved"]
            winner = folders[answers.index("moved")]
            assert current(f"{bucket}/releases").manifest_sha256 == manifest.sha256(winner / manifest.NAME)
    assert len({name.split("/")[0] for name in names(f"{bucket}/releases/versions")}) == writers * rounds


@pytest.fixture
def juicefs(tmp_path, monkeypatch):
    """JuiceFS's gateway, made of MinIO's code: an S3 store that checks credentials and ignores conditional writes."""
    program = Path(sys.executable).with_name("juicefs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meta = f"sqlite3://{tmp_path}/meta.db"
    environment = {**os.environ, "MINIO_ROOT_USER": "rootuser", "MINIO_ROOT_PASSWORD": "rootsecret", "HOME": str(tmp_path)}
    subprocess.run(
        [program, "format", meta, "volume", "--storage", "file", "--bucket", f"{tmp_path}/data/"],
        env=environment,
        check=True,
        capture_output=True,
    )
    command = [
        program,
        "gateway",
        meta,
        f"127.0.0.1:{port}",
        "--no-usage-report",
        "--cache-dir",
        f"{tmp_path}/cache",
        "--log",
        f"{tmp_path}/log",
    ]
    gateway = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "rootuser", "AWS_SECRET_ACCESS_KEY": "rootsecret"}
    for name, value in {**settings, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < until and gateway.poll() is None, "the gateway did not start"
            time.sleep(0.1)
    yield "s3://volume"
    gateway.terminate()
    gateway.wait(20)


@pytest.mark.slow
def test_a_store_that_ignores_conditions_is_refused(juicefs, good, monkeypatch):
    """Before anything is uploaded. For stage outputs it will do; not as a source, for without ETags no change is noticed."""
    with pytest.raises(ReleaseError, match=r"ignores conditional writes.*release to S3"):
        release(good, f"{juicefs}/releases")
    assert names(juicefs) == []
    s3.check_writable(juicefs)
    s3.put(f"{juicefs}/a", b"1")
    assert s3.read(f"{juicefs}/a") == b"1"
    with pytest.raises(StorageError, match="JuiceFS: --keep-etag"):
        s3.stat(f"{juicefs}/a").tag()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError, match="no valid credentials"):
        s3.check_writable(juicefs)
