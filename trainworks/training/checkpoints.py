"""Checkpoints that a Lightning training goes on from, bit for bit, after kill -9, SIGTERM, a full disk or a damaged file.

A file is the hexadecimal SHA-256 of all that follows it, a line with the training's key and the step, and what ``torch.save``
wrote. It appears under its name only when it is whole and on the disk, in the place of the older of two.
"""

import contextlib
import hashlib
import logging
import os
import pickle
import re
import signal
import time
import uuid
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins import CheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from trainworks.errors import IntegrityError, StorageError
from trainworks.storage import store
from trainworks.training.ranks import ALONE, Rank

EVERY = 300.0
"""Seconds of training that a kill -9 costs at most, beside those of one validation."""

DIGEST = 64
HEADER = re.compile(rb" (\w+) (\d{1,18})\n")

DRAFT, ABANDONED = ".part", 3600.0
"""What the name of an unfinished checkpoint ends with, and how many seconds after its last byte whoever wrote it was killed."""

log = logging.getLogger(__name__)


def write(content: dict[str, Any], path: Path, key: str) -> None:
    """Write *content*, Lightning's own plus what hooks added, as a checkpoint of the training *key*; all of it or nothing.

    Raises:
        OSError, RuntimeError: the disk is full or fails; what was at *path* is still there.
    """
    draft = path.with_name(f"{path.stem}-{uuid.uuid4().hex}{DRAFT}")  # a name of its own: another run may save the same
    try:
        with draft.open("x+b") as file:
            file.write(b"0" * DIGEST + f" {key} {content['global_step']}\n".encode())
            torch.save(content, file)
            file.seek(DIGEST)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            file.write(digest.encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def read(path: Path, key: str) -> dict[str, Any]:
    """What :func:`write` wrote, tensors on CPU.

    Raises:
        IntegrityError: it is damaged, of another training, or holds what is neither a tensor nor a plain value; none of it is run.
    """
    with path.open("rb") as file:
        _verify(file, key)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise IntegrityError(f"{path}: not a checkpoint of tensors and plain values; delete it, and training starts anew") from error


def step(path: Path, key: str) -> int:
    """The step after which the checkpoint at *path* was written.

    Raises:
        IntegrityError: it is damaged, or of another training.
    """
    with path.open("rb") as file:
        return _verify(file, key)


def _verify(file: BufferedReader, key: str) -> int:
    """The step; *file* is then where the content starts."""
    digest = file.read(DIGEST)
    if hashlib.file_digest(file, "sha256").hexdigest().encode() != digest:
        raise IntegrityError(f"{file.name}: damaged, its SHA-256 is not the one it starts with")
    file.seek(DIGEST)
    header = HEADER.fullmatch(file.readline(1024))
    if not header:
        raise IntegrityError(f"{file.name}: not a checkpoint, it has no line with a training and a step")
    own_key, step = header[1].decode(), int(header[2])
    if own_key != key:
        raise IntegrityError(f"{file.name}: of another training ({own_key[:12]}…, not {key[:12]}…)")
    return step


def _sync(folder: Path) -> None:
    """Make a rename in *folder* outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Files(CheckpointIO):
    """The last two checkpoints of the training *key* in *folder*; ``newest`` is the newest that is whole, if any.

    Give it to a trainer as a plugin. A checkpoint that cannot be written costs a warning, not the training. Where *folder* lies below
    an artifact root on S3, every file is sent there too: whoever trains the same next, on whatever machine, goes on from it. Several
    runs of the same training may share the folder.
    """

    def __init__(self, folder: Path, key: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.key = folder, key
        for draft in self._drafts():
            with contextlib.suppress(FileNotFoundError):  # another run was first
                if time.time() - draft.stat().st_mtime > ABANDONED:
                    draft.unlink()
        self.paths = [folder / f"{key[:20]}-{turn}.ckpt" for turn in (0, 1)]
        self.newest = self._newest()

    def _newest(self) -> Path | None:
        steps: dict[Path, int] = {}
        for path in self.folder.glob("*.ckpt"):
            if path not in self.paths:
                log.info("resume    left alone: %s is of another training", path)
                continue
            try:
                steps[path] = step(path, self.key)
            except (IntegrityError, OSError) as error:
                log.warning("resume    left out: %s", error)
        return max(steps, key=lambda path: steps[path], default=None)

    def bring(self) -> None:
        """Take over what a run on another machine left in the artifact root on S3."""
        for path in self.paths:
            store.bring(path)
        self.newest = self._newest()

    def oldest(self) -> Path:
        """Where the next checkpoint goes."""
        return self.paths[self.newest == self.paths[0]]

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write *checkpoint* to *path*, and send it to the artifact root on S3; unless another run of the same is further there."""
        if (further := self._further(Path(path), checkpoint["global_step"])) is not None:
            log.info("resume    no checkpoint after step %d: another run of this has one after step %d", checkpoint["global_step"], further)
            return
        try:
            write(checkpoint, Path(path), self.key)
        except (OSError, RuntimeError) as error:  # a full disk, for one
            log.warning("resume    no checkpoint after step %d: %s: %s", checkpoint["global_step"], type(error).__name__, error)
            return
        self.newest = Path(path)
        try:
            store.send(self.newest)
        except StorageError as error:
            log.warning("resume    the checkpoint after step %d is on this machine only: %s", checkpoint["global_step"], error)

    def _further(self, path: Path, than: int) -> int | None:
        """The step of the checkpoint at *path*, if it is whole and of a later step *than* that; it is read whole only if it says so."""
        try:
            with path.open("rb") as file:
                file.seek(DIGEST)
                header = HEADER.fullmatch(file.readline(1024))
            return step(path, self.key) if header and int(header[2]) > than else None
        except (IntegrityError, OSError):
            return None

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """What is at *path*, verified, on CPU."""
        return read(Path(path), self.key)

    def remove_checkpoint(self, path: Any) -> None:
        """Remove the file at *path*, on S3 too."""
        store.remove(Path(path))

    def clear(self) -> None:
        """Remove both, what is left of unfinished ones, and the folder if nothing else is in it and it is no mount."""
        for path in self.paths:
            try:
                self.remove_checkpoint(path)
            except StorageError as error:  # what was trained is worth more than the room it takes
                log.warning("resume    a checkpoint of what is done stays: %s", error)
        for draft in self._drafts():
            draft.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _drafts(self) -> Iterator[Path]:
        return self.folder.glob(f"{self.key[:20]}-*{DRAFT}")


class Resumable(Protocol):
    """A loader of batches that knows where it is."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Checkpoints(Checkpoint):
    """Saves *files* at every epoch's end, :data:`EVERY` so many seconds, and after the step in which SIGTERM came.

    The end of the last epoch is saved only if so many seconds have passed: what it would hold is about to be the outcome.
    Give it to a trainer as a callback. After SIGTERM Lightning leaves with ``SIGTERMException``. An epoch's last step and
    the validation after it are one: SIGTERM is heeded after both. Several ranks leave after the same step, whichever of them
    it came to; only rank 0 writes.
    """

    def __init__(self, files: Files, loader: Resumable, rank: Rank = ALONE):
        self.files, self.loader, self.rank = files, loader, rank
        self.saved = time.monotonic()
        self.got_sigterm = False

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Of several ranks, none may leave by itself, which is what Lightning's own handler has it do."""
        if self.rank.of > 1:
            signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self.got_sigterm = True

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save in the middle of an epoch, when it is time or SIGTERM came."""
        if batch_idx + 1 == trainer.num_training_batches:
            return
        stops = self.rank.any(self.got_sigterm or trainer.received_sigterm)
        if stops or time.monotonic() - self.saved > EVERY:
            self._save(trainer, stops)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Save after the validation."""
        stops = self.rank.any(self.got_sigterm or trainer.received_sigterm)
        is_last = trainer.current_epoch + 1 == trainer.max_epochs
        if stops or not is_last or time.monotonic() - self.saved > EVERY:
            self._save(trainer, stops)

    def _save(self, trainer: pl.Trainer, stops: bool) -> None:
        if self.rank.number == 0:
            trainer.save_checkpoint(self.files.oldest(), weights_only=False)
        self.saved = time.monotonic()
        if stops and self.rank.of > 1:
            raise SIGTERMException

    # Lightning restores a loader's position by itself, but only in the middle of an epoch.
    def state_dict(self) -> dict[str, Any]:
        """Where the loader is."""
        return {"loader": self.loader.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the loader where it was."""
        self.loader.load_state_dict(state["loader"])
