"""Stage outputs appear whole or not at all, and are checked before they are used again."""

import os
import signal
import subprocess
import sys

import pytest

from trainworks.errors import IntegrityError, StorageError
from trainworks.storage import manifest, s3, store


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path))
    return tmp_path


def writes(text, calls=None):
    """A stage that writes one file, and counts itself in *calls*."""

    def make(out):
        (out / "a.txt").write_text(text)
        if calls is not None:
            calls.append(out)

    return make


def child(code, *arguments):
    """A process of its own that runs *code*."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=os.environ.copy(), stdout=subprocess.PIPE, text=True)


def test_an_output_is_made_once(artifacts):
    """The second time it is there, with its manifest and its run facts."""
    calls = []
    first = store.remember("toy", "k", writes("a", calls))
    assert store.remember("toy", "k", writes("b", calls)) == first == artifacts / "stages" / "toy" / "k"
    assert (first / "a.txt").read_text() == "a" and len(calls) == 1
    assert manifest.verify(first)["stage"] == "toy"
    assert store.notes(first)["seconds"] >= 0


def test_another_key_is_another_output():
    """A key names everything the output depends on."""
    one, other = (store.remember("toy", key, writes(key)) for key in ("a", "b"))
    assert [(folder / "a.txt").read_text() for folder in (one, other)] == ["a", "b"]


@pytest.mark.parametrize("damage", ["change", "truncate", "delete", "manifest"])
def test_a_corrupt_output_is_made_again(damage):
    """A cached hit is never a damaged one."""
    path = store.remember("toy", "k", writes("alpha")) / "a.txt"
    {
        "change": lambda: path.write_text("Alpha"),
        "truncate": lambda: path.write_text(""),
        "delete": path.unlink,
        "manifest": (path.parent / manifest.NAME).unlink,
    }[damage]()
    assert (store.remember("toy", "k", writes("alpha")) / "a.txt").read_text() == "alpha"
    assert store.is_whole(path.parent)


def test_a_failed_stage_leaves_nothing(artifacts):
    """Neither an output nor a draft; the next run starts afresh."""

    def breaks(out):
        (out / "a.txt").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.remember("toy", "k", breaks)
    assert list((artifacts / "stages" / "toy").iterdir()) == []
    assert (store.remember("toy", "k", writes("whole")) / "a.txt").read_text() == "whole"


def test_a_killed_run_leaves_no_output(artifacts):
    """After SIGKILL in the middle of a stage there is nothing under the output's name."""
    run = child(
        "import time; from trainworks.storage import store\n"
        "def make(out): (out / 'a.txt').write_text('half'); print('writing', flush=True); time.sleep(60)\n"
        "store.remember('toy', 'k', make)"
    )
    assert run.stdout.readline() == "writing\n"
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert not (artifacts / "stages" / "toy" / "k").exists()
    assert (store.remember("toy", "k", writes("whole")) / "a.txt").read_text() == "whole"


def test_drafts_of_runs_killed_long_ago_go_and_those_of_others_stay(artifacts):
    """With all that they hold; the week that must have passed is longer than any stage may take."""
    stage = artifacts / "stages" / "toy"
    old, note, new = (stage / f".draft-{name}" for name in ("old", "note", "new"))
    for draft in (old, new):
        draft.mkdir(parents=True)
        (draft / "a.txt").write_text("half")
    note.touch()
    for draft in (old, note):
        os.utime(draft, (0, 0))
    final = store.remember("toy", "k", writes("whole"))
    assert sorted(stage.iterdir()) == sorted([new, final])


