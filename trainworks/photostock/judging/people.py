"""What people have said of this run: the judgements that lie beside the releases, of the tasks that the run prepared."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from trainworks.photostock.judging.judgements import Judgement, read
from trainworks.photostock.judging.outcome import outcome
from trainworks.storage import s3, store

FOLDER = "judgements"
"""The folder beside the versions of a release with files of judgements: JSON Lines, or CSV of a labelling tool."""

FILE = "judgements.jsonl"

_SUFFIXES = (".jsonl", ".csv")


def beside(release: str) -> list[Judgement]:
    """All judgements that lie beside the versions at *release*, a folder or ``s3://``, file after file by name.

    Raises:
        DataError: a file holds something else.
    """
    place = f"{release}/{FOLDER}"
    names = [entry.name for entry in s3.listing(place)] if s3.is_uri(place) else [path.name for path in Path(place).glob("*")]
    return [judgement for name in sorted(names) if name.lower().endswith(_SUFFIXES) for judgement in read(f"{place}/{name}")]


def kept(given: Iterable[Judgement]) -> Path:
    """The stage output that holds the *given* judgements, under a name that is its content."""
    lines = "".join(json.dumps(asdict(judgement), ensure_ascii=False) + "\n" for judgement in given)
    return store.keep(FOLDER, lambda folder: (folder / FILE).write_text(lines, encoding="utf-8"))


def newer(given: Iterable[Judgement], version: str) -> bool:
    """Whether one of the *given* judgements came after *version* was made, whose name begins with its time; any did, if there is none."""
    made = datetime.strptime(version[:15], "%Y%m%d-%H%M%S").isoformat() if version else ""
    return any(judgement.at > made or not judgement.at for judgement in given)


def people(prepared: Path, judgements: Sequence[Judgement], place: str) -> dict[str, Any]:
    """The `outcome` of the *prepared* tasks, which lie at *place* for others, and ``judge``, the command that people judge them with.

    Of *judgements* those of other tasks, such as an earlier run's, do not count; ``of_other_tasks`` is their number.
    """
    tasks, key = (json.loads((prepared / name).read_bytes()) for name in ("judging/tasks.json", "key.json"))
    own = [judgement for judgement in judgements if judgement.tasks == tasks["id"]]
    command = f"python -m trainworks photostock judge {_short(place)}"
    return outcome(tasks, key, own) | {"judge": command, "of_other_tasks": len(judgements) - len(own)}


def _short(place: str) -> str:
    """*place* as it is typed here: from the working directory, if it lies below."""
    return place.removeprefix(f"{Path.cwd()}/")
