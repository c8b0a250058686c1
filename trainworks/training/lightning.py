"""Lightning with exact resume: a training that is killed and run again makes the very weights of one that was not.

A room brings a :class:`Learner`, a loader of batches that knows where it is, and what to validate on. Several devices are ranks, each
with its part of every batch: to Lightning each is a training on one device, whose own strategy for several averages only what learns
from the first step on.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor, TQDMProgressBar
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainworks.errors import Interrupted, TrainingError
from trainworks.progress import Bar
from trainworks.training import ranks, tracking
from trainworks.training.checkpoints import Checkpoints, Files, Resumable
from trainworks.training.ranks import ALONE, Rank

PROGRESS = ("history", "losses", "best")

log = logging.getLogger(__name__)


class Learner(pl.LightningModule):
    """A net that stops when its ``objective`` has not become better for *patience* validations, and remembers where it was best.

    A subclass names ``objective``, one of the scores it gives to :meth:`record`, and sets ``optimised``, the optimiser's groups of
    parameters, and ``learning``, what :func:`learning` finds with them. ``history`` has a row per validation, from before training
    on. ``best`` are the weights that training changes, as they were in the best validation (in the last one, if the net *keeps_last*);
    of averaged weights the average. A checkpoint holds both, and no frozen weights. Each *rank* has its part of a batch; gradients
    are those of all, if the loss is the same on every rank.
    """

    objective: str
    better: Literal["higher", "lower"] = "higher"

    def __init__(self, seed: int, patience: int, rank: Rank = ALONE, keeps_last: bool = False):
        super().__init__()
        self.seed, self.patience, self.rank, self.keeps_last = seed, patience, rank, keeps_last
        self.optimised: list[dict[str, Any]] = []
        self.learning: set[str] = set()
        self.history: list[dict[str, Any]] = []
        self.losses: list[float] = []
        self.validated: dict[str, Tensor] = {}
        self.best: dict[str, Tensor] = {}

    @property
    def is_fitting(self) -> bool:
        """False in the validation before training."""
        return self.trainer.state.fn == TrainerFn.FITTING

    def on_train_start(self) -> None:
        """Training may start in the middle of an epoch, or be over."""
        self.trainer.should_stop = self._is_settled()

    def on_train_epoch_start(self) -> None:
        """The mean loss of a row is that of its epoch."""
        self.losses = []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout is a function of (seed, step, rank), whatever ran before."""
        torch.manual_seed(self.seed * 1_000_003 + self.global_step + (self.rank.number << 48))

    def on_after_backward(self) -> None:
        """Gradients are those of the whole batch."""
        self.rank.average(parameter.grad for group in self.optimised for parameter in group["params"])

    def on_validation_epoch_start(self) -> None:
        """Keep what is validated: where weights are averaged, they are in place only until the epoch's end."""
        if self.is_fitting:
            self.validated = {name: value.to("cpu", copy=True) for name, value in self.state_dict().items() if name in self.learning}

    def record(self, scores: Mapping[str, float]) -> None:
        """Add the *scores* of a validation to ``history``, under its epoch (0 before training); keep its weights if they are the best."""
        fitting = self.is_fitting
        row: dict[str, Any] = {
            "epoch": self.current_epoch + 1 if fitting else 0,
            "step": self.global_step,
            "train_loss": float(np.mean(self.losses)) if fitting else None,
            "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"] if fitting else None,
            **scores,
        }
        if fitting and (self.keeps_last or all(self._worth(row) > self._worth(before) for before in self.history[1:])):
            self.best = self.validated
        self.history.append(row)
        self.trainer.should_stop = self._is_settled()
        log.info("metrics   %s", " ".join(f"{name}={value:.6g}" for name, value in row.items() if value is not None))

    def marked_history(self) -> list[dict[str, Any]]:
        """``history``, with ``best`` in every row: whether ``best`` are its weights."""
        trained = self.history[1:]
        best = trained[-1] if self.keeps_last else max(trained, key=self._worth)
        return [{**row, "best": row is best} for row in self.history]

    def _worth(self, row: Mapping[str, Any]) -> float:
        return row[self.objective] if self.better == "higher" else -row[self.objective]

    def _is_settled(self) -> bool:
        worths = [self._worth(row) for row in self.history[1:]]
        return bool(worths) and len(worths) - 1 - worths.index(max(worths)) >= self.patience

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen, and add what Lightning does not know."""
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in self.learning}
        checkpoint["learner"] = {name: getattr(self, name) for name in PROGRESS}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The frozen weights are those that the net was built with."""
        checkpoint["state_dict"] = {**self.state_dict(), **checkpoint["state_dict"]}
        for name in PROGRESS:
            setattr(self, name, checkpoint["learner"][name])


