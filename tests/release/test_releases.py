"""Releases: versions never change, and the pointer moves once, to a whole bundle whose gates hold."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.release import toy_bundle
from trainworks.errors import IntegrityError
from trainworks.release.releases import Pointer, current, release
from trainworks.storage import manifest


def make(folder, content="weights", accuracy=0.5):
    """A toy bundle whose one gate asks for an accuracy of 0.4."""
    texts = {"model.onnx": content, "deep/README.md": "# card"}
    return toy_bundle.write(folder, texts, verdict=toy_bundle.verdict(accuracy))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "release"


@pytest.fixture
def good(tmp_path):
    return make(tmp_path / "good")


@contextmanager
def held(root):
    """Hold the pointer's lock, so that a release copies and then waits."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def started(folder, root):
    """A release in a process of its own."""
    code = (
        "import pathlib, sys; from trainworks.release.releases import release; print(release(pathlib.Path(sys.argv[1]), sys.argv[2]).moved)"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(folder), str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def versions(root):
    return sorted(path.name for path in (root / "versions").glob("[!.]*"))


def await_versions(root, count):
    until = time.monotonic() + 30
    while len(versions(root)) < count:
        assert time.monotonic() < until, "no copy appeared"
        time.sleep(0.01)


def test_a_good_bundle_becomes_current(root, good):
    """The version is a verified copy, and the pointer names it and its manifest."""
    done = release(good, str(root))
    assert (done.moved, done.why) == (True, "every gate holds")
    copy = root / "versions" / done.version
    assert str(copy) == done.uri
    assert manifest.verify(copy) == manifest.verify(good)
    assert current(root) == Pointer(done.version, manifest.sha256(good / manifest.NAME), None)
    assert copy.stat().st_mode & 0o055 == 0o055


def test_the_next_release_remembers_the_one_before(root, good, tmp_path):
    """Both versions stay; going back is releasing the earlier bundle again."""
    first = release(good, str(root))
    second = release(make(tmp_path / "better", "more weights"), str(root))
    assert current(root).version == second.version and current(root).previous == first.version
    assert release(good, str(root)) == first
    assert current(root).version == first.version and current(root).previous == second.version
    assert versions(root) == sorted([first.version, second.version])


def test_a_failing_gate_leaves_the_pointer_alone(root, good, tmp_path):
    """The bundle stays as a candidate, and the answer says which gate failed and by how much."""
    first = release(good, str(root))
    poor = release(make(tmp_path / "poor", accuracy=0.31), str(root))
    assert (poor.moved, poor.why) == (False, "gate accuracy failed: accuracy must be at least 0.4, is 0.31, 0.09 off")
    assert current(root).version == first.version
    manifest.verify(root / "versions" / poor.version)


def test_a_first_candidate_makes_no_pointer(root, tmp_path):
    """Nothing is current until something has passed."""
    assert not release(make(tmp_path / "poor", accuracy=float("nan")), str(root)).moved
    assert current(root) is None


def test_a_repeated_release_changes_nothing(root, good):
    """A retried task finds its version there and gives the same answer."""
    once = release(good, str(root))
    state = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and path.name != ".lock"}
    assert release(good, str(root)) == once
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and path.name != ".lock"} == state


def test_only_what_the_manifest_names_is_released(root, good):
    """A stray file, such as the facts of the run, is not copied."""
    (good / "run.json").write_text("{}")
    copy = root / "versions" / release(good, str(root)).version
    assert sorted(path.name for path in copy.iterdir()) == ["deep", "manifest.json", "metrics.json", "model.onnx"]


def test_a_tampered_bundle_is_refused(root, good):
    """Nothing of it reaches the release folder."""
    (good / "model.onnx").write_text("Weights")
    with pytest.raises(IntegrityError, match=r"model\.onnx"):
        release(good, str(root))
    assert not root.exists()


@pytest.mark.parametrize("key", ["verdict", "created"])
def test_a_folder_that_is_no_bundle_is_refused(root, good, key):
    """Any folder with a manifest is not enough: without a verdict there is nothing to release by."""
    content = manifest.read(good)
    del content[key]
    (good / manifest.NAME).write_text(manifest.sealed(content))
    with pytest.raises(IntegrityError, match="not that of a bundle"):
        release(good, str(root))
    assert not root.exists()


