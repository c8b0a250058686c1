"""What people said: a line of JSON for every judgement, kept when it is given, and read again whatever happened in between."""

import csv
import hashlib
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainworks.errors import DataError
from trainworks.storage import places

CHOICES = ("left", "right", "same", "bad")
"""The left side, the right one, both the same, both bad."""

EXPECTED = 'JSON Lines as "judge" writes them, or a CSV file of a labelling tool with the columns tasks, task and choice'

_JUDGES = ("judge", "annotator", "annotator_email")
"""Columns of a labelling tool that name who judged."""


@dataclass(frozen=True)
class Judgement:
    """Which of `CHOICES` the person *judge* gave for the *task* of the set *tasks*, and when: *at* is UTC, ISO 8601, empty if unknown."""

    tasks: str
    task: str
    judge: str
    choice: str
    at: str = ""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, str):
                raise ValueError(f"{name} = {value!r}: expected text")
        if self.choice not in CHOICES:
            raise ValueError(f"choice = {self.choice!r}: expected one of {', '.join(CHOICES)}")


class Judgements:
    """The judgements in a file of this machine, to which more are added; safe to share between threads.

    Each is on the disk before `add` returns. What a process that was killed while it wrote has left of a line is cut off.
    """

    def __init__(self, path: Path):
        """Read the file *path*, or begin it.

        Raises:
            DataError: a line is no judgement.
        """
        self.path = path
        self.given = read(path) if path.exists() else []
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            if path.stat().st_size:
                whole, _, last = path.read_bytes().rpartition(b"\n")
                if _is_whole(last.decode(errors="replace")):
                    file.write(b"\n" if last else b"")
                else:
                    file.truncate(len(whole) + 1 if whole else 0)

    def add(self, tasks: str, task: str, judge: str, choice: str) -> None:
        """Keep one more.

        Raises:
            ValueError: *choice* is none of `CHOICES`.
        """
        judgement = Judgement(tasks, task, judge, choice, datetime.now(UTC).isoformat(timespec="seconds"))
        line = json.dumps(asdict(judgement), ensure_ascii=False) + "\n"
        with self._lock, self.path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
            self.given.append(judgement)


def read(place: str | Path) -> list[Judgement]:
    """The judgements in the file at *place*, here or on S3, in the order in which they were given.

    The last line may have been cut off by the end of its process, and is then left out.

    Raises:
        DataError: there is no such file, or a line is no judgement; says which.
        ValueError, StorageError: *place* is none, or S3 does not give it.
    """
    place = places.parse("judgements", place)
    try:
        with places.opened(place) as path:
            return _parsed(place, path.read_bytes())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{place}: no readable judgements ({error}); expected {EXPECTED}") from error


def digest(place: str) -> str:
    """What tells the content of the file at *place* from another; empty for an empty *place*.

    Raises:
        DataError, ValueError, StorageError: as `read`.
    """
    if not place.strip():
        return ""
    lines = "\n".join(json.dumps(asdict(judgement)) for judgement in read(place))
    return hashlib.sha256(lines.encode()).hexdigest()


def _parsed(place: str, content: bytes) -> list[Judgement]:
    text = content.decode("utf-8-sig")
    if place.lower().endswith(".csv"):
        csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # labelling tools give the pictures back, as text
        return [_judgement(place, number, _of_tool(row)) for number, row in enumerate(csv.DictReader(text.splitlines()), 2)]
    *lines, last = text.split("\n")
    lines += [last] if _is_whole(last) else []
    return [_judgement(place, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _is_whole(line: str) -> bool:
    """Whether *line*, the last one of a file and without its end, is more than what a killed process left of one."""
    try:
        return not line or isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _of_tool(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) or "" for name in ("tasks", "task", "choice")} | {
        "judge": next((str(row[name]) for name in _JUDGES if row.get(name)), "somebody")
    }


def _judgement(place: str, number: int, given: str | dict[str, Any]) -> Judgement:
    try:
        return Judgement(**(json.loads(given) if isinstance(given, str) else given))
    except (ValueError, TypeError) as error:
        raise DataError(f"{place}: line {number} is no judgement ({error}); expected {EXPECTED}") from error


def latest(given: Iterable[Judgement]) -> dict[tuple[str, str], str]:
    """(judge, task) → choice: who judges a task again has changed their mind."""
    return {(judgement.judge, judgement.task): judgement.choice for judgement in given}