def learning(net: nn.Module, optimised: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names in the state dict of *net* that training changes: what is *optimised*, and the statistics of layers that hold some of it."""
    parameters = {id(parameter) for group in optimised for parameter in group["params"]}

    def changes(name: str, value: Tensor) -> bool:
        if isinstance(value, nn.Parameter):
            return id(value) in parameters
        own = list(net.get_submodule(name.rpartition(".")[0]).parameters(recurse=False))
        return not own or any(id(parameter) in parameters for parameter in own)

    return {name for name, value in net.state_dict(keep_vars=True).items() if changes(name, value)}


class Parts(NamedTuple):
    """What one process trains with: batches of an epoch from ``loader``, and after each epoch all of ``validation``.

    ``validation`` is any iterable but a list, a tuple or a dict, which Lightning takes for several.
    """

    learner: Learner
    loader: Resumable
    validation: Iterable[Any]
    callbacks: Sequence[pl.Callback] = ()


class Plan(NamedTuple):
    """How a training runs, whatever it trains; every process is given it.

    ``precision`` is Lightning's word for it. Checkpoints lie in the folder ``resume`` under ``key``, a digest of all that the weights
    depend on. Curves go to the folder ``logs``, with ``knobs`` by name; a table of runs shows the last ``metric``.
    """

    epochs: int
    devices: int
    precision: Literal["32-true", "bf16-mixed"]
    resume: Path
    key: str
    logs: Path
    knobs: Mapping[str, Any]
    metric: str

    def files(self) -> Files:
        """The training's checkpoints."""
        return Files(self.resume, self.key)


def require_gpus(config: Any) -> None:
    """Refuse more ``devices`` in a section of knobs than there are GPUs; without any GPU devices are processes."""
    if torch.cuda.is_available() and config.devices > (count := torch.cuda.device_count()):
        config.refuse("devices", f"this machine has {count} GPU{'s'[: count > 1]}: lower it, or take a machine with more")


def train(parts: Parts, plan: Plan, files: Files, build: Callable[[Rank], Parts], scratch: Path) -> None:
    """Train ``parts.learner`` from the newest of *files*, if there is one: its ``best`` and ``history`` are then what was reached.

    With several devices as many processes train, each on what *build* makes in it, and ``parts`` only get the outcome, by way of the
    folder *scratch*. *build* must be picklable, such as a ``partial`` of a function of a module.

    Raises:
        TrainingError: a learner raised it, or a process was killed; the best weights so far stay in the checkpoint.
        Interrupted: SIGTERM came, and a checkpoint was written.
    """
    files.bring()
    if plan.devices == 1:
        _run(parts, plan, files, ALONE)
        return
    ranks.launch(plan.devices, _train_part, build, plan, scratch, scratch=scratch)
    parts.learner.best = load_file(scratch / "best.safetensors")
    parts.learner.history = json.loads((scratch / "history.json").read_text())


def _train_part(rank: Rank, build: Callable[[Rank], Parts], plan: Plan, scratch: Path) -> None:
    """What a rank does; the first one leaves what was reached in *scratch*."""
    parts = build(rank)
    _run(parts, plan, plan.files(), rank)
    if rank.number == 0:
        save_file({name: value.contiguous() for name, value in parts.learner.best.items()}, scratch / "best.safetensors")
        (scratch / "history.json").write_text(json.dumps(parts.learner.history))


def _run(parts: Parts, plan: Plan, files: Files, rank: Rank) -> None:
    """Train in this process; only rank 0 shows what happens."""
    callbacks = [*parts.callbacks, Checkpoints(files, parts.loader, rank)]
    shows: dict[str, Any] = {"logger": [], "enable_progress_bar": False}
    if rank.number == 0:
        callbacks = [LearningRateMonitor("step"), *callbacks]
        callbacks.append(TQDMProgressBar() if sys.stderr.isatty() else _Steps())
        shows = {"logger": tracking.loggers(plan.logs, plan.logs.name, plan.knobs, plan.metric), "enable_progress_bar": sys.stderr.isatty()}
    lightning = trainer(plan, rank, callbacks=callbacks, plugins=[files], **shows)
    try:
        if files.newest:
            log.info("resume    goes on from %s", files.newest)
        else:
            validate(lightning, parts.learner, parts.validation)
        lightning.fit(parts.learner, parts.loader, parts.validation, ckpt_path=files.newest)
    except SIGTERMException as stop:
        raise _interrupted(parts.learner) from stop
    except TrainingError:
        log.error("stopped   the best weights so far stay with the checkpoints")
        raise


class _Steps(pl.Callback):
    """How far training is, for a log; Lightning's own bar also shows the loss, and needs a terminal."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        steps = (trainer.max_epochs or 1) * int(trainer.num_training_batches)
        self.bar = Bar(desc="training", total=steps, initial=trainer.global_step, unit=" steps")

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.bar.update(trainer.global_step - self.bar.n)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.bar.close()


def validate(lightning: pl.Trainer, learner: Learner, validation: Iterable[Any]) -> float:
    """The objective of the weights as they are.

    Raises:
        Interrupted: SIGTERM came meanwhile.
    """
    value = lightning.validate(learner, validation, verbose=False)[0][learner.objective]
    if learner.rank.any(lightning.received_sigterm):  # which Lightning heeds only while it fits
        raise _interrupted(learner)
    return value


def _interrupted(learner: Learner) -> Interrupted:
    return Interrupted(f"SIGTERM stopped the training after step {learner.global_step}: run it again, it goes on from there")


def trainer(plan: Plan, rank: Rank = ALONE, **how: Any) -> pl.Trainer:
    """Lightning's trainer for this process."""
    return pl.Trainer(
        accelerator="auto" if rank.of == 1 else "cuda" if torch.cuda.is_available() else "cpu",
        devices=[rank.number] if rank.of > 1 and torch.cuda.is_available() else 1,
        precision=plan.precision,
        max_epochs=plan.epochs,
        deterministic="warn",  # not every CUDA kernel has a deterministic twin
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        **how,
    )
