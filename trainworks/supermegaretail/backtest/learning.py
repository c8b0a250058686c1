"""From a panel to a model that forecasts: its recipe, what it learned at an origin, and the head of its quantiles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trainworks.supermegaretail.features.design import Design, design
from trainworks.supermegaretail.features.languages import column
from trainworks.supermegaretail.features.languages import features as parse_features
from trainworks.supermegaretail.features.recipe import SERIES, Recipe, learn
from trainworks.supermegaretail.models import heads
from trainworks.supermegaretail.models.effects import effects
from trainworks.supermegaretail.models.knobs import Inputs, Targets
from trainworks.supermegaretail.models.protocol import Family, Fitted, Task
from trainworks.supermegaretail.panel.panel import Panel

ROWS = 80_000
"""About how many rows a model learns from."""

LEAST_ORIGINS, MOST_ORIGINS = 12, 60
WARM_UP = 8
"""Periods before the first origin to learn from, or a quarter of the history if that is less."""

SURELY = 0.04
"""Share of the loss by which another head must be better than counts' to be taken."""


@dataclass(frozen=True)
class Residuals:
    """N rows at which a model was asked for what is known: the mean it gave, what was sold, the code of the series, the target's period."""

    mean: np.ndarray
    sold: np.ndarray
    series: np.ndarray
    period: np.ndarray
    count: int

    def head(self, name: str, horizon: int) -> heads.Head:
        """The head called *name*; of `heads.CHOOSE`, that which fits the newest periods best after it learned from those before."""
        chosen = self.choose(horizon) if name == heads.CHOOSE else name
        return self._learn(chosen, np.ones(len(self.mean), bool))

    def choose(self, horizon: int) -> str:
        """The head with the least pinball loss over the newest *horizon* periods; another than counts must be better by SURELY.

        For a model has seen these periods: its means lie nearer to them than to what comes, and flatter the narrower heads.
        """
        newest = self.period > self.period.max(initial=0) - horizon
        if newest.all():
            return heads.NegativeBinomial.name
        losses = {}
        for name in heads.HEADS:
            quantiles = self._learn(name, ~newest).quantiles(self.mean[newest], self.series[newest])
            losses[name] = heads.pinball(self.sold[newest], quantiles).mean()
        losses[heads.NegativeBinomial.name] *= 1 - SURELY
        return min(losses, key=lambda name: losses[name])

    def _learn(self, name: str, rows: np.ndarray) -> heads.Head:
        return heads.HEADS[name].learn(self.mean[rows], self.sold[rows], self.series[rows], self.count)


def recipe_for(panel: Panel, families: Sequence[Family], inputs: Inputs) -> Recipe:
    """The recipe of all columns that *families* need, learned from *panel*, all of which is known."""
    texts = [family.features for family in families]
    planned = any(family.inputs for family in families)
    if any(family.inputs == "all" for family in families):
        texts.insert(0, inputs.features)
    recipe = learn(panel, union(texts), inputs.covariates if planned else "", inputs.horizon)
    return recipe.lifted(effects(_shuffled(panel, inputs), recipe, inputs.signs, inputs.history)) if planned else recipe


def union(texts: Sequence[str]) -> str:
    """The features of all *texts*, each once."""
    return " + ".join(dict.fromkeys(column(call) for text in texts for call in parse_features(text)))


def learnable(panel: Panel, recipe: Recipe, inputs: Inputs) -> Design:
    """Rows to learn from: the newest origin before the last period, and others evenly over the history to learn from."""
    last = panel.known - 2
    first = max(min(WARM_UP, panel.known // 4), panel.known - 1 - inputs.history)
    count = int(np.clip(ROWS // max(len(panel.sells) * inputs.horizon, 1), LEAST_ORIGINS, MOST_ORIGINS))
    spread = np.unique(np.linspace(last, first, min(count, last - first + 1)).round().astype(int))
    made = _without_hindsight(design(panel, spread.tolist(), range(1, inputs.horizon + 1), recipe, learnable=True), panel)
    return replace(made, target=_permuted(made.target, inputs)) if inputs.targets is Targets.SHUFFLED else made


def _without_hindsight(made: Design, panel: Panel) -> Design:
    """*made* without rows of a series that was listed at the origin and had not sold a unit: it is in the panel because it did later."""
    sold = np.nancumsum(panel.demand, axis=1) > 0
    listed = np.isfinite(panel.demand).cumsum(axis=1) > 0
    kept = (sold | ~listed)[made.series, made.origin]
    if not kept.any():  # the first sales of all are the newest: hindsight, or nothing to learn from
        return made
    rows = ("values", "series", "origin", "step", "target", "sells")
    return replace(made, **{name: getattr(made, name)[kept] for name in rows})


def _shuffled(panel: Panel, inputs: Inputs) -> Panel:
    """*panel*, with the demand of other cells in each if the targets are to be wrong."""
    return replace(panel, demand=_permuted(panel.demand, inputs)) if inputs.targets is Targets.SHUFFLED else panel


def _permuted(values: np.ndarray, inputs: Inputs) -> np.ndarray:
    known = np.isfinite(values)
    other = values.copy()
    other[known] = np.random.default_rng(inputs.seed).permutation(values[known])
    return other


def fit(panel: Panel, family: Family, recipe: Recipe, inputs: Inputs) -> tuple[Fitted, Residuals]:
    """A model that learned all of *panel*, and its residuals."""
    rows = learnable(panel, recipe, inputs)
    model = family.fit(Task(rows, recipe, panel, inputs.signs, inputs.seed))
    series = rows.column(SERIES).astype(np.int64)
    mean = model.mean(rows.values).astype(np.float64)
    return model, Residuals(mean, rows.target, series, rows.origin + rows.step, len(recipe.levels[SERIES]) + 1)
