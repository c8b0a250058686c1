"""A bundle is a folder whose manifest, written last, says where every byte came from."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import pytest

import trainworks
from tests.release import toy_bundle
from trainworks.errors import IntegrityError
from trainworks.release import bundle
from trainworks.storage import manifest

TEXTS = {"metrics.json": toy_bundle.metrics()}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    return path


def test_a_bundle_vouches_for_its_files_and_facts(tmp_path, model):
    """Files are copied, texts written in UTF-8, and the manifest verifies."""
    out = tmp_path / "bundle"
    bundle.write(out, {"deep/model.onnx": model}, TEXTS | {"README.md": "größer"}, toy_bundle.FACTS)
    content = manifest.verify(out)
    assert set(content["files"]) == {"deep/model.onnx", "metrics.json", "README.md"}
    assert {key: content[key] for key in toy_bundle.FACTS} == toy_bundle.FACTS
    assert datetime.now(UTC) - datetime.fromisoformat(content["created"]) < timedelta(minutes=1)
    assert (out / "README.md").read_bytes() == "größer".encode()


def test_an_unfinished_bundle_is_no_bundle(tmp_path, model):
    """If writing breaks off, there is no manifest, so nobody loads what is there."""
    out = tmp_path / "bundle"
    with pytest.raises(FileNotFoundError):
        bundle.write(out, {"model.onnx": model, "gone": tmp_path / "gone"}, TEXTS, toy_bundle.FACTS)
    with pytest.raises(IntegrityError, match="incomplete"):
        manifest.verify(out)


def test_facts_are_complete_and_known(tmp_path):
    """A bundle without its commit, or with a misspelt fact, is refused before anything is copied."""
    for facts in ({**toy_bundle.FACTS, "comit": "x"}, {key: value for key, value in toy_bundle.FACTS.items() if key != "seed"}):
        with pytest.raises(ValueError, match=r"missing or unknown: (comit|seed)"):
            bundle.write(tmp_path / "bundle", {}, TEXTS, facts)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("metrics", [None, "{}", '{"objective": "error", "scores": []}'])
def test_a_bundle_says_what_was_reached(tmp_path, metrics):
    """In scores that others are compared by, in a file or as a text; without them nothing is written."""
    file = tmp_path / "metrics.json"
    file.write_text(metrics or "")
    for files, texts in [({"metrics.json": file}, {}), ({}, {"metrics.json": metrics})] if metrics else [({}, {})]:
        with pytest.raises(ValueError, match=r"metrics\.json has no|no score of that name"):
            bundle.write(tmp_path / "bundle", files, texts, toy_bundle.FACTS)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "manifest.json", "run.json"])
def test_a_name_that_leaves_the_bundle_is_refused(tmp_path, name):
    """So is one that belongs to the manifest."""
    with pytest.raises(ValueError, match="cannot be a file of a bundle"):
        bundle.write(tmp_path / "bundle", {}, TEXTS | {name: ""}, toy_bundle.FACTS)


def test_nothing_is_overwritten(tmp_path, model):
    """Neither a file of the folder nor one name by another."""
    with pytest.raises(ValueError, match="empty folder"):
        bundle.write(tmp_path, {"model.onnx": model}, TEXTS, toy_bundle.FACTS)
    with pytest.raises(ValueError, match=r"given as file and as text: a\.txt"):
        bundle.write(tmp_path / "bundle", {"a.txt": model}, TEXTS | {"a.txt": ""}, toy_bundle.FACTS)


def test_the_commit_can_be_stated(monkeypatch):
    """An image has no git; its build says which commit it holds."""
    monkeypatch.setenv("TRAINWORKS_COMMIT", "0123abc")
    assert bundle.git_commit() == "0123abc"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with a copy of bundle.py in it, and a way to ask that copy for its commit."""
    monkeypatch.delenv("TRAINWORKS_COMMIT", raising=False)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    package = tmp_path / "trainworks"
    for name in (
        "__init__.py",
        "errors.py",
        "release/__init__.py",
        "release/bundle.py",
        "release/scores.py",
        "storage/__init__.py",
        "storage/manifest.py",
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes((Path(trainworks.__file__).parent / name).read_bytes())

    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def asked():
        code = "from trainworks.release import bundle; print(bundle.git_commit())"
        found = subprocess.run([sys.executable, "-B", "-c", code], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True)
        return found.stdout.strip()

    git("init", "--quiet")
    return tmp_path, git, asked


def test_the_commit_is_that_of_the_code(checkout):
    """With a mark when the work tree differs from it."""
    folder, git, asked = checkout
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    assert asked() == git("rev-parse", "HEAD")
    (folder / "trainworks" / "new.py").touch()
    assert asked() == git("rev-parse", "HEAD") + "+dirty"


def test_somebody_elses_repository_is_not_ours(checkout):
    """Installed in a virtual environment below another project, the code has no commit of its own."""
    folder, git, asked = checkout
    (folder / "theirs.txt").touch()
    git("add", "theirs.txt")
    git("commit", "--quiet", "--message", "theirs")
    assert asked() == "unknown"


def test_versions_are_those_installed():
    """What is not installed is left out, so that a CPU image can state its own."""
    assert bundle.versions(["numpy", "no-such-package"]) == {"numpy": metadata.version("numpy")}
