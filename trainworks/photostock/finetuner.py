"""One optimiser step per batch, and retrieval over the whole validation gallery after every epoch."""

import copy
import logging
import math
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from trainworks.errors import TrainingError
from trainworks.photostock import dataset as data
from trainworks.photostock import locked, metrics, towers, tune
from trainworks.photostock.config import TrainConfig
from trainworks.photostock.losses import Loss, clip, initial_bias

log = logging.getLogger(__name__)

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises from nothing to its peak."""

MAX_SCALE = 100.0
"""The similarity scale is kept at or below this, as in Radford et al. 2021 (arXiv 2103.00020), section 2.5."""


class _Seen(NamedTuple):
    """Embeddings of one batch of the validation gallery, and its texts as the text tower takes them."""

    image: Tensor
    embedded: Tensor
    text: Tensor


class Finetuner(pl.LightningModule):
    """Trains ``towers`` in place.

    Raises:
        LanguageError: ``tune`` or ``loss`` does not fit this backbone.
    """

    def __init__(self, model: towers.Towers, config: TrainConfig, steps: int):
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.towers, self.config, self.steps = model, config, steps
        self.model = model.model
        self.register_buffer("mean", torch.tensor(model.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(model.std).view(3, 1, 1), persistent=False)
        self.loss = Loss(config.loss)
        self.teacher = copy.deepcopy(self.model).eval().requires_grad_(False) if "distill" in self.loss.terms else None
        tune.adapt(self.model, config.tune, config.epochs)
        self.optimised, self.groups = tune.groups(self.model, config.tune, config.learning_rate, config.weight_decay)
        self.bias: nn.Parameter | None = getattr(self.model, "logit_bias", None)
        self.starts_bias = self.bias is None and "siglip" in self.loss.terms
        if self.starts_bias:
            self.bias = nn.Parameter(torch.zeros(()))
            self.optimised.append({"params": [self.bias], "lr": config.learning_rate, "weight_decay": 0.0, "name": "bias", "thaw": 1})
        self.history: list[dict[str, Any]] = []
        self.losses: list[Tensor] = []
        self.seen: list[_Seen] = []

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up and cosine decay to nothing."""
        warm_up = max(1, round(WARM_UP * self.steps))

        def share(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, self.steps - warm_up)))

        optimizer = torch.optim.AdamW(self.optimised, betas=(0.9, 0.98), eps=1e-6)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, share), "interval": "step"}}

    def embed(self, model: Any, batch: data.Batch) -> tuple[Tensor, Tensor]:
        """L2-normalised image and text embeddings by *model*, (B, D) each."""
        return self.embed_images(model, batch.image), self.embed_texts(model, batch.text)

    def embed_images(self, model: Any, image: Tensor) -> Tensor:
        """Pixels uint8 (B, size, size, 3), or the features of a locked tower, to (B, D)."""
        if image.is_floating_point():
            return locked.project(model, "image", image)
        return model.encode_image((image.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std, normalize=True)

    def embed_texts(self, model: Any, text: Tensor) -> Tensor:
        """Token ids int64 (B, context), or the features of a locked tower, to (B, D)."""
        if text.is_floating_point():
            return locked.project(model, "text", text)
        return model.encode_text(self.towers.trim(text), normalize=True)

    def on_train_epoch_start(self) -> None:
        """What thaws now learns; a frozen part runs as it will be shipped: no dropout, batch norm by its stored statistics."""
        self.losses = []
        tune.thaw(self.optimised, self.current_epoch + 1)
        for module in self.model.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()

    def on_train_batch_start(self, batch: data.Batch, batch_idx: int) -> None:
        """Dropout is a function of (seed, step), whatever ran before."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: data.Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        image, text = self.embed(self.model, batch)
        scale = self.model.logit_scale.exp()
        teacher = tagged = None
        if self.teacher is not None:
            with torch.no_grad():
                teacher = (*self.embed(self.teacher, batch), self.teacher.logit_scale.exp())
        if batch.tags is not None:
            tagged = self.embed_texts(self.model, batch.tags.text), batch.tags.has
        if self.starts_bias and self.global_step == 0:
            self.bias.data = initial_bias(image, text, scale, batch.caption)  # type: ignore[union-attr]
        found = self.loss(image, text, scale, batch.caption, bias=self.bias, teacher=teacher, tagged=tagged)
        loss = found["loss"]
        if not loss.isfinite():
            raise TrainingError(
                f"the loss is {loss.item()} at epoch {self.current_epoch + 1}, step {self.global_step}: "
                f"lower train.learning_rate (now {self.config.learning_rate}) or use train.precision=fp32"
            )
        self.losses.append(loss.detach())
        self.log("train_loss", loss, prog_bar=True)
        if len(self.loss.terms) > 1:
            self.log_dict({f"train_loss_{term}": found[term] for term in self.loss.terms})
        return loss

    def on_train_batch_end(self, *args: Any) -> None:
        """Keep the similarity scale in CLIP's range."""
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(MAX_SCALE))

    def validation_step(self, batch: data.Batch, batch_idx: int) -> None:
        """Embed one batch of the validation gallery."""
        image, text = self.embed(self.model, batch)
        self.seen.append(_Seen(image.float().cpu(), text.float().cpu(), batch.text.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Recall over the gallery; equal texts share their right answers."""
        image, text, said = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
        self.seen = []
        label = np.unique(said.numpy(), axis=0, return_inverse=True)[1]
        to_image = metrics.summary(metrics.ranks(text.numpy(), image.numpy(), label, label))
        to_text = metrics.summary(metrics.ranks(image.numpy(), text.numpy(), label, label))
        loss = clip(image, text, self.model.logit_scale.exp().cpu(), torch.from_numpy(label))
        recall = float(np.mean([side[f"R@{k}"] for side in (to_image, to_text) for k in (1, 5, 10)]))
        # validate() before fit() is epoch 0: the untouched towers.
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        row: dict[str, Any] = {
            "epoch": self.current_epoch + 1 if fitting else 0,
            "step": self.global_step,
            "train_loss": float(torch.stack(self.losses).mean()) if fitting else None,
            "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"] if fitting else None,
            "val_loss": float(loss),
            **{f"val_{name}": to_image[name] for name in ("R@1", "R@5", "R@10")},
            "val_recall": recall,
        }
        self.history.append(row)
        log.info("metrics   %s", " ".join(f"{name}={value:.6g}" for name, value in row.items() if value is not None))
        self.log_dict({"val_loss": row["val_loss"], "val_R@10": to_image["R@10"], "val_recall": recall}, prog_bar=True)
