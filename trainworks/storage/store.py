"""Where stage outputs live: one folder per stage and key, all or nothing, checked before it is used again.

If the artifact root is on S3, what lies there decides, and every machine keeps verified copies of what it used:
``<root>/stages/<stage>/<key>/`` with ``manifest.json`` written last, and the same below ``artifacts`` here.
"""

import functools
import json
import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from trainworks.errors import IntegrityError
from trainworks.storage import manifest, places, s3

log = logging.getLogger(__name__)

EVERY = 3.0
"""Seconds between two lines about a stage with many outputs."""

DRAFT, ABANDONED = ".draft-", 7 * 86_400.0
"""How the name of what is being made begins, and the seconds after which nobody makes it any more: longer than any stage may take."""


def root() -> Path:
    """The artifact root on this machine: ``$TRAINWORKS_ARTIFACTS`` if it is a folder, else ``artifacts`` in the working directory."""
    place = places.of_environment("TRAINWORKS_ARTIFACTS", "artifacts")
    return Path("artifacts" if s3.is_uri(place) else place).absolute()


def remote() -> str | None:
    """The artifact root on S3, if ``$TRAINWORKS_ARTIFACTS`` names one."""
    place = places.of_environment("TRAINWORKS_ARTIFACTS")
    return place if s3.is_uri(place) else None


def check() -> None:
    """Refuse an artifact root on S3 that cannot be written, before anything is made.

    Raises:
        StorageError: with what to do about it.
    """
    if uri := remote():
        s3.check_writable(uri)


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
        _progress.close()
    if _have(final):
        log.log(level, "%-9s cached   %s", stage, key)
        if many:
            _progress.count(stage, "cached")
        return final
    from trainworks.progress import going_on  # a service, which makes nothing, need not have it

    log.log(level, "%-9s running  %s", stage, key)
    started = time.perf_counter()
    with _draft(stage) as draft:
        with nullcontext() if many else going_on(stage):
            make(draft)
        if not (draft / manifest.NAME).exists():  # a bundle writes its own
            manifest.write(draft, stage=stage)
        seconds = round(time.perf_counter() - started, 3)
        note(draft, seconds=seconds, key=key)
        _publish(draft, final)
    share(final)
    log.log(level, "%-9s done     %s in %.1f s", stage, key, seconds)
    if many:
        _progress.count(stage, "done")
    return final