def test_two_processes_at_once_share_one_whole_output(artifacts):
    """Both make it, one publishes first, both end with the same folder."""
    code = (
        "import sys, time; from pathlib import Path; from trainworks.storage import store\n"
        "def make(out):\n"
        "    (out / 'a.txt').write_text('same'); print('writing', flush=True)\n"
        "    while not Path(sys.argv[1]).exists(): time.sleep(0.01)\n"
        "print(store.remember('toy', 'k', make))"
    )
    runs = [child(code, artifacts / "go") for _ in range(2)]
    assert [run.stdout.readline() for run in runs] == ["writing\n"] * 2
    (artifacts / "go").touch()
    answers = {run.communicate()[0].strip() for run in runs}
    folder = artifacts / "stages" / "toy" / "k"
    assert answers == {str(folder)} and [run.returncode for run in runs] == [0, 0]
    assert store.is_whole(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["k"]


def test_notes_are_beside_the_content():
    """Facts of a run add up and do not change the digest."""
    folder = store.remember("toy", "k", writes("a"))
    before = manifest.digest(folder)
    store.note(folder, host="here")
    assert {"seconds", "host"} <= store.notes(folder).keys()
    assert manifest.digest(folder) == before and store.is_whole(folder)


def test_an_output_is_readable_by_others():
    """A service or a colleague with another user id reads what a run left."""
    assert store.remember("toy", "k", writes("a")).stat().st_mode & 0o055 == 0o055


def test_the_root_is_where_the_environment_says(artifacts, monkeypatch):
    """Or beside the work; always absolute."""
    assert store.root() == artifacts
    monkeypatch.delenv("TRAINWORKS_ARTIFACTS")
    monkeypatch.chdir(artifacts)
    assert store.root() == artifacts / "artifacts"


def test_a_stage_with_many_outputs_says_how_many(monkeypatch, tmp_path, caplog):
    """Not a line per slice: how many were made and how many were there, told when the next stage begins."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path))
    caplog.set_level("INFO", "trainworks")
    for key in ("a", "b", "a"):
        store.remember("prepare", key, lambda out: (out / "x").write_text("1"), many=True)
    store.remember("curate", "c", lambda out: (out / "x").write_text("1"))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].split() == ["prepare", "cached", "1,", "done", "2"]
    assert [line.split()[:2] for line in lines[1:]] == [["curate", "running"], ["curate", "done"]]


@pytest.fixture
def machine(bucket, tmp_path, monkeypatch):
    """Puts the artifact root on S3 and this process on a machine of that name, whose disk is empty at first."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", f"{bucket}/artifacts")

    def machine(name):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setattr(store, "_settled", set())
        return f"{bucket}/artifacts/stages/toy/k"

    return machine


def test_another_machine_finds_what_one_has_made(machine):
    """Of an output on S3 every machine gets a verified copy; its address is the same for all."""
    uri, calls = machine("one"), []
    first = store.remember("toy", "k", writes("a", calls))
    assert store.address(first) == uri
    assert sorted(entry.name for entry in s3.listing(uri)) == ["a.txt", "manifest.json", "run.json"]
    machine("two")
    second = store.remember("toy", "k", writes("b", calls))
    assert second != first and (second / "a.txt").read_text() == "a" and len(calls) == 1
    assert store.notes(second) == store.notes(first)
    machine("three")
    assert (store.local(uri) / "a.txt").read_text() == "a"
    assert store.local("s3://elsewhere/stages/toy/k") is None and store.local("/stages/toy/k") is None


def fetches(caplog):
    """The files that were brought here, in order."""
    return [record.getMessage().split()[2] for record in caplog.records if "fetching" in record.getMessage()]


def test_of_an_output_only_what_is_read_is_fetched(machine, caplog):
    """First its manifest, then each file when it is asked for, once and verified; the rest when the whole is wanted."""
    uri = machine("one")

    def make(out):
        for name in ("a.txt", "deep/b.txt", "c.txt"):
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_text(name)

    whole = store.remember("toy", "k", make)
    machine("two")
    caplog.set_level("DEBUG", "trainworks")
    folder = store.local(uri, whole=False)
    assert manifest.digest(folder) == manifest.digest(whole) and store.notes(folder) == store.notes(whole)
    assert [store.fetched(folder / "deep/b.txt").read_text() for _ in range(2)] == ["deep/b.txt"] * 2
    assert fetches(caplog) == ["deep/b.txt"] and not (folder / "a.txt").exists()
    assert store.is_whole(store.local(uri))
    assert sorted(fetches(caplog)) == ["a.txt", "c.txt", "deep/b.txt"]


