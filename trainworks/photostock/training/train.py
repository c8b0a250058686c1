"""Fine-tuning: the untouched towers and a dataset in, the towers of the best validation recall out."""

import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor, TQDMProgressBar, WeightAveraging
from pytorch_lightning.utilities.exceptions import SIGTERMException
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainworks import code
from trainworks.errors import Interrupted, TrainingError
from trainworks.photostock.model import towers, tune
from trainworks.photostock.training import averaging, samples
from trainworks.photostock.training.dataset import Gallery
from trainworks.photostock.training.finetuner import Finetuner
from trainworks.photostock.training.inputs import Inputs
from trainworks.photostock.training.knobs import Pairs, Precision, TrainConfig
from trainworks.storage import manifest, store
from trainworks.training import checkpoints, ranks, tracking
from trainworks.training.ranks import ALONE, Rank, Share

LIGHTNING_PRECISION: dict[Precision, Any] = {Precision.FP32: "32-true", Precision.BF16: "bf16-mixed"}

Attempt = AbstractContextManager[Share | None]

log = logging.getLogger(__name__)


def finetune(
    untouched: Path,
    dataset: Path,
    shards: list[Path],
    config: TrainConfig,
    logs: Path,
    out: Path,
    resume: Path,
    share: Share | None = None,
) -> None:
    """Fine-tune the checkpoint *untouched* and write the best one to *out*, with its history, parameter groups and samples.

    A tower that stays as it is for the whole run is run once per picture or text, and only its head trains on the result;
    a picture tower only where there is no image augmentation, a text tower where texts are drawn from the catalogue unchanged.
    On CPU, the same inputs, seed, thread count and package versions give the same weights, bit for bit.
    TensorBoard's curves, samples and knobs go to *logs*.

    Checkpoints go to the folder *resume*, each also to *share* if given. What is killed and run again with the same *resume*
    goes on from the last whole one, if inputs, knobs, code and packages are the same, to the same weights, bit for bit. At the
    end they are removed; several trainings may use one folder.

    With ``devices`` above 1, pictures and kept features are made here, once, and as many processes train on them, each with its
    part of every batch. The weights are then those of one device but for rounding, and for dropout, which they draw each for itself.

    Raises:
        ValueError: there are fewer GPUs than ``devices``, or batch norm learns and ``devices`` are not GPUs.
        DataError: too few pictures for one batch.
        TrainingError: the loss or a gradient is not finite; the best weights so far stay in the checkpoint, under ``finetuner.best``.
        Interrupted: SIGTERM came, and a checkpoint was written.
        LanguageError: ``tune`` does not fit this backbone.
    """
    _require_gpus(config)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        training = _Training(untouched, dataset, shards, config, logs, resume, Path(scratch))
        inputs, tuner = training.prepare()
        samples.write(inputs.samples(), out)
        start = {name: value.clone() for name, value in tuner.state_dict().items()}
        files = training.files(share)
        if config.devices == 1:
            training.run(inputs, tuner, files)
        else:
            ranks.launch(config.devices, _train_part, training, scratch=Path(scratch), share=share)
            training.bring_back(tuner)
        history = list(tuner.history)
        chosen = {**start, **tuner.best}
        if averaging.parse(config.average).wise:
            chosen = _wise(tuner, start, chosen, inputs.gallery, out)
        tuner.load_state_dict(chosen)
    tune.merge(tuner.model)
    towers.save(tuner.towers, out)
    best_epoch = (max(history[1:], key=lambda row: row["val_recall"]) if config.pairs is Pairs.TRUE else history[-1])["epoch"]
    history = [{**row, "best": row["epoch"] == best_epoch} for row in history]
    (out / "history.json").write_text(json.dumps(history, indent=1) + "\n")
    (out / "groups.json").write_text(json.dumps(tuner.groups, indent=1) + "\n")
    files.clear()


def finetune_here(
    untouched: Path, dataset: Path, shards: list[Path], config: TrainConfig, out: Path, attempt: Callable[[Path], Attempt]
) -> None:
    """`finetune` with its curves and checkpoints in the artifact root; what it ran on is noted in *out*, for the report.

    *attempt* is given the folder of checkpoints, and gives what each of them is shared by, for as long as training takes.
    """
    logs, resume = store.root() / "tensorboard" / f"{datetime.now():%Y%m%d-%H%M%S}", store.root() / "resume"
    with attempt(resume) as share:
        finetune(untouched, dataset, shards, config, logs, out, resume, share)
    store.share(logs)
    gpus = min(config.devices, torch.cuda.device_count())
    store.note(out, machine="gpu" if gpus else "cpu", machines=max(gpus, 1))


