"""Fine-tuning: the untouched towers and a dataset in, the towers of the best validation recall out."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from trainworks import code
from trainworks.photostock.model import towers, tune
from trainworks.photostock.training import averaging, samples
from trainworks.photostock.training.dataset import Gallery
from trainworks.photostock.training.finetuner import Finetuner
from trainworks.photostock.training.inputs import Inputs
from trainworks.photostock.training.knobs import Precision, TrainConfig
from trainworks.storage import manifest, store
from trainworks.training import lightning, tracking
from trainworks.training.moving_average import MovingAverage
from trainworks.training.ranks import ALONE, Rank
from trainworks.training.seeds import seed

LIGHTNING_PRECISION: dict[Precision, Literal["32-true", "bf16-mixed"]] = {Precision.FP32: "32-true", Precision.BF16: "bf16-mixed"}


def finetune(
    untouched: Path,
    dataset: Path,
    shards: list[Path],
    config: TrainConfig,
    logs: Path,
    out: Path,
    resume: Path,
) -> None:
    """Fine-tune the checkpoint *untouched* and write the best one to *out*, with its history, parameter groups and samples.

    A tower that stays as it is for the whole run is run once per picture or text, and only its head trains on the result;
    a picture tower only where there is no image augmentation, a text tower where texts are drawn from the catalogue unchanged.
    On CPU, the same inputs, seed, thread count and package versions give the same weights, bit for bit.
    TensorBoard's curves, samples and knobs go to *logs*.

    Checkpoints go to the folder *resume*, and from there to the artifact root on S3 if it lies below. What is killed and run again
    with the same *resume* goes on from the last whole one, if inputs, knobs, code and packages are the same, to the same weights, bit
    for bit. At the end they are removed; several trainings may use one folder.

    With ``devices`` above 1, pictures and kept features are made here, once, and as many processes train on them, each with its
    part of every batch. The weights are then those of one device but for rounding, and for dropout, which they draw each for itself.

    Raises:
        ValueError: there are fewer GPUs than ``devices``, or batch norm learns and ``devices`` are not GPUs.
        DataError: too few pictures for one batch.
        TrainingError: the loss or a gradient is not finite; the best weights so far stay in the checkpoint, under ``learner.best``.
        Interrupted: SIGTERM came, and a checkpoint was written.
        LanguageError: ``tune`` does not fit this backbone.
    """
    lightning.require_gpus(config)
    plan = _plan(untouched, dataset, config, logs, resume)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folders = (untouched, dataset, shards, config, Path(scratch))
        inputs, tuner = _start(*folders)
        samples.write(inputs.samples(), out)
        start = {name: value.clone() for name, value in tuner.state_dict().items()}
        files = plan.files()
        lightning.train(_parts(inputs, tuner), plan, files, partial(_parts_of_rank, *folders), Path(scratch))
        history = tuner.marked_history()
        chosen = {**start, **tuner.best}
        if averaging.parse(config.average).wise:
            chosen = _wise(tuner, plan, start, chosen, inputs.gallery, out)
        tuner.load_state_dict(chosen)
    tune.merge(tuner.model)
    towers.save(tuner.towers, out)
    (out / "history.json").write_text(json.dumps(history, indent=1) + "\n")
    (out / "groups.json").write_text(json.dumps(tuner.groups, indent=1) + "\n")
    files.clear()


def finetune_here(untouched: Path, dataset: Path, shards: list[Path], config: TrainConfig, out: Path, run: str = "") -> None:
    """`finetune` with its curves and checkpoints in the artifact root; what it ran on is noted in *out*, for the report.

    TensorBoard shows it by the name of the *run*, if it has one, and the knobs that are not at their default.
    """
    logs = store.root() / "tensorboard" / tracking.folder_name(run, _knobs(config), _knobs(TrainConfig()))
    resume = store.root() / "resume"
    finetune(untouched, dataset, shards, config, logs, out, resume)
    store.share(logs)
    gpus = min(config.devices, torch.cuda.device_count())
    store.note(out, machine="gpu" if gpus else "cpu", machines=max(gpus, 1))


def _plan(untouched: Path, dataset: Path, config: TrainConfig, logs: Path, resume: Path) -> lightning.Plan:
    """How *config* is trained, under a key made of all that the weights depend on."""
    versions = [code.digest(__name__), torch.__version__, pl.__version__]
    made_from = [manifest.digest(untouched), manifest.digest(dataset), repr(config), *versions]
    key = hashlib.sha256("\n".join(made_from).encode()).hexdigest()
    return lightning.Plan(
        config.epochs, config.devices, LIGHTNING_PRECISION[config.precision], resume, key, logs, _knobs(config), "val_R@10"
    )


def _knobs(config: TrainConfig) -> dict[str, Any]:
    return {name: getattr(value, "value", value) for name, value in vars(config).items()}


def _start(
    untouched: Path, dataset: Path, shards: list[Path], config: TrainConfig, scratch: Path, rank: Rank = ALONE
) -> tuple[Inputs, Finetuner]:
    """Inputs and model as they are before the first step, the same in every process."""
    seed(config.seed)
    model = towers.read(untouched)
    inputs = Inputs(model, untouched, dataset, shards, config, scratch, rank)
    return inputs, Finetuner(model, config, config.epochs * len(inputs.pairs), rank)


def _parts(inputs: Inputs, tuner: Finetuner) -> lightning.Parts:
    callbacks: list[pl.Callback] = [_Samples(inputs)]
    if decay := averaging.parse(tuner.config.average).ema:
        callbacks.append(MovingAverage(decay))
    return lightning.Parts(tuner, inputs.pairs, inputs.gallery, callbacks)


def _parts_of_rank(untouched: Path, dataset: Path, shards: list[Path], config: TrainConfig, scratch: Path, rank: Rank) -> lightning.Parts:
    return _parts(*_start(untouched, dataset, shards, config, scratch, rank))


class _Samples(pl.Callback):
    """Shows some training pictures where the curves are."""

    def __init__(self, inputs: Inputs):
        self.inputs = inputs

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.loggers:
            tracking.show(trainer.loggers, "samples", np.stack([sample.pixels for sample in self.inputs.samples()]), step=0)


def _wise(
    tuner: Finetuner, plan: lightning.Plan, start: Mapping[str, Tensor], end: Mapping[str, Tensor], gallery: Gallery, out: Path
) -> dict[str, Tensor]:
    """The best mixture of the weights at *start* and at the *end*; ``mixture.json`` in *out* has the recall of each."""
    trainer = lightning.trainer(plan, logger=False, enable_progress_bar=False, enable_checkpointing=False)

    def recall(weights: Mapping[str, Tensor]) -> float:
        tuner.load_state_dict(weights)
        return lightning.validate(trainer, tuner, gallery)

    chosen, tried = averaging.interpolate(start, end, recall)
    (out / "mixture.json").write_text(json.dumps(tried, indent=1) + "\n")
    return chosen
