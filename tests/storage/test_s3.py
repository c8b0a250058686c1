"""S3 over real HTTP: what goes in comes out, in bounded memory, and what goes wrong says what to do."""

import hashlib
import http.server
import itertools
import json
import os
import subprocess
import sys
import threading
import time

import boto3
import moto
import pytest

from tests.fault_proxy import fault_proxy
from trainworks.errors import StorageError, StorageUnreachable
from trainworks.storage import aws, s3
from trainworks.storage.manifest import sha256


def test_what_goes_in_comes_out(bucket, tmp_path):
    """As bytes, as a file, as a hash and as a listing; an object that is not there is None or an error, as the reader says."""
    s3.put(f"{bucket}/a/one", b"1")
    (tmp_path / "two").write_bytes(b"22")
    s3.upload(tmp_path / "two", f"{bucket}/a/deep/two")
    assert s3.read(f"{bucket}/a/one") == b"1"
    assert s3.sha256(f"{bucket}/a/deep/two") == hashlib.sha256(b"22").hexdigest()
    assert sorted((entry.name, entry.size) for entry in s3.listing(f"{bucket}/a")) == [("deep/two", 2), ("one", 1)]
    s3.fetch(f"{bucket}/a/", tmp_path / "copy", {"one": 1, "deep/two": 2})
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy").rglob("*") if path.is_file()} == {"one": b"1", "two": b"22"}
    s3.delete(f"{bucket}/a/one")
    assert [look(f"{bucket}/a/one") for look in (s3.read, s3.read_tagged, s3.sha256, s3.stat)] == [None] * 4
    with pytest.raises(FileNotFoundError, match="no such object"):
        s3.download(f"{bucket}/a/one", tmp_path / "one")


def test_a_listing_ends_where_the_prefix_does(bucket):
    """`photos` is not `photos-old`; the mark that a console leaves for an empty folder is no object."""
    for name in ("a", "b/c"):
        s3.put(f"{bucket}/photos/{name}", b"")
    s3.put(f"{bucket}/photos-old/x", b"")
    boto3.client("s3").put_object(Bucket=bucket.removeprefix(s3.SCHEME), Key="photos/empty/")
    assert [entry.name for entry in s3.listing(f"{bucket}/photos")] == ["a", "b/c"]


def test_the_etag_tells_content_apart(bucket):
    """An object read under the ETag it was listed with is that object or none."""
    s3.put(f"{bucket}/a", b"first")
    listed = next(s3.listing(bucket))
    assert s3.read(f"{bucket}/a", listed.etag) == b"first" and s3.stat(f"{bucket}/a") == listed
    s3.put(f"{bucket}/a", b"other")
    assert s3.read(f"{bucket}/a", listed.etag) is None


def test_a_swap_needs_what_it_expects(bucket):
    """Nothing there, or the object with that ETag; else nothing is written."""
    uri = f"{bucket}/pointer"
    assert s3.swap(uri, b"1", None) and not s3.swap(uri, b"2", None)
    _, tag = s3.read_tagged(uri)
    assert s3.swap(uri, b"2", tag) and not s3.swap(uri, b"3", tag)
    assert s3.read(uri) == b"2"
    assert not s3.swap(f"{bucket}/none", b"1", tag) and s3.read(f"{bucket}/none") is None
    assert s3.honours_conditions(f"{bucket}/releases")
    assert [entry.name for entry in s3.listing(bucket)] == ["pointer"], "the probe leaves nothing"


