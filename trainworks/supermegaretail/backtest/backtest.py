"""One model at one origin: it learns what was known then, and forecasts what came."""

import time
from pathlib import Path

import numpy as np

from trainworks.supermegaretail.backtest.learning import fit, recipe_for
from trainworks.supermegaretail.backtest.parts import Part, rows
from trainworks.supermegaretail.features.design import design
from trainworks.supermegaretail.features.recipe import SERIES
from trainworks.supermegaretail.models import heads
from trainworks.supermegaretail.models.knobs import Inputs
from trainworks.supermegaretail.models.language import models
from trainworks.supermegaretail.panel.panel import Panel


def backtest(panel: Path, model: str, origin: int, inputs: Inputs, head: str, out: Path) -> None:
    """Write the part (see `parts`) of *model* at *origin* to *out*, as `forecast` makes it of the panel in that folder."""
    forecast(Panel.load(panel), model, origin, inputs, head).save(out)


def forecast(whole: Panel, model: str, origin: int, inputs: Inputs, head: str) -> Part:
    """The part of *model*, one of the knob ``models`` that is no average, at *origin*.

    Args:
        whole: the panel, with all its sales; nothing after *origin* but the plan is read before the forecast is made.
        origin: number of the last period that is known.
        head: what makes quantiles of the mean, or ``choose``; a model that gives quantiles itself keeps them.
    """
    started = time.process_time()
    family = models(model)[0].build()
    known = whole.until(origin)
    recipe = recipe_for(known, [family], inputs)
    fitted, residuals = fit(known, family, recipe, inputs)
    steps = range(1, inputs.horizon + 1)
    made = design(whole.until(origin, inputs.horizon), [origin], steps, recipe)
    mean = np.maximum(fitted.mean(made.values).astype(np.float64), 0)
    if hasattr(fitted, "quantiles"):
        kind, quantiles = heads.OWN, heads.tidy(fitted.quantiles(made.values))
    else:
        learned = residuals.head(head, inputs.horizon)
        kind, quantiles = learned.to_json()["kind"], learned.quantiles(mean, made.column(SERIES).astype(np.int64))
    seconds = time.process_time() - started
    facts = {"model": model, "origin": str(whole.starts[origin]), "seconds": round(seconds, 3), "head": kind}
    return Part(rows(whole, made, model, mean, quantiles), residuals, facts)