@pytest.mark.parametrize("damage", ["file", "manifest"])
def test_a_version_with_other_content_is_refused(root, good, damage):
    """A version that was changed after its release is neither overwritten nor made current."""
    copy = root / "versions" / release(good, str(root)).version
    (root / "current.json").unlink()
    if damage == "file":
        (copy / "model.onnx").write_text("Weights")
    else:
        (copy / "model.onnx").write_text("other")
        manifest.write(copy)
    with pytest.raises(IntegrityError, match=r"SHA-256"):
        release(good, str(root))
    assert current(root) is None
    assert (copy / "model.onnx").read_text() in ("Weights", "other")


@pytest.mark.parametrize("to", ["", "gs://bucket/prefix", "s3:///prefix", "s3://"])
def test_a_place_that_cannot_hold_releases_is_refused(good, to):
    """Better than a local folder named gs:."""
    with pytest.raises(ValueError, match=r"expected .*s3://bucket/prefix"):
        release(good, to)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "3",
        '{"version": "..", "manifest_sha256": "a", "previous": null}',
        '{"version": "a/b", "manifest_sha256": "a", "previous": null}',
    ],
)
def test_a_damaged_pointer_is_not_guessed_at(root, good, text):
    """Neither read nor overwritten: a person restores it."""
    root.mkdir()
    (root / "current.json").write_text(text)
    with pytest.raises(IntegrityError, match="not a release pointer"):
        release(good, str(root))
    assert (root / "current.json").read_text() == text


def test_a_pointer_moved_meanwhile_is_a_conflict(root, good, tmp_path):
    """Who decided on what was current must not overwrite what somebody else made current since."""
    other = release(make(tmp_path / "other", "other"), str(tmp_path / "elsewhere"))
    with held(root):
        run = started(good, root)
        await_versions(root, 1)
        pointer = (tmp_path / "elsewhere" / "current.json").read_text()
        (root / "current.json").write_text(pointer)
    _, message = run.communicate()
    assert run.returncode != 0
    assert f"ReleaseConflict: {root}/current.json named nothing when this release began and names {other.version} now" in message
    assert (root / "current.json").read_text() == pointer


def test_of_two_releases_at_once_one_wins(root, good, tmp_path):
    """Both copies are there, the pointer names one of them, and the other process is told."""
    folders = [good, make(tmp_path / "rival", "rival")]
    with held(root):
        runs = [started(folder, root) for folder in folders]
        await_versions(root, 2)
    messages = [run.communicate()[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 1]
    winner, loser = (next(k for k in (0, 1) if (runs[k].returncode == 0) is won) for won in (True, False))
    assert "ReleaseConflict" in messages[loser]
    assert current(root).manifest_sha256 == manifest.sha256(folders[winner] / manifest.NAME)


def test_the_same_release_twice_at_once_succeeds_twice(root, good):
    """Two tries of one task do not fight over what they agree on."""
    with held(root):
        runs = [started(good, root) for _ in range(2)]
        await_versions(root, 1)
    assert [run.communicate()[0] for run in runs] == ["True\n"] * 2
    assert len(versions(root)) == 1
    assert [path.name for path in (root / "versions").iterdir()] == versions(root)


def test_killed_between_copy_and_move_the_old_release_stands(root, good, tmp_path):
    """The pointer still names the release before; the retry finishes."""
    first = release(good, str(root))
    better = make(tmp_path / "better", "better")
    with held(root):
        run = started(better, root)
        await_versions(root, 2)
        run.send_signal(signal.SIGKILL)
        run.communicate()
    assert current(root).version == first.version
    assert release(better, str(root)).moved
    assert current(root).previous == first.version


@pytest.mark.slow
def test_killed_at_any_moment_no_version_is_partial(root, tmp_path):
    """Whenever the process dies, every version that can be seen is whole, and so is what the pointer names."""
    big = make(tmp_path / "big", os.urandom(1 << 20).hex() * 40)
    for pause in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4):
        run = started(big, root)
        time.sleep(pause)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        for version in versions(root) if (root / "versions").exists() else []:
            manifest.verify(root / "versions" / version)
        if pointer := current(root):
            assert pointer.version in versions(root)
    assert release(big, str(root)).moved
