"""A net of one layer that fits a line: what a room brings to have exact resume."""

import os
import signal

import torch
from torch.utils.data import DataLoader

from trainworks.training import lightning
from trainworks.training.ranks import ALONE
from trainworks.training.seeds import seed

STEPS = 5
"""Batches of an epoch, of eight points each."""


class Points:
    """Batches in an order that is a function of the epoch; knows where it is. Each rank has its part of a batch."""

    def __init__(self, rank=ALONE):
        self.given, self.rank = 0, rank

    def __len__(self):
        return STEPS

    def __iter__(self):
        for number in range(self.given, (self.given // STEPS + 1) * STEPS):
            self.given += 1
            yield points(number)[self.rank.part(8)]

    def state_dict(self):
        return {"given": self.given}

    def load_state_dict(self, state):
        self.given = state["given"]


def points(number):
    """Eight points near a line, (8, 2)."""
    x = torch.randn(8, generator=torch.Generator().manual_seed(number))
    return torch.stack([x, 2 * x + 1], dim=1)


class Line(lightning.Learner):
    """Learns slope and offset, with dropout; its frozen layer is in no checkpoint. SIGTERM comes in step *stop*, counted from 1."""

    objective, better = "val_error", "lower"

    def __init__(self, rank=ALONE, stop=None, rate=0.05, patience=100):
        super().__init__(seed=3, patience=patience, rank=rank)
        self.line, self.frozen, self.rate, self.stop = torch.nn.Linear(1, 1), torch.nn.Linear(3, 3).requires_grad_(False), rate, stop
        self.optimised = [{"params": list(self.line.parameters())}]
        self.learning = lightning.learning(self, self.optimised)

    def configure_optimizers(self):
        return torch.optim.Adam(self.optimised, lr=self.rate)

    def training_step(self, batch, batch_idx):
        if self.global_step + 1 == self.stop:
            os.kill(os.getpid(), signal.SIGTERM)
        y = self.rank.gather(self.line(torch.nn.functional.dropout(batch[:, :1], 0.2)))
        loss = (y[:, 0] - self.rank.gather(batch[:, 1:])[:, 0]).square().mean()
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, batch_idx):
        error = float((self.line(batch[:, :1]) - batch[:, 1:]).abs().mean())
        self.log("val_error", error, batch_size=8)
        self.record({"val_error": error})


def parts(rank=ALONE, **how):
    """The line, its points and some others to validate on, as every process makes them."""
    seed(3)
    return lightning.Parts(Line(rank, **how), Points(rank), DataLoader([points(1_000)], batch_size=None))
