"""Serving a forecaster: a chain's 1,000 products, four weeks ahead, on one core.

Ours is what a service calls, from the bundle's files, without LightGBM: the mean by onnxruntime, and the six quantiles of its head. Beside
it LightGBM predicts the mean alone, from the model that the graph was made of; LightGBM itself could give no quantiles of it. The last row
has the features as well: a whole `Forecaster.forecast`, from the state on. Without ``make completejourney`` before, and quickly, it is
the embedded sample.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.forecasting import HORIZON, panel_folder, usual
from benchmarks.harness import Facts, Row, alternate, cached_folder, child, median, ratios, version

SECONDS = 2.0
"""How long each is repeated."""


def rows(quick: bool) -> Iterator[Row]:
    """On the full source where it was made."""
    panel = panel_folder(quick)
    folder = str(cached_folder(f"forecaster-{Path(panel).name}", lambda out: child(ship, panel=panel, out=str(out))))
    sides = (partial(child, ours, folder=folder), partial(child, lightgbm, panel=panel))
    own, theirs = alternate(1 if quick else 3, *sides)
    shown = {"ours": f"{1 / median(own, 'row'):,.0f} forecasts/s", "theirs": f"{1 / median(theirs, 'row'):,.0f} means/s"}
    yield Row("boosting, from features", f"{version('lightgbm')}, the mean alone", ratios(theirs, own, "row"), "", **shown)
    for work, fact in (("boosting, from features", "row"), ("boosting, from the state", "whole")):
        speeds = [1 / run[fact] for run in own]
        yield Row(
            work,
            "50,000 forecasts/s on a core",
            [speed / 50_000 for speed in speeds],
            ">= 1",
            of="speed",
            ours=f"{1 / median(own, fact):,.0f}/s",
        )


def ship(panel: str, out: str) -> Facts:
    """The files of a forecaster of boosting."""
    from trainworks.storage import manifest
    from trainworks.supermegaretail.backtest.shipped import ship
    from trainworks.supermegaretail.delivery.export import export

    (model := Path(out) / "model").mkdir()
    ship(Path(panel), "boosting", usual(), "choose", model)
    (forecaster := Path(out) / "forecaster").mkdir()
    export(model, Path(panel), forecaster)
    manifest.write(forecaster)
    return {}


def ours(folder: str) -> Facts:
    """CPU seconds per forecast, from features, and from the state."""
    from trainworks.supermegaretail.features.design import design
    from trainworks.supermegaretail.forecaster import Forecaster

    forecaster = Forecaster.load(f"{folder}/forecaster")
    panel = forecaster.panel.until(forecaster.panel.known - 1, HORIZON)
    asked = design(panel, [panel.known - 1], range(1, HORIZON + 1), forecaster.recipe)
    return {"row": _cost(lambda: forecaster.rows(asked), len(asked.values)), "whole": _cost(forecaster.forecast, len(asked.values))}


def lightgbm(panel: str) -> Facts:
    """CPU seconds per mean."""
    from trainworks.supermegaretail.backtest.learning import fit, recipe_for
    from trainworks.supermegaretail.features.design import design
    from trainworks.supermegaretail.models.language import models
    from trainworks.supermegaretail.panel.panel import Panel

    whole = Panel.load(Path(panel))
    origin = whole.known - 1 - HORIZON
    known, family = whole.until(origin), models("boosting")[0].build()
    recipe = recipe_for(known, [family], usual())
    fitted: Any = fit(known, family, recipe, usual())[0]
    asked = fitted.inputs(design(whole.until(origin, HORIZON), [origin], range(1, HORIZON + 1), recipe).values)
    return {"row": _cost(lambda: fitted.booster.predict(asked, num_threads=1), len(asked))}


def _cost(work: Callable[[], object], forecasts: int) -> float:
    """CPU seconds for one of the *forecasts* that *work* makes."""
    work()
    began, times = time.process_time(), 0
    while (spent := time.process_time() - began) < SECONDS:
        work()
        times += 1
    return spent / times / forecasts
