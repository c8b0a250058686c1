"""Judgements beside the releases: found, kept by content, counted for the tasks that they are of, and shown in the report."""

import json

import pytest

from tests.photostock.judging import toy_tasks
from trainworks.errors import DataError
from trainworks.photostock.judging import people as judged
from trainworks.photostock.judging.judgements import Judgement, Judgements, read
from trainworks.photostock.judging.outcome import preference
from trainworks.photostock.judging.people import beside, kept, newer, people
from trainworks.photostock.judging.people_section import section
from trainworks.storage import s3


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The tasks of one run."""
    return toy_tasks.prepared(tmp_path_factory.mktemp("prepared"))


def said(folder, choose, judge="Ada") -> list[Judgement]:
    """What *judge* says of every task, by the side that the model is on."""
    tasks, key = toy_tasks.content(folder)
    return [Judgement(tasks["id"], id, judge, choose(side)) for id, side in key["model_is"].items()]


def test_all_files_beside_a_release_are_read(tmp_path):
    """One after another by name, JSON Lines and CSV; others are left alone, and a broken one is named."""
    folder = tmp_path / "judgements"
    assert beside(str(tmp_path)) == []
    Judgements(folder / "b.jsonl").add("set", "t1", "Ben", "right")
    (folder / "a.csv").write_text("tasks,task,choice,annotator\nset,t1,left,Ada\n")
    (folder / "notes.txt").write_text("nothing")
    assert [judgement.judge for judgement in beside(str(tmp_path))] == ["Ada", "Ben"]
    (folder / "c.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"judgements/c.jsonl: line 1 is no judgement"):
        beside(str(tmp_path))


def test_those_in_a_bucket_are_read_too(bucket):
    """As those in a folder."""
    line = {"tasks": "set", "task": "t1", "judge": "Ada", "choice": "same"}
    s3.put(f"{bucket}/release/judgements/a.jsonl", (json.dumps(line) + "\n").encode())
    assert beside(f"{bucket}/release") == [Judgement(**line)] and beside(f"{bucket}/other") == []


def test_the_same_judgements_are_the_same_output(tmp_path, monkeypatch):
    """So that a run which found nothing new comes from the cache; one more is another."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path))
    one, two = Judgement("set", "t1", "Ada", "left"), Judgement("set", "t1", "Бэн", "bad", "2026-01-31T12:00:00+00:00")
    assert kept([one]) == kept([one]) != kept([one, two]) != kept([])
    assert read(kept([one, two]) / judged.FILE) == [one, two] and read(kept([]) / judged.FILE) == []


@pytest.mark.parametrize(
    ("at", "version", "is_newer"),
    [
        ("2026-01-31T12:00:01+00:00", "20260131-120000-0f3c", True),
        ("2026-01-31T11:59:59+00:00", "20260131-120000-0f3c", False),
        ("2020-01-01T00:00:00+00:00", "", True),
        ("", "20260131-120000-0f3c", True),
    ],
)
def test_judgements_since_a_release_are_newer(at, version, is_newer):
    """By the time in its name; what a labelling tool gives has none, and counts as new."""
    assert newer([Judgement("set", "t1", "Ada", "left", at)], version) is is_newer and not newer([], version)


def test_judgements_of_other_tasks_do_not_count(prepared):
    """They are of an earlier model; how many there are is told."""
    found = people(prepared, [*said(prepared, lambda side: side), Judgement("old", "t1", "Ada", "left")], "artifacts/x")
    assert found["judged"] == 24 and found["of_other_tasks"] == 1
    assert preference(found)[0] == 1 and found["judge"] == "python -m trainworks photostock judge artifacts/x"
    assert "1 judgements beside the releases are of other tasks" in section(found)


def test_the_report_says_how_to_judge(prepared, tmp_path, monkeypatch):
    """Before anybody has; from the working directory, so that no one's folders stand in it."""
    monkeypatch.chdir(tmp_path)
    page = section(people(prepared, [], f"{tmp_path}/artifacts/stages/prepare_judging/abc"))
    assert "24 tasks are prepared" in page and "photostock judge artifacts/stages/prepare_judging/abc</code>" in page


def test_the_report_shows_what_people_said(prepared):
    """The rate with its interval by kind of query, agreement, and whether it decides."""
    other = {"left": "right", "right": "left"}
    page = section(people(prepared, [*said(prepared, other.get), *said(prepared, other.get, "Ben")], "artifacts/x"))
    assert "2 people judged 24 of 24 queries" in page and "the model is worse" in page and "alpha 1.00" in page
    assert page.count("<tr") == 1 + 5 and "0 (0 to 14)" in page and "To judge more" in page


def test_models_that_find_the_same_leave_nothing_to_judge(tmp_path):
    """Which is said, and a gate is not measured."""
    found = people(toy_tasks.prepared(tmp_path, other=1), [], "artifacts/x")
    assert "the very same pictures" in section(found) and preference(found)[0] != preference(found)[0]
