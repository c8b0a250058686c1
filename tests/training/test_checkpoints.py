"""A checkpoint is whole or refused, and a save that fails leaves the one before it."""

import logging
import os
import resource
import signal
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from trainworks.errors import IntegrityError
from trainworks.storage import s3, store
from trainworks.training import checkpoints

KEY = "a" * 64


def content(step=1, size=1000):
    """What Lightning hands over, in small."""
    weight = torch.arange(size, dtype=torch.float32)
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.9, 0.98), "params": [0]}]}
    return {
        "global_step": step,
        "state_dict": {"weight": weight},
        "optimizer_states": [optimizer],
        "history": [{"recall": 0.1, "loss": None}],
    }


@pytest.fixture
def written(tmp_path):
    """A checkpoint of the training KEY."""
    checkpoints.write(content(step=7), tmp_path / "one.ckpt", KEY)
    return tmp_path / "one.ckpt"


def test_what_is_read_is_what_was_written(written):
    """Tensors, numbers, tuples and None come back as they were."""
    found, expected = checkpoints.read(written, KEY), content(step=7)
    assert torch.equal(found["state_dict"].pop("weight"), expected["state_dict"].pop("weight"))
    assert found == expected
    assert checkpoints.step(written, KEY) == 7


def test_every_flipped_bit_is_refused(written):
    """200 random ones and each of the first line's: a number that is off by one bit would train on, and nobody would know."""
    whole = written.read_bytes()
    rng = np.random.default_rng(1)
    header = 8 * (whole.index(b"\n") + 1)
    for bit in [*range(header), *rng.integers(8 * len(whole), size=200)]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        written.write_bytes(damaged)
        with pytest.raises(IntegrityError, match="damaged"):
            checkpoints.read(written, KEY)


def test_a_file_cut_short_is_refused(written):
    """At any length, an empty file included."""
    whole = written.read_bytes()
    for length in (0, 10, 64, 80, len(whole) // 2, len(whole) - 1):
        written.write_bytes(whole[:length])
        with pytest.raises(IntegrityError, match="damaged"):
            checkpoints.read(written, KEY)


def test_another_training_is_refused(written):
    """Its weights may even fit."""
    with pytest.raises(IntegrityError, match=r"of another training \(aaaaaaaaaaaa…, not bbbbbbbbbbbb…\)"):
        checkpoints.read(written, "b" * 64)


def test_two_take_turns_and_the_newest_whole_one_counts(tmp_path, caplog):
    """Of three saves two are there; if the last is damaged the one before is taken, and of other trainings none."""
    files = checkpoints.Files(tmp_path, KEY)
    assert files.newest is None
    for step in (1, 2, 3):
        files.save_checkpoint(content(step), files.oldest())
    assert sorted(checkpoints.step(path, KEY) for path in tmp_path.iterdir()) == [2, 3]
    last = checkpoints.Files(tmp_path, KEY).newest
    assert last == files.newest and checkpoints.step(last, KEY) == 3
    last.write_bytes(last.read_bytes()[:-1])
    with caplog.at_level(logging.INFO):
        again = checkpoints.Files(tmp_path, KEY)
        other = checkpoints.Files(tmp_path, "b" * 64)
    assert checkpoints.step(again.newest, KEY) == 2 and again.oldest() == last
    assert other.newest is None
    assert "damaged" in caplog.text and "of another training" in caplog.text


def test_clearing_leaves_other_trainings_alone(tmp_path):
    """Only when nothing else is in the folder does it go."""
    first, second = (checkpoints.Files(tmp_path / "resume", key) for key in (KEY, "b" * 64))
    for files in (first, second):
        files.save_checkpoint(content(), files.oldest())
    first.clear()
    assert checkpoints.Files(tmp_path / "resume", "b" * 64).newest == second.newest
    second.clear()
    assert not (tmp_path / "resume").exists()


def save_limited(size: int, path: Path) -> None:
    """Save to *path* while no file may grow beyond *size* bytes, as on a disk that is full there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        files = checkpoints.Files(path, KEY)
        files.save_checkpoint(content(step=2, size=100_000), files.oldest())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("tenth", range(10))
def test_a_disk_that_is_full_costs_a_warning_and_the_checkpoint_before_loads(tenth, tmp_path, caplog):
    """Full at ten points of the file, here by the kernel's limit on a file's size; nothing half-written stays behind."""
    first = checkpoints.Files(tmp_path, KEY)
    first.save_checkpoint(content(step=1), first.oldest())
    save_limited(40_000 * tenth, tmp_path)
    assert "no checkpoint after step 2" in caplog.text
    again = checkpoints.Files(tmp_path, KEY)
    assert checkpoints.read(again.newest, KEY)["global_step"] == 1
    assert list(tmp_path.iterdir()) == [again.newest]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_tmp_on_another_file_system_is_not_in_the_way(tmp_path, monkeypatch):
    """A file is written beside its place: Lightning's own way, over the folder for temporary files, copies it there in pieces."""
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    assert Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev
    moves = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: (moves.append((path.stat().st_dev, path.parent)), replace(path, to))[1])
    files = checkpoints.Files(tmp_path, KEY)
    for step in (1, 2, 3):
        files.save_checkpoint(content(step), files.oldest())
    assert moves == [(tmp_path.stat().st_dev, tmp_path)] * 3
    assert checkpoints.read(files.newest, KEY)["global_step"] == 3


