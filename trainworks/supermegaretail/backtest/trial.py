"""What a sweep needs to know of Supermegaretail: what a trial and its winner reached."""

import json
from collections.abc import Mapping
from pathlib import Path

from optuna.distributions import BaseDistribution

from trainworks.report.page import percent
from trainworks.supermegaretail.backtest.choose import RECIPE
from trainworks.supermegaretail.features.languages import covariates as parsed
from trainworks.sweep.trials import Objective

OBJECTIVE = Objective("pinball loss", "lower", "units")


def check(space: Mapping[str, BaseDistribution], covariates: str) -> None:
    """Refuse to vary ``covariates`` beyond those that the panel of all trials is made with.

    Raises:
        ValueError: a choice in *space* names one that *covariates* does not.
    """
    known = {each.name for each in parsed(covariates)}
    for choice in getattr(space.get("covariates"), "choices", ()):
        if missing := sorted({each.name for each in parsed(choice)} - known):
            raise ValueError(
                f"space: covariates = {choice} names {', '.join(missing)}, which the panel would not have; "
                f"name all that any trial needs in --covariates, now {covariates!r}"
            )


def chosen_loss(chosen: Path) -> float:
    """The mean pinball loss, in units, at all origins but the test, of the model that *chosen*, the folder of `choose`, ships."""
    recipe = json.loads((chosen / RECIPE).read_text())
    return recipe["scores"][recipe["model"]]


def tested(metrics: Path) -> tuple[float, str]:
    """The mean pinball loss at the test origin, in units; and the same in words, beside the best baseline's."""
    measured = json.loads((metrics / "metrics.json").read_text())
    (score,) = (each for each in measured["scores"] if each["name"] == measured["objective"] and not each.get("group"))
    saved = score["gain"]["value"] / (score["value"] + score["gain"]["value"])
    return score["value"], f"test {score['value']:.4g} ({percent(saved)} less than {score['gain']['over']})"
