"""Judgements are kept when they are given, and read again whatever happened to the process."""

import json
import signal
import subprocess
import sys

import pytest

from trainworks.errors import DataError
from trainworks.photostock.judging.judgements import Judgement, Judgements, digest, latest, read


def test_what_was_given_is_read_again(tmp_path):
    """In order, with names of any script; who judges again has changed their mind."""
    kept = Judgements(tmp_path / "new" / "judgements.jsonl")
    for judge, task, choice in (("Ada", "a", "left"), ("Бэн", "a", "same"), ("Ada", "a", "bad")):
        kept.add("set", task, judge, choice)
    again = Judgements(kept.path)
    assert again.given == kept.given == read(kept.path) and len(kept.path.read_text().splitlines()) == 3
    assert latest(again.given) == {("Ada", "a"): "bad", ("Бэн", "a"): "same"}


def test_a_kill_loses_nothing_that_was_answered(tmp_path):
    """SIGKILL right after: the line is on the disk."""
    path = tmp_path / "judgements.jsonl"
    code = (
        "import os, pathlib, signal, sys; from trainworks.photostock.judging.judgements import Judgements; "
        "Judgements(pathlib.Path(sys.argv[1])).add('set', 'a', 'Ada', 'left'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -signal.SIGKILL
    assert [judgement.choice for judgement in read(path)] == ["left"]


@pytest.mark.parametrize("torn", [b'{"tasks": "set", "ta', b'{"tasks": "set", "task": "a}', b"{"])
def test_half_a_line_is_left_out(tmp_path, torn):
    """What a kill in the middle of a write leaves: it is not read, and what follows is not glued to it."""
    kept = Judgements(tmp_path / "judgements.jsonl")
    kept.add("set", "a", "Ada", "left")
    with kept.path.open("ab") as file:
        file.write(torn)
    assert len(read(kept.path)) == 1
    again = Judgements(kept.path)
    again.add("set", "b", "Ada", "right")
    assert [judgement.task for judgement in read(kept.path)] == ["a", "b"]


def test_a_last_line_without_an_end_counts(tmp_path):
    """As editors leave it."""
    path = tmp_path / "judgements.jsonl"
    path.write_text(json.dumps({"tasks": "set", "task": "a", "judge": "Ada", "choice": "left"}))
    Judgements(path).add("set", "b", "Ada", "same")
    assert [judgement.task for judgement in read(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("left", "line 1 is no judgement"),
        ('{"tasks": "set", "task": "a", "judge": "Ada", "choice": "both"}', "choice = 'both': expected one of left, right, same, bad"),
        ('{"task": "a"}', "line 1 is no judgement"),
        ('{"tasks": 1, "task": "a", "judge": "Ada", "choice": "left"}', "tasks = 1: expected text"),
    ],
)
def test_what_is_no_judgement_is_refused(tmp_path, line, says):
    """By its line, with what was expected."""
    path = tmp_path / "judgements.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=says):
        read(path)


def test_the_export_of_a_labelling_tool_is_read(tmp_path):
    """A CSV file with further columns, such as the pictures that it was given; the annotator is the judge."""
    path, picture = tmp_path / "export.csv", '"data:image/jpeg;base64,' + "A" * 200_000 + '"'
    path.write_text(f"annotator,choice,id,lead_time,left,task,tasks\n7,left,1,3.2,{picture},a,set\n8,same,2,1.0,{picture},a,set\n")
    assert read(path) == [Judgement("set", "a", "7", "left"), Judgement("set", "a", "8", "same")]


def test_the_digest_tells_judgements_apart(tmp_path):
    """By what they are, and not by their place; no place has none."""
    first, second = Judgements(tmp_path / "a.jsonl"), tmp_path / "b.jsonl"
    first.add("set", "a", "Ada", "left")
    second.write_bytes(first.path.read_bytes())
    assert digest(str(first.path)) == digest(str(second)) != digest("") == ""
    first.add("set", "b", "Ada", "left")
    assert digest(str(first.path)) != digest(str(second))


def test_a_file_that_is_not_there_is_named(tmp_path):
    """With what is expected."""
    with pytest.raises(DataError, match=r"nowhere.jsonl: no readable judgements .*expected JSON Lines"):
        read(tmp_path / "nowhere.jsonl")