def test_a_folder_comes_back_as_it_went(bucket, tmp_path):
    """More small files than go at once, in folders, one of them empty, and one that goes in parts."""
    sizes = {"empty": 0, "large": s3.LARGE} | {f"{number % 3}/{number}": 1000 + number for number in range(s3.AT_ONCE + 1)}
    for name, size in sizes.items():
        (tmp_path / "sent" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sent" / name).write_bytes(os.urandom(size))
    s3.each(lambda name: s3.upload(tmp_path / "sent" / name, f"{bucket}/{name}"), sizes)
    s3.fetch(bucket, tmp_path / "back", sizes)
    assert {path.relative_to(tmp_path / "back").as_posix() for path in (tmp_path / "back").rglob("*") if path.is_file()} == set(sizes)
    assert all((tmp_path / "back" / name).read_bytes() == (tmp_path / "sent" / name).read_bytes() for name in sizes)


def test_small_objects_go_together_and_large_ones_alone():
    """As many small ones meet as may be on their way at once; no large one meets another, whose parts are on their way by themselves."""
    meeting, alone = threading.Barrier(s3.AT_ONCE), threading.Lock()

    def work(name):
        if name.startswith("small"):
            meeting.wait(10)
        else:
            assert alone.acquire(blocking=False)
            time.sleep(0.01)
            alone.release()

    s3.each(work, {f"small {n}": s3.LARGE - 1 for n in range(2 * s3.AT_ONCE)} | {f"large {n}": s3.LARGE for n in range(3)})


def test_after_an_error_nothing_begins(bucket, tmp_path):
    """The error that is raised names the object; hundreds that waited never start, nor do the large ones."""
    begun = []

    def work(name):
        begun.append(name)
        time.sleep(0.005)
        if name == "3":
            s3.upload(tmp_path / "missing.onnx", f"{bucket}/{name}")

    with pytest.raises(FileNotFoundError, match=r"missing\.onnx"):
        s3.each(work, {str(n): 1 for n in range(500)} | {"large": s3.LARGE})
    assert len(begun) < 250 and "large" not in begun


def test_parts_of_two_objects_never_make_a_file(bucket, s3_server, tmp_path, monkeypatch):
    """An object that is replaced between two of its parts is refused, and leaves what was there, and nothing else."""
    monkeypatch.setattr(s3, "PART", 100)
    target, parts, direct = tmp_path / "weights", itertools.count(), boto3.client("s3")
    s3.put(f"{bucket}/weights", b"1" * 250)
    s3.download(f"{bucket}/weights", target)

    def replace(method, path):
        if method == "GET" and next(parts) == 1:
            direct.put_object(Bucket=bucket.removeprefix(s3.SCHEME), Key="weights", Body=b"2" * 250)

    with fault_proxy(s3_server) as proxy:
        proxy.before = replace
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with pytest.raises(StorageError, match="replaced while it was read"):
            s3.download(f"{bucket}/weights", target)
    assert target.read_bytes() == b"1" * 250 and list(tmp_path.iterdir()) == [target]


def test_a_part_that_fails_comes_again(bucket, s3_server, tmp_path, monkeypatch):
    """Whichever request of a download is cut in its answer, the file is whole."""
    monkeypatch.setattr(s3, "PART", 1000)
    content = os.urandom(2500)
    s3.put(f"{bucket}/weights", content)
    with fault_proxy(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        for at in (2, 3, 4):
            proxy.plan("cut in the answer", at)
            s3.download(f"{bucket}/weights", tmp_path / "weights")
            assert proxy.count == 5 and (tmp_path / "weights").read_bytes() == content


UP_AND_DOWN = """
import sys
from pathlib import Path
from trainworks.storage import aws, s3

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024

path, uri = Path(sys.argv[1]), sys.argv[2]
for name in ("warm", "large"):
    before = peak()
    s3.upload(path / name, uri + name)
    s3.download(uri + name, path / (name + ".back"))
    digest = s3.sha256(uri + name)
print(digest, peak() - before)
"""


@pytest.mark.slow
def test_a_large_file_goes_in_parts_and_bounded_memory(bucket, tmp_path):
    """A file of 192 MB goes up, comes down and is read back by a process that holds less than half of it, ten parts of 8 MB at most."""
    for name, megabytes in (("warm", 9), ("large", 192)):
        (tmp_path / name).write_bytes(os.urandom(2**20) * megabytes)
    done = subprocess.run([sys.executable, "-c", UP_AND_DOWN, tmp_path, f"{bucket}/"], stdout=subprocess.PIPE, text=True, check=True)
    digest, grown = done.stdout.split()
    assert sha256(tmp_path / "large") == sha256(tmp_path / "large.back") == digest
    assert s3.stat(f"{bucket}/large").etag.endswith('-24"'), "24 parts"
    assert int(grown) < 96 * 2**20


class _NotS3(http.server.BaseHTTPRequestHandler):
    """A web server that is no S3 store, such as a proxy's log-in page."""

    def _answer(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html><br>Please log in</html>")

    do_GET = do_PUT = do_HEAD = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def web_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _NotS3)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_each_mistake_says_what_to_do(bucket, monkeypatch, web_server):
    """Bucket missing, no credentials, unknown profile, nobody listening, no address, no S3 there, no bucket's name."""
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    cases = [
        ({}, "s3://no-such-bucket-here/x", "no such bucket; create it, or correct its name"),
        ({}, "s3://Not A Bucket/x", "not the name of a bucket"),
        ({"AWS_ACCESS_KEY_ID": None}, bucket, "no valid credentials; set AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, bucket, "no valid credentials; set AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "nobody"}, bucket, "no valid credentials.*nobody"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, bucket, "is AWS_ENDPOINT_URL right.*127.0.0.1:9"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, bucket, "is AWS_ENDPOINT_URL right.*nonsense"),
    ]
    for changes, uri, message in cases:
        with monkeypatch.context() as patch:
            for name, value in changes.items():
                patch.delenv(name) if value is None else patch.setenv(name, value)
            with pytest.raises(StorageError, match=message):
                s3.check_writable(uri)
    monkeypatch.setenv("AWS_ENDPOINT_URL", web_server)
    for request in (lambda: list(s3.listing(bucket)), lambda: s3.check_writable(bucket)):
        with pytest.raises(StorageError, match="is AWS_ENDPOINT_URL right"):
            request()


@pytest.fixture
def allowed(bucket, monkeypatch):
    """Makes this process a user who may do only *actions* in the bucket, as IAM enforces it."""

    def allowed(*actions):
        iam, user = boto3.client("iam"), f"user-{len(actions)}"
        iam.create_user(UserName=user)
        arn = f"arn:aws:s3:::{bucket.removeprefix(s3.SCHEME)}"
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": [arn, f"{arn}/*"]}
        if actions:
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=user, PolicyName="policy", PolicyDocument=policy)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)  # the server checks permissions from now on
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    return allowed


MAY_NOT = r"no permission; the policy must allow s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject"


def test_who_may_not_write_is_told_what_the_policy_must_allow(bucket, allowed, tmp_path):
    """By each way of writing: the check before a run, a swap, an upload; reading goes on."""
    s3.put(f"{bucket}/a", b"1")
    (tmp_path / "file").write_bytes(b"2")
    allowed("s3:GetObject", "s3:ListBucket")
    assert s3.read(f"{bucket}/a") == b"1"
    for write in (
        lambda: s3.check_writable(f"{bucket}/release"),
        lambda: s3.swap(f"{bucket}/a", b"2", None),
        lambda: s3.upload(tmp_path / "file", f"{bucket}/b"),
    ):
        with pytest.raises(StorageError, match=MAY_NOT) as raised:
            write()
        assert not isinstance(raised.value, StorageUnreachable), "asking again would not help"


def test_who_may_not_read_is_told_what_the_policy_must_allow(bucket, allowed, tmp_path):
    """By each way of reading, those that ask for the head alone included, whose answer has no words."""
    s3.put(f"{bucket}/a", b"1")
    allowed()
    for look in (s3.read, s3.stat, s3.sha256, lambda uri: s3.download(uri, tmp_path / "a"), lambda uri: list(s3.listing(uri))):
        with pytest.raises(StorageError, match=MAY_NOT):
            look(f"{bucket}/a")


def test_a_wrong_key_or_secret_is_said(bucket, allowed, monkeypatch):
    """Both are credentials, which the policy has nothing to do with."""
    allowed("s3:*")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError, match="no valid credentials; set AWS_ACCESS_KEY_ID"):
        s3.read(f"{bucket}/a")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    with pytest.raises(StorageError, match="no valid credentials; set AWS_ACCESS_KEY_ID"):
        s3.read(f"{bucket}/a")


def test_only_a_store_without_an_answer_is_worth_asking_again(bucket, monkeypatch):
    """Nobody listening may be over in a minute; a bucket that is missing will not."""
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    with pytest.raises(StorageError) as missing:
        s3.read("s3://no-such-bucket-here/x")
    assert not isinstance(missing.value, StorageUnreachable)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageUnreachable):
        s3.read(f"{bucket}/x")


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "photos", "gs://bucket"])
def test_what_is_no_s3_uri_is_refused(uri):
    """Before a client is made."""
    with pytest.raises(ValueError, match="expected s3://bucket/prefix"):
        s3.read(uri)
