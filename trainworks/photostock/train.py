"""Fine-tuning: the untouched towers and a dataset in, the towers of the best validation recall out."""

import json
import logging
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from trainworks.errors import TrainingError
from trainworks.photostock import dataset as data
from trainworks.photostock import metrics, towers, tune
from trainworks.photostock.config import Precision, TrainConfig
from trainworks.photostock.losses import contrastive
from trainworks.photostock.pixels import Preprocessing

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises from nothing to its peak."""

MAX_SCALE = 100.0
"""The similarity scale is kept at or below this, as in Radford et al. 2021 (arXiv 2103.00020), section 2.5."""

LIGHTNING_PRECISION: dict[Precision, Any] = {Precision.FP32: "32-true", Precision.BF16: "bf16-mixed"}


def finetune(untouched: Path, dataset: Path, shards: list[Path], config: TrainConfig, logs: Path, out: Path) -> None:
    """Fine-tune the checkpoint *untouched* and write the best one to *out*, with its history and parameter groups.

    On CPU, the same inputs, seed, thread count and package versions give the same weights, bit for bit.
    TensorBoard curves go to *logs*.

    Raises:
        DataError: too few pictures for one batch.
        TrainingError: the loss is not finite.
        LanguageError: ``tune`` does not fit this backbone.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # hints at hardware and products
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec", module="pytorch_lightning")
    pl.seed_everything(config.seed, verbose=False)
    model = towers.read(untouched)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        preprocessing = Preprocessing(config.image)
        arrays = {}
        for split in ("train", "val"):
            rows = data.index(dataset, split)
            arrays[split] = rows, data.pixel_array(rows, shards, preprocessing, Path(scratch) / f"{split}.pixels")
        pairs = data.PairLoader(*arrays["train"], model.tokenizer, config)
        held_out = data.Gallery(*arrays["val"], model.tokenizer, config.batch_size)
        tuner = Finetuner(model, config, steps=config.epochs * len(pairs))
        best = ModelCheckpoint(dirpath=Path(scratch) / "best", monitor="val_recall", mode="max", save_weights_only=True)
        trainer = pl.Trainer(
            accelerator="auto",
            devices=1,
            precision=LIGHTNING_PRECISION[config.precision],
            max_epochs=config.epochs,
            deterministic="warn",  # not every CUDA kernel has a deterministic twin
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            logger=TensorBoardLogger(logs, name="", version=""),
            callbacks=[
                best,
                EarlyStopping(monitor="val_recall", mode="max", patience=config.patience),
                LearningRateMonitor("step"),
                TQDMProgressBar(),
            ],
            enable_model_summary=False,
        )
        trainer.validate(tuner, held_out, verbose=False)
        trainer.fit(tuner, pairs, held_out)
        chosen = torch.load(best.best_model_path, weights_only=True)["state_dict"]
        tuner.load_state_dict(chosen)
    towers.save(model, out)
    best_epoch = max(tuner.history[1:], key=lambda row: row["val_recall"])["epoch"]
    history = [{**row, "best": row["epoch"] == best_epoch} for row in tuner.history]
    (out / "history.json").write_text(json.dumps(history, indent=1) + "\n")
    (out / "groups.json").write_text(json.dumps(tuner.groups, indent=1) + "\n")


class Finetuner(pl.LightningModule):
    """One optimiser step per batch; validation is retrieval over the whole validation gallery."""

    def __init__(self, model: towers.Towers, config: TrainConfig, steps: int):
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.towers, self.config, self.steps = model, config, steps
        self.model = model.model
        self.register_buffer("mean", torch.tensor(model.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(model.std).view(3, 1, 1), persistent=False)
        self.optimised, self.groups = tune.groups(self.model, config.tune, config.learning_rate, config.weight_decay)
        if not self.optimised:
            raise ValueError(f"train.tune = {config.tune!r}: every parameter is frozen, nothing would learn")
        self.history: list[dict[str, Any]] = []
        self.losses: list[Tensor] = []
        self.seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up and cosine decay to nothing."""
        warm_up = max(1, round(WARM_UP * self.steps))

        def share(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, self.steps - warm_up)))

        optimizer = torch.optim.AdamW(self.optimised, betas=(0.9, 0.98), eps=1e-6)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, share), "interval": "step"}}

    def embed(self, batch: data.Batch) -> tuple[Tensor, Tensor]:
        """L2-normalised image and text embeddings, (B, D) each."""
        pixels = (batch.pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        return self.model.encode_image(pixels, normalize=True), self.model.encode_text(self.towers.trim(batch.ids), normalize=True)

    def on_train_epoch_start(self) -> None:
        """A frozen part runs as it will be shipped: no dropout, batch norm by its stored statistics."""
        self.losses = []
        for module in self.model.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()

    def on_train_batch_start(self, batch: data.Batch, batch_idx: int) -> None:
        """Dropout is a function of (seed, step), whatever ran before."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: data.Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        loss = contrastive(*self.embed(batch), self.model.logit_scale.exp(), batch.caption)
        if not loss.isfinite():
            raise TrainingError(
                f"the loss is {loss.item()} at epoch {self.current_epoch + 1}, step {self.global_step}: "
                f"lower train.learning_rate (now {self.config.learning_rate}) or use train.precision=fp32"
            )
        self.losses.append(loss.detach())
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_batch_end(self, *args: Any) -> None:
        """Keep the similarity scale in CLIP's range."""
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(MAX_SCALE))

    def validation_step(self, batch: data.Batch, batch_idx: int) -> None:
        """Embed one batch of the validation gallery."""
        image, text = self.embed(batch)
        self.seen.append((image.float().cpu(), text.float().cpu(), batch.caption.cpu(), batch.ids.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Recall over the gallery; rows with the same token ids share their captions, hence their right answers."""
        image, text, ids = (torch.cat([row[k] for row in self.seen]) for k in (0, 1, 3))
        self.seen = []
        label = np.unique(ids.numpy(), axis=0, return_inverse=True)[1]
        to_image = metrics.summary(metrics.ranks(text.numpy(), image.numpy(), label, label))
        to_text = metrics.summary(metrics.ranks(image.numpy(), text.numpy(), label, label))
        loss = contrastive(image, text, self.model.logit_scale.exp().cpu(), torch.from_numpy(label))
        recall = float(np.mean([side[f"R@{k}"] for side in (to_image, to_text) for k in (1, 5, 10)]))
        # validate() before fit() is epoch 0: the untouched towers.
        epoch = self.current_epoch + 1 if self.trainer.state.fn == TrainerFn.FITTING else 0
        row: dict[str, Any] = {
            "epoch": epoch,
            "step": self.global_step,
            "train_loss": float(torch.stack(self.losses).mean()) if self.losses else None,
            "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"] if self.losses else None,
            "val_loss": float(loss),
            **{f"val_{name}": to_image[name] for name in ("R@1", "R@5", "R@10")},
            "val_recall": recall,
        }
        self.history.append(row)
        self.log_dict({"val_loss": row["val_loss"], "val_R@10": to_image["R@10"], "val_recall": recall}, prog_bar=True)
