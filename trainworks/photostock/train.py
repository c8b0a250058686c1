"""Fine-tuning: the untouched towers and a dataset in, the towers of the best validation recall out."""

import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor, TQDMProgressBar, WeightAveraging
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

import trainworks
from trainworks import checkpoints, manifest, tracking
from trainworks.errors import Interrupted, TrainingError
from trainworks.photostock import averaging, samples, towers, tune
from trainworks.photostock import dataset as data
from trainworks.photostock.config import Pairs, Precision, TrainConfig
from trainworks.photostock.finetuner import Finetuner
from trainworks.photostock.inputs import Inputs

LIGHTNING_PRECISION: dict[Precision, Any] = {Precision.FP32: "32-true", Precision.BF16: "bf16-mixed"}

log = logging.getLogger(__name__)


def finetune(
    untouched: Path,
    dataset: Path,
    shards: list[Path],
    config: TrainConfig,
    logs: Path,
    out: Path,
    resume: Path,
    share: Callable[[Path], object] | None = None,
) -> None:
    """Fine-tune the checkpoint *untouched* and write the best one to *out*, with its history, parameter groups and samples.

    A tower that stays as it is for the whole run is run once per picture or text, and only its head trains on the result;
    a picture tower only where there is no image augmentation, a text tower where texts are drawn from the catalogue unchanged.
    On CPU, the same inputs, seed, thread count and package versions give the same weights, bit for bit.
    TensorBoard's curves, samples and knobs go to *logs*.

    Checkpoints go to the folder *resume*, each also to *share* if given. What is killed and run again with the same *resume*
    goes on from the last whole one, if inputs, knobs, code and packages are the same, to the same weights, bit for bit. At the
    end they are removed; several trainings may use one folder.

    Raises:
        DataError: too few pictures for one batch.
        TrainingError: the loss or a gradient is not finite; the best weights so far stay in the checkpoint, under ``finetuner.best``.
        Interrupted: SIGTERM came, and a checkpoint was written.
        LanguageError: ``tune`` does not fit this backbone.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # hints at hardware and products
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec", module="pytorch_lightning")
    pl.seed_everything(config.seed, verbose=False)
    model = towers.read(untouched)
    average = averaging.parse(config.average)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        inputs = Inputs(model, untouched, dataset, shards, config, Path(scratch))
        tuner = Finetuner(model, config, steps=config.epochs * len(inputs.pairs))
        loggers = tracking.loggers(logs, logs.name, {name: getattr(value, "value", value) for name, value in vars(config).items()})
        shown = inputs.samples()
        samples.write(shown, out)
        tracking.show(loggers, "samples", np.stack([sample.pixels for sample in shown]), step=0)
        files = checkpoints.Files(resume, _identity(untouched, dataset, config), share)
        callbacks = [
            LearningRateMonitor("step"),
            TQDMProgressBar(),
            *([WeightAveraging(avg_fn=averaging.moving(average.ema))] if average.ema else []),
            checkpoints.Checkpoints(files, inputs.pairs),
        ]
        trainer = _trainer(config, callbacks=callbacks, plugins=[files], logger=loggers)
        start = {name: value.clone() for name, value in tuner.state_dict().items()}
        _fit(trainer, tuner, inputs, files.newest)
        history = list(tuner.history)
        chosen = {**start, **tuner.best}
        if average.wise:
            chosen = _wise(tuner, start, chosen, inputs.gallery, out)
        tuner.load_state_dict(chosen)
    tune.merge(model.model)
    towers.save(model, out)
    best_epoch = (max(history[1:], key=lambda row: row["val_recall"]) if config.pairs is Pairs.TRUE else history[-1])["epoch"]
    history = [{**row, "best": row["epoch"] == best_epoch} for row in history]
    (out / "history.json").write_text(json.dumps(history, indent=1) + "\n")
    (out / "groups.json").write_text(json.dumps(tuner.groups, indent=1) + "\n")
    files.clear()


def _identity(untouched: Path, dataset: Path, config: TrainConfig) -> str:
    """A digest of all that a training depends on."""
    code = [path.read_text() for path in sorted(Path(trainworks.__file__).parent.rglob("*.py"))]
    made_from = [manifest.digest(untouched), manifest.digest(dataset), repr(config), torch.__version__, pl.__version__, *code]
    return hashlib.sha256("\n".join(made_from).encode()).hexdigest()


def _fit(trainer: pl.Trainer, tuner: Finetuner, inputs: Inputs, checkpoint: Path | None) -> None:
    """Train from the start or, if there is one, from a *checkpoint*."""
    if checkpoint:
        log.info("resume    goes on from %s", checkpoint)
    else:
        _validate(trainer, tuner, inputs.gallery)
    try:
        trainer.fit(tuner, inputs.pairs, inputs.gallery, ckpt_path=checkpoint)
    except SIGTERMException as stop:
        raise _interrupted(tuner) from stop
    except TrainingError:
        log.error("stopped   the best weights so far stay with the checkpoints")
        raise


def _validate(trainer: pl.Trainer, tuner: Finetuner, gallery: data.Gallery) -> float:
    """The mean recall of the weights as they are."""
    recall = trainer.validate(tuner, gallery, verbose=False)[0]["val_recall"]
    if trainer.received_sigterm:  # which Lightning heeds only while it fits
        raise _interrupted(tuner)
    return recall


def _interrupted(tuner: Finetuner) -> Interrupted:
    return Interrupted(f"SIGTERM stopped fine-tuning after step {tuner.global_step}: run it again, it goes on from there")


def _trainer(config: TrainConfig, **how: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="auto",
        devices=1,
        precision=LIGHTNING_PRECISION[config.precision],
        max_epochs=config.epochs,
        deterministic="warn",  # not every CUDA kernel has a deterministic twin
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        **how,
    )


def _wise(tuner: Finetuner, start: Mapping[str, Tensor], end: Mapping[str, Tensor], gallery: data.Gallery, out: Path) -> dict[str, Tensor]:
    """The best mixture of the weights at *start* and at the *end*; ``mixture.json`` in *out* has the recall of each."""
    trainer = _trainer(tuner.config, logger=False, enable_progress_bar=False, enable_checkpointing=False)

    def recall(weights: Mapping[str, Tensor]) -> float:
        tuner.load_state_dict(weights)
        return _validate(trainer, tuner, gallery)

    chosen, tried = averaging.interpolate(start, end, recall)
    (out / "mixture.json").write_text(json.dumps(tried, indent=1) + "\n")
    return chosen
