"""Stages run once per content: of their inputs, their knobs and their code."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from flytekit import Resources
from flytekit.types.directory import FlyteDirectory

from tasks import stage as stages
from trainworks.storage import manifest, store

pytestmark = pytest.mark.filterwarnings("ignore")  # flytekit's own

RUNS = []


@stages.stage("release.gates", Resources(cpu="1"))
def copy(source: stages.Artifact, factor: int, out: Path) -> stages.Artifact:
    """Copy a text *factor* times."""
    RUNS.append(factor)
    (out / "text").write_text((stages.path(source) / "text").read_text() * factor)
    return FlyteDirectory(str(out))


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """An artifact root of the test's own."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))
    RUNS.clear()


@pytest.fixture
def source(tmp_path):
    """A folder with a manifest."""

    def source(text, name="source"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "text").write_text(text)
        manifest.write(folder)
        return FlyteDirectory(str(folder))

    return source


def test_the_same_inputs_run_once(source):
    """The second call finds what the first one made."""
    first, second = (copy(source=source("a"), factor=2) for _ in range(2))
    assert first.path == second.path and RUNS == [2]
    assert (Path(first.path) / "text").read_text() == "aa"


def test_content_counts_not_the_path(source):
    """The same text elsewhere is a hit; another text at the same path is not."""
    copy(source=source("a"), factor=2)
    copy(source=source("a", "elsewhere"), factor=2)
    assert len(RUNS) == 1
    changed = copy(source=source("b"), factor=2)
    assert (Path(changed.path) / "text").read_text() == "bb"


def test_a_changed_knob_runs_again(source):
    """Each value has its own output."""
    paths = {copy(source=source("a"), factor=factor).path for factor in (1, 2, 3)}
    assert len(paths) == 3 and RUNS == [1, 2, 3]


@pytest.mark.parametrize("damage", ["deleted", "truncated", "bit flipped"])
def test_a_damaged_output_is_made_again(source, damage):
    """Deleted, cut short, or changed behind the store's back: never used."""
    text = Path(copy(source=source("abc"), factor=1).path) / "text"
    if damage == "deleted":
        text.unlink()
    else:
        text.write_text("ab" if damage == "truncated" else "abd")
    again = copy(source=source("abc"), factor=1)
    assert (Path(again.path) / "text").read_text() == "abc" and len(RUNS) == 2


@pytest.mark.parametrize("by", ["the output for another knob", "a folder with a manifest of its own", "an empty folder", "a file"])
def test_a_replaced_output_is_made_again(source, by, tmp_path):
    """Whole in itself, and yet not what was asked for."""
    folder, other = (Path(copy(source=source("abc"), factor=factor).path) for factor in (1, 2))
    shutil.rmtree(folder)
    if by == "the output for another knob":
        shutil.copytree(other, folder)
    elif by == "a file":
        folder.write_text("abc")
    else:
        folder.mkdir()
    if "manifest" in by:
        (folder / "text").write_text("abd")
        manifest.write(folder)
    again = copy(source=source("abc"), factor=1)
    assert (Path(again.path) / "text").read_text() == "abc" and RUNS == [1, 2, 1]


@pytest.mark.parametrize("damage", ["deleted", "truncated", "of another shape"])
def test_damaged_notes_of_a_run_do_not_stop_the_next(source, damage):
    """No manifest vouches for them: an output whose key they no longer tell is made again, with notes of its own."""
    notes = Path(copy(source=source("abc"), factor=1).path) / manifest.RUN
    notes.unlink() if damage == "deleted" else notes.write_text("{" if damage == "truncated" else "[]")
    again = copy(source=source("abc"), factor=1)
    assert (Path(again.path) / "text").read_text() == "abc" and store.notes(Path(again.path))["seconds"] >= 0


def test_flyte_knows_a_folder_by_its_content(source):
    """The hash that Flyte's cache uses, for a folder and for its path alike."""
    folder = source("a")
    assert stages.content(folder) == stages.content(folder.path) == stages.content(source("a", "elsewhere"))
    assert stages.content(folder) != stages.content(source("b", "other"))


def test_the_task_carries_what_a_cluster_needs():
    """Image, resources, retries and a cache version made of code."""
    assert copy.metadata.cache and len(copy.metadata.cache_version) == 64
    assert copy.metadata.retries == 2
    assert copy.container_image == stages.CPU
    assert copy.resources.requests.cpu == "1"
    assert list(copy.python_interface.inputs) == ["source", "factor"]


def test_what_is_kept_by_content_is_kept_once():
    """The same slice from another place is the same folder, with the newer place noted."""
    folders = [store.keep("acquire", lambda out: (out / "rows").write_text("1"), root=root) for root in ("/old", "/new")]
    assert folders[0] == folders[1]
    assert store.notes(folders[0])["root"] == "/new"


def test_what_is_kept_by_content_is_never_taken_for_another():
    """A slice that was replaced by a whole one of other content is written again; damaged notes are noted again."""
    keep = partial(store.keep, "acquire", lambda out: (out / "rows").write_text("1"), root="/here")
    folder = keep()
    (folder / "rows").write_text("2")
    manifest.write(folder)
    (folder / manifest.RUN).write_text("{")
    assert keep() == folder and (folder / "rows").read_text() == "1"
    assert store.notes(folder)["root"] == "/here"


def test_with_the_artifact_root_on_s3_tasks_hand_on_uris(source, bucket, tmp_path, monkeypatch):
    """What flytekit passes through as it is, and the next task finds by the store, on an empty disk as well."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", bucket)
    monkeypatch.chdir(tmp_path)
    first = copy(source=source("a"), factor=2)
    assert first.remote_source.startswith(f"{bucket}/stages/copy/")
    shutil.rmtree(tmp_path / "artifacts")
    monkeypatch.setattr(store, "_settled", set())
    second = copy(source=first, factor=2)
    assert (stages.path(second) / "text").read_text() == "aaaa"
    assert stages.content(first) == manifest.digest(stages.path(first.remote_source))
