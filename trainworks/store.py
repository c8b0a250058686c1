"""Where stage outputs live: one folder per stage and key, all or nothing, checked before it is used again."""

import json
import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainworks import manifest
from trainworks.errors import IntegrityError

log = logging.getLogger(__name__)

EVERY = 3.0
"""Seconds between two lines about a stage with many outputs."""


def root() -> Path:
    """The artifact root: ``$TRAINWORKS_ARTIFACTS``, or ``artifacts`` in the working directory."""
    return Path(os.environ.get("TRAINWORKS_ARTIFACTS", "artifacts")).absolute()


def remember(stage: str, key: str, make: Callable[[Path], object], many: bool = False) -> Path:
    """The output folder of *stage* for *key*: the one that is there if it is whole, else made now.

    *key* must name everything the output depends on. *make* fills an empty folder; the folder
    appears under its final name only when complete, so a killed run leaves nothing half-written
    and two runs at once do not disturb each other. A stage with *many* outputs logs how many now
    and then, any other a line when it starts and ends.
    """
    final = root() / "stages" / stage / key
    level = logging.DEBUG if many else logging.INFO
    if not many:
        _many.tell()
    if is_whole(final):
        log.log(level, "%-9s cached   %s", stage, key)
        if many:
            _many.count(stage, "cached")
        return final
    log.log(level, "%-9s running  %s", stage, key)
    started = time.perf_counter()
    with _draft(stage) as draft:
        make(draft)
        if not (draft / manifest.NAME).exists():  # a bundle writes its own
            manifest.write(draft, stage=stage)
        seconds = round(time.perf_counter() - started, 3)
        note(draft, seconds=seconds)
        _publish(draft, final)
    log.log(level, "%-9s done     %s in %.1f s", stage, key, seconds)
    if many:
        _many.count(stage, "done")
    return final


class _Many:
    """Progress of a stage with many outputs: a line every few seconds, and one when the next stage begins."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.told = time.monotonic()

    def count(self, stage: str, outcome: str) -> None:
        self.counts.setdefault(stage, Counter())[outcome] += 1
        if time.monotonic() - self.told > EVERY:
            self._tell()

    def tell(self) -> None:
        self._tell()
        self.counts.clear()

    def _tell(self) -> None:
        self.told = time.monotonic()
        for stage, outcomes in self.counts.items():
            log.info("%-9s %s", stage, ", ".join(f"{outcome} {number}" for outcome, number in sorted(outcomes.items())))


_many = _Many()


def keep(stage: str, make: Callable[[Path], object], **facts: object) -> Path:
    """An output folder of *stage* under a name that is its content: the same content is kept once.

    *facts* of this run are noted beside it, replacing those of an earlier run.
    """
    with _draft(stage) as draft:
        make(draft)
        manifest.write(draft, stage=stage)
        final = draft.parent / manifest.digest(draft)[:20]
        _publish(draft, final)
    note(final, **facts)
    return final


@contextmanager
def _draft(stage: str) -> Iterator[Path]:
    parent = root() / "stages" / stage
    parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=parent))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def is_whole(folder: Path) -> bool:
    """Whether *folder* is there and every file is the one its manifest names."""
    if not folder.exists():
        return False
    try:
        manifest.verify(folder)
        return True
    except IntegrityError as error:
        log.warning("%s; making it again", error)
        return False


def note(folder: Path, **facts: object) -> None:
    """Add *facts* of this run to *folder*: kept beside the content, no part of its digest."""
    known = notes(folder)
    (folder / manifest.RUN).write_text(json.dumps({**known, **facts}, indent=1, sort_keys=True) + "\n")


def notes(folder: Path) -> dict:
    """The facts noted in *folder*, or none."""
    path = folder / manifest.RUN
    return json.loads(path.read_text()) if path.exists() else {}


def _publish(draft: Path, final: Path) -> None:
    if final.exists() and not is_whole(final):
        shutil.rmtree(final, ignore_errors=True)
    draft.chmod(0o755)
    try:
        draft.rename(final)
    except OSError:
        if not is_whole(final):
            raise
