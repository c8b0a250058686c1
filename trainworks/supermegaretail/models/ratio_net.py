"""What `nets` are made of, by PyTorch Lightning: a net that reads the last periods in order, then what is known of the target.

Like trees (`trees`) they learn the ratio of demand to level times lift, so that one small net serves all series. What demand may follow in
one direction only does not reach the net itself: the net says how strongly the lift works, as a power above 0, so that it cannot turn.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, softplus
from torch.utils.data import TensorDataset

from trainworks.onnx import export
from trainworks.supermegaretail.features.recipe import LIFT, Recipe
from trainworks.supermegaretail.models.graphs import Graph
from trainworks.supermegaretail.models.nets import PERIODS
from trainworks.supermegaretail.models.protocol import LEVEL, OWN_SHARE, Level, Task
from trainworks.supermegaretail.models.trees import IN_UNITS
from trainworks.training.seeds import seed

WIDTH = 32
STEPS = 500
BATCH = 512
PEAK = 4e-3
"""Learning rate."""

FAR = 5.0
"""Standardised inputs are cut here: what no training row had tells a net nothing."""

LEAST_RATIO = 1e-3
GIVES_1 = 0.5413
"""Whose softplus is 1."""


def fit(reader: str, task: Task) -> "RatioNet":
    """Train a net with one of `READERS` on the rows of *task*."""
    level = Level(task.recipe.columns)
    seed(task.seed)
    net = Ratio(READERS[reader], task.recipe, task.monotone)
    values = torch.from_numpy(task.design.values)
    net.learn_scales(values)
    expected = level.expected(task.design.values).astype(np.float64)
    ratio = torch.from_numpy((task.design.target / expected).astype(np.float32))
    weight = torch.from_numpy((expected / expected.mean()).astype(np.float32))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trainer = pl.Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        devices=1,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(_Learner(net), torch.utils.data.DataLoader(_Batches(values, ratio, weight, task.seed), batch_size=None))
    torch.set_num_threads(threads)
    model = RatioNet(level, net.eval())
    model.factor = np.float32(task.design.target.sum() / max(float(model.mean(task.design.values).sum()), 1e-9))
    return model


class _Batches(torch.utils.data.IterableDataset):
    """STEPS batches of rows, in an order that is new in every pass over them."""

    def __init__(self, values: Tensor, ratio: Tensor, weight: Tensor, number: int):
        self._rows = TensorDataset(values, ratio, weight)
        self._random = torch.Generator().manual_seed(number)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        while True:
            for batch in torch.randperm(len(self._rows), generator=self._random).split(BATCH):
                yield self._rows[batch]


class _Learner(pl.LightningModule):
    """The Poisson loss of the ratio, rows weighing as their level."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """The loss of one batch."""
        values, ratio, weight = batch
        given = self.net(values)
        return (weight * (given - ratio * given.log())).mean() / weight.mean()

    def configure_optimizers(self) -> Any:
        """AdamW, up to the peak and down again."""
        optimiser = torch.optim.AdamW(self.parameters(), PEAK, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK, total_steps=STEPS)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Ratio(nn.Module):
    """From rows of the design (B, F) to a ratio (B,) to level times lift."""

    places: Tensor
    in_units: Tensor
    center: Tensor
    spread: Tensor

    def __init__(self, reader: type[nn.Module], recipe: Recipe, monotone: Mapping[str, int]):
        super().__init__()
        columns = list(recipe.columns)
        kinds = [""] + [name.removesuffix(".past(1)") for name in columns if name.endswith(".past(1)")]
        past = [[f"{kind}.past({k})" if kind else f"lag({k})" for k in range(PERIODS, 0, -1)] for kind in kinds]
        inside = {name for names in past for name in names}
        one_way = {name for name in columns if ".past(" not in name and (name == LIFT or name.split(".")[0] in monotone)}
        self.known = [name for name in columns if name not in inside | one_way and name not in recipe.levels]
        self.lift = columns.index(LIFT) if LIFT in columns else None
        places = [columns.index(name) for names in past for name in names] + [columns.index(name) for name in self.known]
        chosen = [columns[place] for place in places]
        self.kinds = len(kinds)
        self.register_buffer("places", torch.tensor(places))
        self.register_buffer("in_units", torch.tensor([float(name.startswith(IN_UNITS)) for name in chosen]))
        self.register_buffer("center", torch.zeros(len(places)))
        self.register_buffer("spread", torch.ones(len(places)))
        self.level, self.scale = columns.index(LEVEL), columns.index("scale")
        self.reader = reader(self.kinds)
        last = nn.Linear(2 * WIDTH, 2)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, GIVES_1)  # a net starts as level times lift, whose power is 1
        self.head = nn.Sequential(nn.Linear(WIDTH + len(self.known), 2 * WIDTH), nn.ReLU(), last)

    def learn_scales(self, values: Tensor) -> None:
        """Center and spread of the inputs over the rows *values*."""
        inputs = self._inputs(values)
        self.center.copy_(inputs.mean(0))
        spread = inputs.std(0)
        self.spread.copy_(torch.where(spread > 1e-6, spread, torch.ones(())))

    def _inputs(self, values: Tensor) -> Tensor:
        level = OWN_SHARE * values[:, self.level] + (1 - OWN_SHARE) * values[:, self.scale]
        chosen = values[:, self.places]
        ratio = chosen / level[:, None]
        return torch.where(self.in_units > 0, ratio.sign() * ratio.abs().log1p(), chosen)

    def forward(self, values: Tensor) -> Tensor:
        """(B,) above 0."""
        inputs = ((self._inputs(values) - self.center) / self.spread).clamp(-FAR, FAR)
        tokens = inputs[:, : self.kinds * PERIODS].unflatten(1, (self.kinds, PERIODS)).transpose(1, 2)
        read = self.reader(tokens)
        ratio, power = softplus(self.head(torch.cat([read, inputs[:, self.kinds * PERIODS :]], 1))).unbind(1)
        ratio = ratio + LEAST_RATIO
        return ratio if self.lift is None else ratio * (values[:, self.lift] * (power - 1)).exp()


class _Lstm(nn.Module):
    """(B, periods, kinds) to (B, WIDTH): the last state."""

    cell: ClassVar[type[nn.LSTM] | type[nn.RNN]] = nn.LSTM

    def __init__(self, kinds: int):
        super().__init__()
        self.layer = self.cell(kinds, WIDTH, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """What was read."""
        return self.layer(tokens)[0][:, -1]


class _Rnn(_Lstm):
    cell = nn.RNN


class _Transformer(nn.Module):
    """(B, periods, kinds) to (B, WIDTH): a layer of attention between periods, read at the last."""

    heads = 4

    def __init__(self, kinds: int):
        super().__init__()
        self.embed = nn.Linear(kinds, WIDTH)
        self.place = nn.Parameter(torch.randn(PERIODS, WIDTH) * 0.1)
        self.attend = nn.Linear(WIDTH, 3 * WIDTH)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.feed = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        """What was read."""
        state = self.embed(tokens) + self.place
        parts = self.attend(self.first(state)).unflatten(2, (3, self.heads, WIDTH // self.heads)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(parts[0], parts[1], parts[2])
        state = state + attended.transpose(1, 2).flatten(2)
        return (state + self.feed(self.second(state)))[:, -1]


READERS: dict[str, type[nn.Module]] = {"lstm": _Lstm, "rnn": _Rnn, "transformer": _Transformer}


class RatioNet:
    """A net that gives a ratio to level times lift, times a *factor* that makes its sum over all rows that of what was sold."""

    factor = np.float32(1)

    def __init__(self, level: Level, net: Ratio):
        self._level, self._net = level, net

    def mean(self, values: np.ndarray) -> np.ndarray:
        """See `Fitted`."""
        with torch.no_grad():
            ratio = torch.cat([self._net(batch) for batch in torch.from_numpy(values).split(2**14)])
        return ratio.numpy() * self.factor * self._level.expected(values)

    def draw(self, graph: Graph) -> str:
        """See `Fitted`."""
        example = torch.ones(2, len(self._level.columns))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.onnx"
            export(self._net, {"values": example}, ["ratio"], path)
            ratio = graph.op("Mul", graph.insert(onnx.load(path), graph.columns(self._level.columns)), graph.constant(self.factor))
        return graph.op("Mul", ratio, self._level.draw_lifted(graph, self._level.draw_level(graph)))