class _Training(NamedTuple):
    """What each process of a training is told."""

    untouched: Path
    dataset: Path
    shards: list[Path]
    config: TrainConfig
    logs: Path
    resume: Path
    scratch: Path

    def prepare(self, rank: Rank = ALONE) -> tuple[Inputs, Finetuner]:
        """Inputs and model as they are before the first step, the same in every process."""
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # hints at hardware and products
        warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec", module="pytorch_lightning")
        warnings.filterwarnings("ignore", "It is recommended to use `self.log", module="pytorch_lightning")  # all ranks log the same
        pl.seed_everything(self.config.seed, verbose=False)
        model = towers.read(self.untouched)
        inputs = Inputs(model, self.untouched, self.dataset, self.shards, self.config, self.scratch, rank)
        return inputs, Finetuner(model, self.config, self.config.epochs * len(inputs.pairs), rank)

    def files(self, share: Share | None) -> checkpoints.Files:
        """Where its checkpoints are."""
        return checkpoints.Files(self.resume, _identity(self.untouched, self.dataset, self.config), share)

    def run(self, inputs: Inputs, tuner: Finetuner, files: checkpoints.Files, rank: Rank = ALONE) -> None:
        """Train, from the newest of *files* if there is one; only rank 0 shows what happens."""
        average = averaging.parse(self.config.average)
        callbacks: list[pl.Callback] = [checkpoints.Checkpoints(files, inputs.pairs, rank)]
        if average.ema:
            callbacks.insert(0, WeightAveraging(avg_fn=averaging.moving(average.ema)))
        loggers = []
        if rank.number == 0:
            knobs = {name: getattr(value, "value", value) for name, value in vars(self.config).items()}
            loggers = tracking.loggers(self.logs, self.logs.name, knobs, metric="val_R@10")
            tracking.show(loggers, "samples", np.stack([sample.pixels for sample in inputs.samples()]), step=0)
            callbacks = [LearningRateMonitor("step"), TQDMProgressBar(), *callbacks]
        shows: dict[str, Any] = {"logger": loggers, "enable_progress_bar": rank.number == 0}
        trainer = _trainer(self.config, rank, callbacks=callbacks, plugins=[files], **shows)
        _fit(trainer, tuner, inputs, files.newest)

    def hand_back(self, tuner: Finetuner) -> None:
        """Leave for the process that launched the ranks what training made."""
        save_file({name: value.contiguous() for name, value in tuner.best.items()}, self.scratch / "best.safetensors")
        (self.scratch / "history.json").write_text(json.dumps(tuner.history))

    def bring_back(self, tuner: Finetuner) -> None:
        """Give *tuner* what :meth:`hand_back` left."""
        tuner.best = load_file(self.scratch / "best.safetensors")
        tuner.history = json.loads((self.scratch / "history.json").read_text())


def _train_part(rank: Rank, share: Share | None, training: _Training) -> None:
    """What a rank does."""
    inputs, tuner = training.prepare(rank)
    training.run(inputs, tuner, training.files(share), rank)
    if rank.number == 0:
        training.hand_back(tuner)


def _require_gpus(config: TrainConfig) -> None:
    """Refuse more devices than there are; without any GPU they are processes."""
    if torch.cuda.is_available() and config.devices > (count := torch.cuda.device_count()):
        config.refuse("devices", f"this machine has {count} GPU{'s'[: count > 1]}: lower it, or take a machine with more")


def _identity(untouched: Path, dataset: Path, config: TrainConfig) -> str:
    """A digest of all that a training depends on."""
    made_from = [
        manifest.digest(untouched),
        manifest.digest(dataset),
        repr(config),
        torch.__version__,
        pl.__version__,
        code.digest(__name__),
    ]
    return hashlib.sha256("\n".join(made_from).encode()).hexdigest()


def _fit(trainer: pl.Trainer, tuner: Finetuner, inputs: Inputs, checkpoint: Path | None) -> None:
    """Train from the start or, if there is one, from a *checkpoint*."""
    try:
        if checkpoint:
            log.info("resume    goes on from %s", checkpoint)
        else:
            _validate(trainer, tuner, inputs.gallery)
        trainer.fit(tuner, inputs.pairs, inputs.gallery, ckpt_path=checkpoint)
    except SIGTERMException as stop:
        raise _interrupted(tuner) from stop
    except TrainingError:
        log.error("stopped   the best weights so far stay with the checkpoints")
        raise


def _validate(trainer: pl.Trainer, tuner: Finetuner, gallery: Gallery) -> float:
    """The mean recall of the weights as they are."""
    recall = trainer.validate(tuner, gallery, verbose=False)[0]["val_recall"]
    if tuner.rank.any(trainer.received_sigterm):  # which Lightning heeds only while it fits
        raise _interrupted(tuner)
    return recall


def _interrupted(tuner: Finetuner) -> Interrupted:
    return Interrupted(f"SIGTERM stopped fine-tuning after step {tuner.global_step}: run it again, it goes on from there")


def _trainer(config: TrainConfig, rank: Rank = ALONE, **how: Any) -> pl.Trainer:
    # Each rank is a training on one device to Lightning, whose own strategy for several averages only what learns from the first step on.
    return pl.Trainer(
        accelerator="auto" if rank.of == 1 else "cuda" if torch.cuda.is_available() else "cpu",
        devices=[rank.number] if rank.of > 1 and torch.cuda.is_available() else 1,
        precision=LIGHTNING_PRECISION[config.precision],
        max_epochs=config.epochs,
        deterministic="warn",  # not every CUDA kernel has a deterministic twin
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        **how,
    )


def _wise(tuner: Finetuner, start: Mapping[str, Tensor], end: Mapping[str, Tensor], gallery: Gallery, out: Path) -> dict[str, Tensor]:
    """The best mixture of the weights at *start* and at the *end*; ``mixture.json`` in *out* has the recall of each."""
    trainer = _trainer(tuner.config, logger=False, enable_progress_bar=False, enable_checkpointing=False)

    def recall(weights: Mapping[str, Tensor]) -> float:
        tuner.load_state_dict(weights)
        return _validate(trainer, tuner, gallery)

    chosen, tried = averaging.interpolate(start, end, recall)
    (out / "mixture.json").write_text(json.dumps(tried, indent=1) + "\n")
    return chosen