class _Progress:
    """Progress of a stage with many outputs: a line every few seconds, and one when the next stage begins."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.logged = time.monotonic()

    def count(self, stage: str, outcome: str) -> None:
        self.counts.setdefault(stage, Counter())[outcome] += 1
        if time.monotonic() - self.logged > EVERY:
            self._log()

    def close(self) -> None:
        self._log()
        self.counts.clear()

    def _log(self) -> None:
        self.logged = time.monotonic()
        for stage, outcomes in self.counts.items():
            log.info("%-9s %s", stage, ", ".join(f"{outcome} {number}" for outcome, number in sorted(outcomes.items())))


_progress = _Progress()


def keep(stage: str, make: Callable[[Path], object], **facts: object) -> Path:
    """An output folder of *stage* under a name that is its content: the same content is kept once.

    *facts* of this run are noted beside it, replacing those of an earlier run.
    """
    with _draft(stage) as draft:
        make(draft)
        manifest.write(draft, stage=stage)
        final = draft.parent / manifest.digest(draft)[:20]
        _publish(draft, final)
    uri = _uri(final)
    if uri:
        _have(final)
    note(final, **facts)
    if uri:
        s3.upload(final / manifest.RUN, f"{uri}/{manifest.RUN}")
    return final


def share(folder: Path) -> None:
    """Copy *folder*, which lies below `root`, to the same place of the artifact root on S3, if there is one; its manifest last."""
    if (uri := _uri(folder)) is None:
        return
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    for name in sorted(names, key=lambda name: name == manifest.NAME):
        s3.upload(folder / name, f"{uri}/{name}")
    _settled.add(uri)


def send(path: Path) -> None:
    """Copy the file *path* to the same place of the artifact root on S3, if there is one and *path* lies below `root`."""
    if uri := _uri(path):
        s3.upload(path, uri)


def bring(path: Path) -> None:
    """Make the file *path* the one at the same place of the artifact root on S3, if there is one there; it is not verified."""
    if uri := _uri(path):
        with suppress(FileNotFoundError):
            s3.download(uri, path)


def remove(path: Path) -> None:
    """Delete the file *path*, here and at the same place of the artifact root on S3, if there is one."""
    path.unlink(missing_ok=True)
    if uri := _uri(path):
        s3.delete(uri)


def address(folder: Path) -> str:
    """Where others find *folder*: its URI if the artifact root is on S3, else its path."""
    return _uri(folder) or str(folder)


def local(address: str, whole: bool = True) -> Path | None:
    """The stage output at *address* as a folder of this machine; None if it is none of the artifact root on S3.

    If not *whole*, its manifest and facts are all that is surely there: `fetched` brings a file when it is read.

    Raises:
        IntegrityError: it is not whole there either.
    """
    if not (prefix := remote()) or not address.startswith(f"{prefix}/"):
        return None
    folder = root() / address.removeprefix(f"{prefix}/")
    enough = [address] if whole else [address, f"{address}/{manifest.NAME}"]
    if _is_settled(folder, *enough) or (_have(folder) if whole else _outline(address, folder)):
        return folder
    raise IntegrityError(f"{address}: missing or damaged; {_AGAIN}")


def fetched(path: Path) -> Path:
    """The file *path* of a stage output, brought here and verified if its folder is not whole yet; any other file as it is.

    Raises:
        IntegrityError: it is not whole on S3 either.
    """
    stages = root() / "stages"
    if not remote() or not path.is_relative_to(stages):
        return path
    stage, key, *inner = path.relative_to(stages).parts
    folder = stages / stage / key
    if not _is_settled(path, str(_uri(folder)), str(_uri(path))):
        _bring(folder, "/".join(inner))
    return path


_AGAIN = "run the workflow again, which makes it anew; on a Flyte cluster, whose cache still points here, with --overwrite-cache"


@contextmanager
def _draft(stage: str) -> Iterator[Path]:
    parent = root() / "stages" / stage
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=parent))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@functools.cache
def _remove_abandoned(parent: Path) -> None:
    """Remove the drafts that killed runs left in *parent*, once for each process."""
    for draft in parent.glob(f"{DRAFT}*"):
        with suppress(FileNotFoundError):  # another process removes it too
            if time.time() - draft.stat().st_mtime > ABANDONED:
                shutil.rmtree(draft) if draft.is_dir() else draft.unlink()


def _have(final: Path) -> bool:
    """Whether *final* is here and whole. With an artifact root on S3: whether it is what lies there, fetched if need be."""
    if (uri := _uri(final)) is None:
        return is_whole(final)
    if not _outline(uri, final):
        return False
    try:
        for name in manifest.read(final)["files"]:
            _bring(final, name)
        _require_own(final)
    except IntegrityError as error:
        log.warning("%s", error)
        return False
    _settled.add(uri)
    return True


def _bring(folder: Path, name: str) -> None:
    """Make the file *name* of *folder* the one that its manifest names, from S3 if it is not."""
    uri, stage = f"{_uri(folder)}/{name}", folder.parent.name
    try:
        manifest.verify(folder, name)
    except IntegrityError:
        log.debug("%-9s fetching %s of %s", stage, name, folder.name)
        _progress.count(stage, "fetched")
        with _draft(stage) as draft:
            shutil.copy(folder / manifest.NAME, draft)
            try:
                s3.download(uri, draft / name)
                manifest.verify(draft, name)
            except (FileNotFoundError, IntegrityError) as error:
                raise IntegrityError(f"{uri}: missing or damaged ({error}); {_AGAIN}") from error
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).replace(folder / name)
    _settled.add(uri)


def _outline(uri: str, final: Path) -> bool:
    """Whether *final* is at *uri*; then it has the manifest and the facts that lie there, and no files of another output."""
    published = s3.read(f"{uri}/{manifest.NAME}")
    if published is None:
        if whole := is_whole(final):  # made while S3 was out of reach, or damaged there since
            share(final)
        return whole
    path = final / manifest.NAME
    if not path.exists() or path.read_bytes() != published:
        with _draft(final.parent.name) as draft:
            (draft / manifest.NAME).write_bytes(published)
            shutil.rmtree(final, ignore_errors=True)
            draft.chmod(0o755)
            try:
                draft.rename(final)
            except OSError:  # another process was first
                if not path.exists() or path.read_bytes() != published:
                    raise
    if facts := s3.read(f"{uri}/{manifest.RUN}"):
        (final / manifest.RUN).write_bytes(facts)
    _settled.add(f"{uri}/{manifest.NAME}")
    return True


def _is_settled(path: Path, *uris: str) -> bool:
    return path.exists() and not _settled.isdisjoint(uris)


def _uri(path: Path) -> str | None:
    """Where *path* lies in the artifact root on S3, if there is one and *path* is below `root`."""
    uri = remote()
    return f"{uri}/{path.relative_to(root()).as_posix()}" if uri and path.is_relative_to(root()) else None


_settled: set[str] = set()
"""Folders and files on S3 whose copies here were found the same by this process, which need not ask again to read them."""


def is_whole(folder: Path) -> bool:
    """Whether *folder* is there and every file is the one its manifest names."""
    if not folder.exists():
        return False
    try:
        manifest.verify(folder)
        _require_own(folder)
        return True
    except IntegrityError as error:
        log.warning("%s; making it again", error)
        return False


def _require_own(folder: Path) -> None:
    """Refuse a *folder* that is named neither by the key its output was made for nor by its content: another was put there."""
    if folder.name not in (notes(folder).get("key"), manifest.digest(folder)[:20]):
        raise IntegrityError(f"{folder}: holds the output for another key")


def note(folder: Path, **facts: object) -> None:
    """Add *facts* of this run to *folder*: kept beside the content, no part of its digest."""
    content = json.dumps({**notes(folder), **facts}, indent=1, sort_keys=True) + "\n"
    with tempfile.NamedTemporaryFile("w", dir=folder.parent, prefix=DRAFT, delete=False) as draft:
        draft.write(content)
    Path(draft.name).chmod(0o644)
    Path(draft.name).replace(folder / manifest.RUN)  # another run may read it meanwhile


def notes(folder: Path) -> dict:
    """The facts noted in *folder*, or none; none either if they are damaged, since no manifest vouches for them."""
    try:
        facts = json.loads((folder / manifest.RUN).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _publish(draft: Path, final: Path) -> None:
    if final.is_file():
        final.unlink()
    elif final.exists() and not is_whole(final):
        shutil.rmtree(final, ignore_errors=True)
    draft.chmod(0o755)
    try:
        draft.rename(final)
    except OSError:
        if not is_whole(final):
            raise
