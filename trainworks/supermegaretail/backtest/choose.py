"""Which model ships: the one with the least loss at all origins but the newest, which is kept for the test."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from trainworks.errors import DataError
from trainworks.supermegaretail.backtest.parts import Part, average
from trainworks.supermegaretail.features.recipe import SERIES, codes, learn, series_names
from trainworks.supermegaretail.models import heads
from trainworks.supermegaretail.models.language import family, models
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.quantiles import COLUMNS

log = logging.getLogger(__name__)

RECIPE, AVERAGES = "recipe.json", "averages"


def choose(panel: Path, parts: Sequence[Path], text: str, head: str, horizon: int, out: Path) -> None:
    """Write ``recipe.json`` to *out*, and the parts of averages, made from those of their members, into folders of ``averages/``.

    ``recipe.json`` has ``model`` and its ``head``, the best ``baseline``, ``unshipped``: a better model that cannot ship, or null,
    ``origins`` that chose, and ``scores``: model → its mean pinball loss over all quantiles at them.

    Args:
        parts: folders of `backtest`: every model of *text* that is no average, at every origin.
        text: the knob ``models``.
        head: the knob ``head``.

    Raises:
        DataError: a part is missing, or no model could be compared.
    """
    made = {(part.facts["model"], part.facts["origin"]): part for part in map(Part.load, parts)}
    origins = sorted({origin for _, origin in made})
    tried = models(text)
    for number, model in enumerate(model for model in tried if model.members):
        code = _codes(Panel.load(panel), origins, horizon)
        for origin in origins:
            members = [_part(made, member, origin) for member in model.members]
            made[model.name, origin] = average(model.name, members, head, horizon, code[origin])
            made[model.name, origin].save(out / AVERAGES / f"{number:02d}-{origin}")
    chose = origins[:-1]
    scores = {model.name: _loss([_part(made, model.name, origin) for origin in chose]) for model in tried}
    finite = {name: score for name, score in scores.items() if np.isfinite(score)}
    if not finite:
        raise DataError(f"no model forecast anything that was sold after the origins {', '.join(chose)}")
    ranked = sorted(finite, key=lambda name: finite[name])
    single = {model.name: family(model.family) for model in tried if not model.members}
    ships = {model.name for model in tried if all(single[name].ships for name in model.members or (model.name,))}
    baselines = {name for name, kind in single.items() if kind.baseline}
    chosen = next((name for name in ranked if name in ships), None)
    baseline = next((name for name in ranked if name in baselines), None)
    if chosen is None or baseline is None:
        raise DataError(f"none of {', '.join(ranked)} can ship beside a baseline")
    unshipped = ranked[0] if ranked[0] not in ships else None
    if unshipped:
        log.warning("%s forecasts best, but cannot ship; %s does", unshipped, chosen)
    recipe = {
        "model": chosen,
        "head": made[chosen, chose[-1]].facts["head"],
        "baseline": baseline,
        "unshipped": unshipped,
        "origins": chose,
        "scores": {name: round(score, 6) if np.isfinite(score) else None for name, score in scores.items()},
    }
    (out / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n")


def all_parts(parts: Sequence[Path], chosen: Path) -> list[Path]:
    """The *parts* of the backtest and those of averages in *chosen*, the folder of `choose`."""
    return [*parts, *sorted((chosen / AVERAGES).glob("*"))]


def _part(made: dict[tuple[str, str], Part], model: str, origin: str) -> Part:
    if (model, origin) not in made:
        raise DataError(f"the backtest has no part of {model} at {origin}; map it over every model and origin")
    return made[model, origin]


def _loss(parts: Sequence[Part]) -> float:
    """The mean pinball loss over all rows with demand and all quantiles, in units; NaN if there is none."""
    table = pa.concat_tables([part.rows for part in parts])
    actual = table["actual"].to_numpy()
    known = np.isfinite(actual)
    quantiles = np.stack([table[name].to_numpy() for name in COLUMNS], axis=1)
    return heads.pinball(actual[known], quantiles[known]) if known.any() else float("nan")


def _codes(panel: Panel, origins: Sequence[str], horizon: int) -> dict[str, np.ndarray]:
    """Origin → code of the series of each row of a part."""
    starts = list(panel.starts.astype(str))
    names = series_names(panel)
    levels = {origin: learn(panel.until(starts.index(origin)), "lag(1)", "", horizon).levels[SERIES] for origin in origins}
    return {origin: np.repeat(codes(names, known), horizon) for origin, known in levels.items()}