def test_a_file_that_was_damaged_meanwhile_is_refused_or_fetched_again(machine):
    """On S3 it is refused, as often as one asks; here it is replaced."""
    uri = machine("one")
    store.remember("toy", "k", writes("alpha"))
    machine("two")
    (store.local(uri) / "a.txt").write_text("Alpha")
    machine("two")
    assert store.fetched(store.local(uri, whole=False) / "a.txt").read_text() == "alpha"
    machine("three")
    s3.put(f"{uri}/a.txt", b"Alpha")
    for _ in range(2):
        with pytest.raises(IntegrityError, match=r"missing or damaged .*run the workflow again.*on a Flyte cluster.*--overwrite-cache"):
            store.fetched(store.local(uri, whole=False) / "a.txt")
    with pytest.raises(IntegrityError, match=r"does not name 'b\.txt'"):
        manifest.verify(store.local(uri, whole=False), "b.txt")


def test_any_other_file_is_read_where_it_is(machine, tmp_path):
    """As a stage that runs on SageMaker, or a test, gives its folders."""
    machine("one")
    assert store.fetched(tmp_path / "a.txt") == tmp_path / "a.txt"


@pytest.mark.parametrize("damage", ["change", "delete", "manifest"])
def test_a_damaged_output_on_s3_is_made_again_or_copied_back(machine, damage):
    """By a machine that has no copy it is made again, never used; one that has a whole copy puts that in its place."""
    uri = machine("one")
    store.remember("toy", "k", writes("alpha"))

    def harm():
        if damage == "change":
            s3.put(f"{uri}/a.txt", b"Alpha")
        else:
            s3.delete(f"{uri}/{'a.txt' if damage == 'delete' else manifest.NAME}")

    harm()
    machine("two")
    with pytest.raises(IntegrityError, match="run the workflow again"):
        store.local(uri)
    assert (store.remember("toy", "k", writes("alpha")) / "a.txt").read_text() == "alpha"
    assert s3.read(f"{uri}/a.txt") == b"alpha"
    if damage == "manifest":
        harm()
        store.remember("toy", "k", lambda out: pytest.fail("made again"))
        assert s3.read(f"{uri}/{manifest.NAME}")


def test_what_lies_on_s3_decides(machine):
    """A copy that is whole but another is replaced; a damaged one is fetched again."""
    machine("one")
    stale = store.remember("toy", "k", writes("mine"))
    machine("two")
    s3.delete(f"{store.address(store.root() / 'stages/toy/k')}/{manifest.NAME}")
    store.remember("toy", "k", writes("theirs"))
    machine("one")
    assert (store.remember("toy", "k", writes("new")) / "a.txt").read_text() == "theirs"
    (stale / "a.txt").write_text("broken")
    assert (store.remember("toy", "k", writes("new")) / "a.txt").read_text() == "theirs"


def test_a_killed_upload_is_no_output(machine, monkeypatch):
    """The manifest goes last: without it other machines see nothing; the maker goes on from its own copy."""
    uri, upload = machine("one"), s3.upload

    def dies(path, to):
        if path.name == manifest.NAME:
            raise KeyboardInterrupt
        upload(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(s3, "upload", dies)
        with pytest.raises(KeyboardInterrupt):
            store.remember("toy", "k", writes("a"))
    assert [entry.name for entry in s3.listing(uri)] == ["a.txt", "run.json"]
    store.remember("toy", "k", lambda out: pytest.fail("made again"))
    assert s3.stat(f"{uri}/{manifest.NAME}")


def test_what_is_kept_by_content_is_kept_once_on_s3(machine):
    """The newest facts of it lie there, too, whichever machine noted them."""
    machine("one")
    first = store.address(store.keep("toy", writes("a"), root="/old"))
    machine("two")
    assert store.address(store.keep("toy", writes("a"), root="/new")) == first
    machine("one")
    assert store.notes(store.local(first))["root"] == "/new"


def test_an_artifact_root_that_cannot_be_written_is_refused(machine, bucket, monkeypatch):
    """Before anything is made."""
    machine("one")
    store.check()
    assert list(s3.listing(bucket)) == []
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", f"{bucket}-misspelt")
    with pytest.raises(StorageError, match="no such bucket"):
        store.check()
