"""One optimiser step per batch, and retrieval over the whole validation gallery after every epoch."""

import copy
import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from trainworks.errors import TrainingError
from trainworks.photostock.evaluation import ranking
from trainworks.photostock.model import towers, trim, tune
from trainworks.photostock.training import locked
from trainworks.photostock.training.cpu_kernels import matrix_products
from trainworks.photostock.training.dataset import Batch, Changed
from trainworks.photostock.training.knobs import Pairs, TrainConfig
from trainworks.photostock.training.losses import Loss, clip, initial_bias
from trainworks.training.lightning import Learner, learning
from trainworks.training.ranks import ALONE, Rank

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises from nothing to its peak."""

MAX_SCALE = 100.0
"""The similarity scale is kept at or below this, as in Radford et al. 2021 (arXiv 2103.00020), section 2.5."""


class _Seen(NamedTuple):
    """Embeddings of one batch of the validation gallery, and its texts as the text tower takes them."""

    image: Tensor
    embedded: Tensor
    text: Tensor


class Finetuner(Learner):
    """Trains ``towers`` in place, until the epochs are over or validation recall has not risen for ``patience`` of them.

    Shuffled pairs keep the weights of the last epoch: a control is judged where it ends. Each *rank* embeds its part of a batch and of
    the gallery; loss, gradients and recall are of all.

    Raises:
        LanguageError: ``tune`` or ``loss`` does not fit this backbone.
        ValueError: batch norm learns, and ranks without a GPU have no statistics of the whole batch.
    """

    objective = "val_recall"

    def __init__(self, model: towers.Towers, config: TrainConfig, steps: int, rank: Rank = ALONE):
        super().__init__(config.seed, config.patience, rank, keeps_last=config.pairs is Pairs.SHUFFLED)
        self.mean: Tensor
        self.std: Tensor
        self.towers, self.config, self.steps = model, config, steps
        self.model = model.model
        self.register_buffer("mean", torch.tensor(model.mean), persistent=False)
        self.register_buffer("std", torch.tensor(model.std), persistent=False)
        self.loss = Loss(config.loss)
        # In a tuple, so that it is in no state dict.
        self.teacher = (copy.deepcopy(self.model).eval().requires_grad_(False),) if "distill" in self.loss.terms else ()
        tune.adapt(self.model, config.tune, config.epochs)
        self.optimised, self.groups = tune.groups(self.model, config.tune, config.learning_rate, config.weight_decay)
        self.bias: nn.Parameter | None = getattr(self.model, "logit_bias", None)
        self.starts_bias = self.bias is None and "siglip" in self.loss.terms
        if self.starts_bias:
            self.bias = nn.Parameter(torch.zeros(()))
            self.optimised.append({"params": [self.bias], "lr": config.learning_rate, "weight_decay": 0.0, "name": "bias", "thaw": 1})
        self.learning = learning(self, self.optimised)
        self._join_statistics()
        self.seen: dict[int, _Seen] = {}

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up and cosine decay to nothing."""
        warm_up = max(1, round(WARM_UP * self.steps))

        def share(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, self.steps - warm_up)))

        optimizer = torch.optim.AdamW(self.optimised, betas=(0.9, 0.98), eps=1e-6, fused=True)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, share), "interval": "step"}}

    def embed(self, model: Any, batch: Batch | Changed) -> tuple[Tensor, Tensor]:
        """L2-normalised image and text embeddings by *model*, (B, D) each."""
        return self.embed_images(model, batch.image), self.embed_texts(model, batch.text)

    def embed_images(self, model: Any, image: Tensor) -> Tensor:
        """Pixels uint8 (B, size, size, 3), or the features of a locked tower, to (B, D)."""
        if image.is_floating_point():
            return locked.project(model, "image", image)
        return model.encode_image(towers.normalise(image, self.mean, self.std), normalize=True)

    def embed_texts(self, model: Any, text: Tensor) -> Tensor:
        """Token ids int64 (B, context), or the features of a locked tower, to (B, D)."""
        if text.is_floating_point():
            return locked.project(model, "text", text)
        return trim.encode_text(model, text)

    def on_train_start(self) -> None:
        """What has thawed by now learns; the teacher goes where the pupil is."""
        super().on_train_start()
        for teacher in self.teacher:
            teacher.to(self.device)
        self._thaw()

    def on_train_epoch_start(self) -> None:
        """What thaws now learns."""
        super().on_train_epoch_start()
        self._thaw()

    def _thaw(self) -> None:
        """A frozen part runs as it will be shipped: no dropout, batch norm by its stored statistics."""
        tune.thaw(self.optimised, self.current_epoch + 1)
        self.model.train()
        for module in self.model.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch, of all ranks together."""
        with self._products():
            return self._loss_of(batch)

    def _products(self) -> AbstractContextManager[None]:
        return matrix_products(self.model) if torch.is_autocast_enabled("cpu") else nullcontext()

    def _loss_of(self, batch: Batch) -> Tensor:
        image, text = map(self.rank.gather, self.embed(self.model, batch))
        scale = self.model.logit_scale.exp()
        teacher = tagged = changed = None
        for model in self.teacher:
            with torch.no_grad():
                teacher = (*map(self.rank.gather, self.embed(model, batch)), model.logit_scale.exp())
        if batch.tags is not None:
            has = batch.tags.has
            tagged = self.rank.gather(self.embed_texts(self.model, batch.tags.text))[: has.shape[1]], has
        if batch.changed is not None:
            image_changed, text_changed = map(self.rank.gather, self.embed(self.model, batch.changed))
            changed = image_changed, text_changed
        if self.starts_bias and self.global_step == 0:
            self.bias.data = initial_bias(image, text, scale, batch.caption)  # type: ignore[union-attr]
        terms = self.loss(image, text, scale, batch.caption, bias=self.bias, teacher=teacher, tagged=tagged, changed=changed)
        loss = terms["loss"]
        self.losses.append(loss.item())
        self._require_finite("loss", self.losses[-1])
        self.log("train_loss", loss, prog_bar=True)
        if len(self.loss.terms) > 1:
            self.log_dict({f"train_loss_{term}": terms[term] for term in self.loss.terms})
        return loss

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None) -> None:
        """Clip the norm of the whole gradient, which must be finite: clipping would make NaN of infinity."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._require_finite("norm of the gradient", nn.utils.clip_grad_norm_(parameters, gradient_clip_val).item())

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Keep the similarity scale in CLIP's range, before averages and checkpoints see it."""
        super().optimizer_step(*args, **kwargs)
        if self.model.logit_scale.requires_grad:
            with torch.no_grad():
                self.model.logit_scale.clamp_(0, math.log(MAX_SCALE))

    def _require_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            ids = self.trainer.train_dataloader.ids_of(self.global_step)  # type: ignore[union-attr]
            raise TrainingError(
                f"the {name} is {value} at epoch {self.current_epoch + 1}, step {self.global_step}: "
                f"lower --learning_rate (now {self.config.learning_rate}) or use --precision=fp32; "
                f"the pictures of this step were {', '.join(ids)}"
            )

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Embed one batch of the validation gallery."""
        if batch_idx % self.rank.of == self.rank.number:
            with self._products():
                image, text = self.embed(self.model, batch)
            self.seen[batch_idx] = _Seen(image.float().cpu(), text.float().cpu(), batch.text.cpu())

    def on_validation_epoch_end(self) -> None:
        """Recall over the gallery; equal texts share their right answers."""
        seen = self.rank.merged(self.seen)
        image, text, ids = (torch.cat(parts) for parts in zip(*(seen[number] for number in sorted(seen)), strict=True))
        self.seen = {}
        label = np.unique(ids.numpy(), axis=0, return_inverse=True)[1]
        to_image = ranking.ranks(text.numpy(), image.numpy(), label, label).means()
        to_text = ranking.ranks(image.numpy(), text.numpy(), label, label).means()
        scale = self.validated.get("model.logit_scale", self.model.logit_scale.detach().cpu()).exp()
        loss = clip(image, text, scale, torch.from_numpy(label))
        recall = float(np.mean([side[f"R@{k}"] for side in (to_image, to_text) for k in (1, 5, 10)]))
        scores = {"val_loss": float(loss), **{f"val_{name}": to_image[name] for name in ("R@1", "R@5", "R@10")}, "val_recall": recall}
        self.record(scores)
        self.log_dict({name: scores[name] for name in ("val_loss", "val_R@10", "val_recall")}, prog_bar=True)

    def _join_statistics(self) -> None:
        """Have batch norm that learns see the whole batch, as it would on one device."""
        live = [name.removesuffix(".running_mean") for name in self.learning if name.endswith(".running_mean")]
        if self.config.devices == 1 or not live:
            return
        if not torch.cuda.is_available():
            self.config.refuse(
                "devices",
                f"batch norm learns ({min(live).removeprefix('model.')}), and only GPUs share its statistics: take --devices = 1, "
                f"or let it stay as it is, with image.norms=0 as first rule of --tune",
            )
        convert_sync_batchnorm(self.model)
