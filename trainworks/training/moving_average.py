"""An exponential moving average of what a net learns, in the place of its weights wherever these are judged."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from trainworks.training.lightning import Learner


class MovingAverage(pl.Callback):
    """What is validated, and so ``best``, is an average of the weights that keeps *decay* of itself every step.

    Lightning's own averages every weight; here it is those in ``Learner.learning``, since what is frozen has no other average.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self.current: dict[str, Tensor] = {}
        self.average: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Find what learns, where it is trained."""
        assert isinstance(module, Learner)
        self.current = {name: value for name, value in module.state_dict().items() if name in module.learning}
        self.average = {name: value.to(self.current[name].device) for name, value in self.average.items()}

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the step into the average, which starts as the weights after the first one; counters are the last ones."""
        for name, value in self.current.items():
            if name in self.average and value.is_floating_point():
                self.average[name].lerp_(value, 1 - self.decay)
            else:
                self.average[name] = value.clone()

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """The average takes the place of the weights."""
        self._swap()

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """And leaves it."""
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self.average.items():
            current = self.current[name].clone()
            self.current[name].copy_(average)
            self.average[name] = current

    def state_dict(self) -> dict[str, Any]:
        """The average, for a checkpoint."""
        return {"average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the average of a checkpoint."""
        self.average = state["average"]
