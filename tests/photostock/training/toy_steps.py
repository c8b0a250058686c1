"""One step of fine-tuning on each loss, alone or as one of two ranks."""

import warnings

import pytorch_lightning as pl
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from trainworks.photostock.model.untouched import load
from trainworks.photostock.training.dataset import Batch, Changed, Tags
from trainworks.photostock.training.finetuner import Finetuner
from trainworks.photostock.training.knobs import TrainConfig

EVERY = "clip + 0.5*siglip + 0.2*distill + 0.3*tags + 3*invariance"
LOSSES = ("clip", "siglip", "clip + distill", "tags", "clip + 3*invariance", EVERY)
CAPTIONS = [0, 1, 2, 1, 0, 3, 1, 4]
"""Of eight pairs, four for each of two ranks: two captions stand in both parts."""

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


class Gradients(pl.Callback):
    """What the optimiser sees, by name."""

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.by_name = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def part_of(rank, loss):
    """This rank's part of one batch of features; three tags for two ranks are two each, one of them twice."""
    torch.manual_seed(0)
    image, text, tags, has = torch.randn(8, 1280), torch.randn(8, 384), torch.randn(3, 384), torch.rand(8, 3) < 0.5
    own = torch.arange(3) if rank.of == 1 else torch.tensor([[0, 1], [2, 0]][rank.number])
    part = rank.part(8)
    changed = Changed(torch.randn(8, 1280)[part], torch.randn(8, 384)[part]) if "invariance" in loss else None
    return Batch(image[part], text[part], torch.tensor(CAPTIONS), Tags(tags[own], has) if "tags" in loss else None, changed)


def steps(rank, folder):
    """Write the loss and all gradients of one step on each of ``LOSSES`` to *folder*."""
    warnings.filterwarnings("ignore")
    model = load("lite0-minilm", "random", 32, seed=1)
    for number, loss in enumerate(LOSSES):
        config = TrainConfig(loss=loss, tune="logit_scale=1, *.head=1, *=0", batch_size=8, devices=rank.of)
        tuner = Finetuner(model, config, steps=1, rank=rank)
        torch.manual_seed(number)
        for parameter in tuner.model.parameters():  # away from the teacher, which is a copy
            parameter.data.add_(0.01 * torch.randn(parameter.shape) * parameter.requires_grad)
        gradients = Gradients()
        trainer = pl.Trainer(max_epochs=1, accelerator="cpu", devices=1, gradient_clip_val=1.0, callbacks=[gradients], **QUIET)
        trainer.fit(tuner, DataLoader([part_of(rank, loss)], batch_size=None))
        save_file(gradients.by_name | {"loss": torch.tensor(tuner.losses)}, folder / f"{number} {rank.number} of {rank.of}")
