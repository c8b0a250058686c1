"""Which model ships: the one with the least loss at all origins but the newest, which is kept for the test.

One that is not surely better there than the best baseline does not ship in its place: what won by chance would lose as often.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from trainworks.errors import DataError
from trainworks.intervals import bootstrap
from trainworks.supermegaretail.backtest.parts import Part, average
from trainworks.supermegaretail.features.recipe import SERIES, codes, learn, series_names
from trainworks.supermegaretail.models import heads
from trainworks.supermegaretail.models.language import FAMILIES, alone, models
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.quantiles import COLUMNS

log = logging.getLogger(__name__)

RECIPE, AVERAGES = "recipe.json", "averages"


def choose(panel: Path, parts: Sequence[Path], text: str, head: str, horizon: int, out: Path) -> None:
    """Write ``recipe.json`` to *out*, and the parts of averages, made from those of their members, into folders of ``averages/``.

    ``recipe.json`` has ``model`` and its ``head``, the best ``baseline``, ``unshipped``: a better model that cannot ship, or null,
    ``unsure``: models with less loss than the baseline, but not surely so, ``origins`` that chose, and ``scores``: model → its mean
    pinball loss over all quantiles at them.

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
    lost = {model.name: _losses([_part(made, model.name, origin) for origin in chose], horizon) for model in tried}
    scores = {name: float(np.nanmean(losses)) if np.isfinite(losses).any() else float("nan") for name, losses in lost.items()}
    finite = {name: score for name, score in scores.items() if np.isfinite(score)}
    if not finite:
        raise DataError(f"no model forecast anything that was sold after the origins {', '.join(chose)}")
    ranked = sorted(finite, key=lambda name: finite[name])
    single = {model.name: FAMILIES[model.family] for model in tried if not model.members}
    ships = {model.name for model in tried if all(single[name].ships for name in model.members or (model.name,))}
    baselines = {name for name, kind in single.items() if kind.baseline}
    baseline = next((name for name in ranked if name in baselines), None)
    unsure = [name for name in ranked if baseline and name not in baselines and not _surely_less(lost[name], lost[baseline])]
    chosen = next((name for name in ranked if name in ships and name not in unsure), None)
    if chosen is None or baseline is None:
        raise DataError(f"none of {', '.join(ranked)} can ship beside a baseline")
    unshipped = ranked[0] if ranked[0] not in ships else None
    if unshipped:
        log.warning("%s forecasts best, but cannot ship; %s does", unshipped, chosen)
    unsure = [name for name in unsure if finite[name] < finite[baseline]]
    if unsure and chosen == baseline:
        log.info("%s may be better, but not surely: the baseline %s ships", unsure[0], baseline)
    recipe = {
        "model": chosen,
        "head": made[chosen, chose[-1]].facts["head"],
        "baseline": baseline,
        "unshipped": unshipped,
        "unsure": unsure,
        "origins": chose,
        "scores": {name: round(score, 6) if np.isfinite(score) else None for name, score in scores.items()},
    }
    (out / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n")


def winner(chosen: Path, text: str) -> str:
    """What of the knob ``models``, *text*, is needed to learn the model that *chosen*, the folder of `choose`, names; itself at the end."""
    return alone(text, json.loads((chosen / RECIPE).read_text())["model"])


def all_parts(parts: Sequence[Path], chosen: Path) -> list[Path]:
    """The *parts* of the backtest and those of averages in *chosen*, the folder of `choose`."""
    return [*parts, *sorted((chosen / AVERAGES).glob("*"))]


def _part(made: dict[tuple[str, str], Part], model: str, origin: str) -> Part:
    if (model, origin) not in made:
        raise DataError(f"the backtest has no part of {model} at {origin}; map it over every model and origin")
    return made[model, origin]


def _losses(parts: Sequence[Part], horizon: int) -> np.ndarray:
    """The pinball loss of each series at an origin, step by step, mean over the quantiles, in units: (O · S, H); NaN without demand."""
    table = pa.concat_tables([part.rows for part in parts])
    quantiles = np.stack([table[name].to_numpy() for name in COLUMNS], axis=1)
    return heads.pinball(table["actual"].to_numpy(), quantiles).reshape(-1, horizon)


def _surely_less(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether *ours* (N, H) lose less than *theirs*: the whole 95 % interval over series and origins does."""
    return bootstrap(np.nansum(theirs - ours, axis=1)[:, None])[0][0] > 0


def _codes(panel: Panel, origins: Sequence[str], horizon: int) -> dict[str, np.ndarray]:
    """Origin → code of the series of each row of a part."""
    starts = list(panel.starts.astype(str))
    names = series_names(panel)
    levels = {origin: learn(panel.until(starts.index(origin)), "lag(1)", "", horizon).levels[SERIES] for origin in origins}
    return {origin: np.repeat(codes(names, known), horizon) for origin, known in levels.items()}
