"""The page on which people judge prepared tasks, blind, by mouse, keyboard or thumb."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, redirect, request, send_file, url_for

from trainworks.errors import DataError
from trainworks.photostock.evaluation.found import lot
from trainworks.photostock.judging import local
from trainworks.photostock.judging.judgements import CHOICES, Judgements, latest
from trainworks.photostock.judging.outcome import in_words, outcome
from trainworks.photostock.judging.table import table
from trainworks.release import stored
from trainworks.report.page import render
from trainworks.storage import places

SCHEMA = 1

LONGEST_NAME = 60
"""Letters of the name of who judges; more are cut."""

KEYS = """addEventListener("keydown", event => {
  const button = document.querySelector(`[data-keys~="${event.key}"]`);
  if (button && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); button.click(); }
});
"""
"""What presses the button that names a key."""

_PICTURE = re.compile(r"pictures/[\w-]+\.webp")


@dataclass(frozen=True)
class Tasks:
    """``tasks.json`` and where it lies, and ``key.json``, None where it was kept back."""

    folder: Path
    content: dict[str, Any]
    key: dict[str, Any] | None

    @property
    def pictures(self) -> set[str]:
        """The files that a person is shown."""
        return {name for task in self.content["tasks"] for side in ("left", "right") for name in task[side]}


@contextmanager
def opened(place: str) -> Iterator[Tasks]:
    """The tasks at *place*: what the pipeline prepared, here or on S3, or a copy of its folder ``judging`` alone.

    Raises:
        DataError: these are no tasks, or of a schema that this version does not read.
        IntegrityError, StorageError, ValueError: *place* is none, damaged, or S3 does not give it.
    """
    place = places.parse("TASKS", place)
    if Path(place, "tasks.json").is_file():
        yield _tasks(Path(place), Path(place).parent / "key.json")
        return
    with stored.locate(place).folder() as folder:
        yield _tasks(folder / "judging", folder / "key.json")


def _tasks(folder: Path, key: Path) -> Tasks:
    try:
        tasks = Tasks(folder, json.loads((folder / "tasks.json").read_bytes()), json.loads(key.read_bytes()) if key.is_file() else None)
        if tasks.content["schema"] != SCHEMA:
            raise ValueError(f"schema {tasks.content['schema']!r}, this trainworks reads {SCHEMA}")
        if strange := sorted(name for name in tasks.pictures if not _PICTURE.fullmatch(name)):
            raise ValueError(f"it names {strange[0]!r}, which is no picture of it")
        if not tasks.content["tasks"]:
            raise ValueError("both models find the same for every query, so that there is nothing to judge")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: no tasks to judge ({error}); expected what the pipeline prepared") from error
    return tasks


def result(tasks: Tasks, judgements: Judgements) -> dict[str, Any] | None:
    """The outcome so far, None where the key was kept back.

    Raises:
        DataError: as `outcome`.
    """
    return outcome(tasks.content, tasks.key, judgements.given) if tasks.key else None


def application(tasks: Tasks, judgements: Judgements) -> Flask:
    """The pages: who judges, one for each task, and the end."""
    app = local.application(__name__)
    listed, pictures = {task["id"]: task for task in tasks.content["tasks"]}, tasks.pictures

    def page(name: str, **content: Any) -> str:
        return render("photostock/judging/judge.html", shown=name, number=len(listed), **content)

    def in_order(judge: str) -> Sequence[str]:
        """Each person has an order of their own, so that those who stop early have not all judged the same."""
        return sorted(listed, key=lambda id: lot(0, judge, id))

    def answers(judge: str) -> Mapping[str, str]:
        return {task: choice for (who, task), choice in latest(judgements.given).items() if who == judge}

    def onward(judge: str) -> Response:
        done = answers(judge)
        left = next((id for id in in_order(judge) if id not in done), None)
        return redirect(url_for("task", id=left, judge=judge) if left else url_for("end", judge=judge), 303)  # type: ignore[return-value]

    @app.get("/")
    def start() -> str | Response:
        judge = _name(request.args.get("judge", ""))
        return onward(judge) if judge else page("start")

    @app.get("/task/<id>")
    def task(id: str) -> str | Response:
        judge = _name(request.args.get("judge", ""))
        if id not in listed:
            abort(404)
        if not judge:
            return redirect(url_for("start"), 303)  # type: ignore[return-value]
        order, done = in_order(judge), answers(judge)
        before = order[order.index(id) - 1] if order.index(id) else None
        return page("task", task=listed[id], judge=judge, done=len(done), place=order.index(id) + 1, chosen=done.get(id), before=before)

    @app.post("/task/<id>")
    def answer(id: str) -> Response:
        judge, choice = _name(request.form.get("judge", "")), request.form.get("choice", "")
        if id not in listed or not judge or choice not in CHOICES:
            abort(400)
        judgements.add(tasks.content["id"], id, judge, choice)
        return onward(judge)

    @app.get("/end")
    def end() -> str:
        judge, found = _name(request.args.get("judge", "")), result(tasks, judgements)
        words, counted = (in_words(found), table(found)) if found else ([], None)
        return page("end", judge=judge, done=len(answers(judge)), words=words, counted=counted, file=judgements.path.name)

    @app.get("/pictures/<name>")
    def picture(name: str) -> Response:
        if f"pictures/{name}" not in pictures:
            abort(404)
        return send_file(tasks.folder.absolute() / "pictures" / name, max_age=3600)

    @app.get("/keys.js")
    def keys() -> Response:
        return Response(KEYS, mimetype="text/javascript")

    return app


def _name(text: str) -> str:
    """The name of who judges: on one line, and not too long."""
    return " ".join(text.split())[:LONGEST_NAME].strip()
