"""Fine-tuning: the untouched towers and a dataset in, the towers of the best validation recall out."""

import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from torch import Tensor

from trainworks import tracking
from trainworks.photostock import averaging, samples, towers, tune
from trainworks.photostock import dataset as data
from trainworks.photostock.config import Pairs, Precision, TrainConfig
from trainworks.photostock.finetuner import Finetuner
from trainworks.photostock.inputs import Inputs

LIGHTNING_PRECISION: dict[Precision, Any] = {Precision.FP32: "32-true", Precision.BF16: "bf16-mixed"}


def finetune(untouched: Path, dataset: Path, shards: list[Path], config: TrainConfig, logs: Path, out: Path) -> None:
    """Fine-tune the checkpoint *untouched* and write the best one to *out*, with its history, parameter groups and samples.

    A tower that stays as it is for the whole run is run once per picture or text, and only its head trains on the result;
    a picture tower only where there is no image augmentation, a text tower where texts are drawn from the catalogue unchanged.
    On CPU, the same inputs, seed, thread count and package versions give the same weights, bit for bit.
    TensorBoard's curves, samples and knobs go to *logs*.

    Raises:
        DataError: too few pictures for one batch.
        TrainingError: the loss is not finite.
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
        # Lightning puts the averaged weights into full checkpoints only.
        judged_by = "val_recall" if config.pairs is Pairs.TRUE else None  # a control is judged where it ends
        best = ModelCheckpoint(dirpath=Path(scratch) / "best", monitor=judged_by, mode="max", save_weights_only=not average.ema)
        callbacks = [
            best,
            EarlyStopping(monitor="val_recall", mode="max", patience=config.patience),
            LearningRateMonitor("step"),
            TQDMProgressBar(),
            *([EMAWeightAveraging(decay=average.ema)] if average.ema else []),
        ]
        trainer = _trainer(config, callbacks=callbacks, logger=loggers)
        trainer.validate(tuner, inputs.gallery, verbose=False)
        start = {name: value.clone() for name, value in tuner.state_dict().items()}
        trainer.fit(tuner, inputs.pairs, inputs.gallery)
        history = list(tuner.history)
        chosen = torch.load(best.best_model_path, weights_only=True)["state_dict"]
        if average.wise:
            chosen = _wise(tuner, start, chosen, inputs.gallery, out)
        tuner.load_state_dict(chosen)
    tune.merge(model.model)
    towers.save(model, out)
    best_epoch = (max(history[1:], key=lambda row: row["val_recall"]) if config.pairs is Pairs.TRUE else history[-1])["epoch"]
    history = [{**row, "best": row["epoch"] == best_epoch} for row in history]
    (out / "history.json").write_text(json.dumps(history, indent=1) + "\n")
    (out / "groups.json").write_text(json.dumps(tuner.groups, indent=1) + "\n")


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
        return trainer.validate(tuner, gallery, verbose=False)[0]["val_recall"]

    chosen, tried = averaging.interpolate(start, end, recall)
    (out / "mixture.json").write_text(json.dumps(tried, indent=1) + "\n")
    return chosen