@pytest.fixture
def on_machine(tmp_path, monkeypatch, bucket):
    """The checkpoints of one training on the machine *number*, whose artifact root is on S3."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", f"{bucket}/artifacts")

    def on_machine(number, key=KEY):
        folder = tmp_path / str(number)
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        return checkpoints.Files(store.root() / "resume", key)

    return on_machine


def test_another_machine_goes_on_from_the_newest(on_machine):
    """Whatever it has of its own; a training of another key is left alone."""
    first = on_machine(1)
    for step in (1, 2, 3):
        first.save_checkpoint(content(step), first.oldest())
    second = on_machine(2)
    assert second.newest is None
    second.bring()
    assert checkpoints.step(second.newest, KEY) == 3
    second.save_checkpoint(content(4), second.oldest())
    first = on_machine(1)
    first.bring()
    assert checkpoints.step(first.newest, KEY) == 4
    other = on_machine(3, "b" * 64)
    other.bring()
    assert other.newest is None


def test_what_is_done_leaves_no_checkpoint_anywhere(on_machine, bucket):
    """Neither here nor on S3, whichever machine ends it."""
    first = on_machine(1)
    for step in (1, 2):
        first.save_checkpoint(content(step), first.oldest())
    assert len(list(s3.listing(bucket))) == 2
    second = on_machine(2)
    second.bring()
    second.clear()
    assert list(s3.listing(bucket)) == [] and not second.folder.exists()


def test_a_checkpoint_that_cannot_be_deleted_costs_a_warning(on_machine, monkeypatch, caplog):
    """A policy without s3:DeleteObject, say: days of training are done, and must not fail for that."""
    files = on_machine(1)
    files.save_checkpoint(content(), files.oldest())
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", "s3://not-there/artifacts")
    files.clear()
    assert not files.folder.exists()
    assert "a checkpoint of what is done stays" in caplog.text and "not-there" in caplog.text


def test_a_store_that_fails_costs_a_warning(on_machine, monkeypatch, caplog):
    """The checkpoint is here, if not there."""
    files = on_machine(1)
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", "s3://not-there/artifacts")
    files.save_checkpoint(content(step=5), files.oldest())
    assert checkpoints.step(files.newest, KEY) == 5
    assert "the checkpoint after step 5 is on this machine only" in caplog.text and "not-there" in caplog.text


def test_two_runs_of_one_training_lose_no_checkpoint(tmp_path, caplog):
    """Each is saved, or there is one after a later step; what is left is whole, and no draft is."""

    def run(files: checkpoints.Files) -> None:
        for step in range(30):
            files.save_checkpoint(content(step, 40_000), files.oldest())

    runs = [threading.Thread(target=run, args=[checkpoints.Files(tmp_path, KEY)]) for _ in range(2)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert not [record for record in caplog.records if record.levelname == "WARNING"], caplog.text
    newest = checkpoints.Files(tmp_path, KEY).newest
    assert checkpoints.step(newest, KEY) == 29 and len(list(tmp_path.iterdir())) == 2


def test_a_run_that_is_behind_does_not_undo_one_that_is_further(tmp_path):
    """Their checkpoints are the same bit for bit, so that the later one serves both."""
    behind, ahead = checkpoints.Files(tmp_path, KEY), checkpoints.Files(tmp_path, KEY)
    for step in (8, 9):
        ahead.save_checkpoint(content(step), ahead.oldest())
    behind.save_checkpoint(content(2), behind.oldest())
    assert sorted(checkpoints.step(path, KEY) for path in tmp_path.iterdir()) == [8, 9]


def test_drafts_of_killed_runs_go_and_those_of_others_stay(tmp_path):
    """One that grew within the hour may still be written."""
    old, new = (tmp_path / f"{KEY[:20]}-0-{name}.part" for name in ("old", "new"))
    for draft in (old, new):
        draft.touch()
    os.utime(old, (0, 0))
    checkpoints.Files(tmp_path, KEY)
    assert list(tmp_path.iterdir()) == [new]
