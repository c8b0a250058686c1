"""A moving average stands in for the weights where they are judged, and nowhere else."""

import torch
from pytorch_lightning import LightningModule, Trainer

from trainworks.training.lightning import Learner
from trainworks.training.moving_average import MovingAverage


class Net(Learner):
    """A weight that learns, and one that is frozen."""

    def __init__(self):
        super().__init__(seed=0, patience=1)
        self.head, self.tower = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.ones(1))
        self.learning = {"head"}


def step(average: MovingAverage, net: LightningModule, value: float) -> None:
    net.head.data.fill_(value)
    average.on_train_batch_end(Trainer.__new__(Trainer), net, None, None, 0)


def test_the_average_starts_at_the_first_step_and_keeps_its_share_of_every_other():
    """By hand: 1, then ¾ · 1 + ¼ · 5 = 2; validation sees it, training goes on from 5."""
    average, net, trainer = MovingAverage(0.75), Net(), Trainer.__new__(Trainer)
    average.on_train_start(trainer, net)
    step(average, net, 1.0)
    step(average, net, 5.0)
    average.on_validation_epoch_start(trainer, net)
    assert (net.head.item(), net.tower.item()) == (2.0, 1.0)
    average.on_validation_epoch_end(trainer, net)
    assert net.head.item() == 5.0
    assert average.state_dict()["average"].keys() == {"head"}


def test_a_checkpoint_goes_on_from_its_average():
    """What is loaded before training starts is what the next step is averaged with."""
    first, second, net, trainer = MovingAverage(0.75), MovingAverage(0.75), Net(), Trainer.__new__(Trainer)
    first.on_train_start(trainer, net)
    step(first, net, 1.0)
    second.load_state_dict(first.state_dict())
    second.on_train_start(trainer, net)
    step(second, net, 5.0)
    assert second.average["head"].item() == 2.0
