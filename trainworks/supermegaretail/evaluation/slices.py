"""Parts of the forecasts whose losses are measured apart: a mean hides whom a model fails."""

import numpy as np
import pyarrow as pa

from trainworks.supermegaretail.evaluation.rows import Rows
from trainworks.supermegaretail.panel.panel import Panel

MOST = 8
"""Categories and stores shown, those that sell most; all others are one part."""

NEW = 26
"""Periods with sales known at the origin below which a series is new; half of all known ones where these are fewer than twice as many."""

Masks = dict[str, np.ndarray]


def slices(rows: Rows, panel: Panel) -> dict[str, Masks]:
    """What the *rows* are parted by → part → mask over the rows, none empty; a parting with one part says nothing and is left out.

    Volume, age and the largest stores and categories are told by what was known at each row's origin.
    """
    series, origin, target = places(rows, panel)
    ends = np.unique(origin)
    sold_SO = np.stack([np.nansum(panel.demand[:, : end + 1], 1) for end in ends], 1)
    periods_SO = np.stack([np.isfinite(panel.demand[:, : end + 1]).sum(1) for end in ends], 1)
    which = np.searchsorted(ends, origin)
    sold, periods = sold_SO[series, which], periods_SO[series, which]
    parts: dict[str, Masks] = {}
    if "promotion" in panel.covariates:
        on_offer = is_promoted(panel)[series, target]
        parts["promotion"] = {"promoted": on_offer, "not promoted": ~on_offer}
    parts["volume"] = _volume(sold / np.maximum(periods, 1))
    parts["age"] = _age(periods, ends[which] + 1)
    for name in ("category", "department", "store"):
        if name in panel.series.column_names:
            parts[name] = _largest(panel.series[name].take(pa.array(series)), sold)
    parts["horizon"] = {f"{step} ahead": rows.step == step for step in np.unique(rows.step)}
    present = {name: {part: mask for part, mask in masks.items() if mask.any()} for name, masks in parts.items()}
    return {name: masks for name, masks in present.items() if len(masks) > 1}


def is_promoted(panel: Panel) -> np.ndarray:
    """Whether each cell, bool (S, T), is promoted by more than half of what its series is at most; of a chain's stores it is a share."""
    promotion = np.nan_to_num(panel.covariates["promotion"])
    return promotion > promotion.max(1, keepdims=True) / 2


def places(rows: Rows, panel: Panel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each row lies in *panel*: its series, and the periods of its origin and of its start."""
    named = list(zip(*(panel.series[key].to_pylist() for key in panel.keys), strict=True))
    position = {name: k for k, name in enumerate(named)}
    series = np.array([position[name] for name in zip(*(rows.table[key].to_pylist() for key in panel.keys), strict=True)], np.int64)
    origin, target = (np.searchsorted(panel.starts, rows.table[name].to_numpy().astype("datetime64[D]")) for name in ("origin", "start"))
    return series, origin, target


def _volume(rate: np.ndarray) -> Masks:
    """Thirds of the rows by units that were sold a period."""
    low, high = np.quantile(rate, [1 / 3, 2 / 3])
    return {"slow third": rate <= low, "middle third": (rate > low) & (rate <= high), "fast third": rate > high}


def _age(periods: np.ndarray, known: np.ndarray) -> Masks:
    is_new = periods < np.minimum(NEW, known / 2)
    return {"new": is_new, "known for long": ~is_new}


def _largest(names: pa.ChunkedArray, sold: np.ndarray) -> Masks:
    """The rows of each of the MOST names that sold most, and of all others."""
    values = np.array([name or "not stated" for name in names.to_pylist()], object)
    distinct, code = np.unique(values.astype(str), return_inverse=True)
    order = np.argsort(-np.bincount(code, sold), kind="stable")[:MOST]
    masks = {str(distinct[k]): code == k for k in order}
    masks[f"{len(distinct) - len(order)} others"] = ~np.isin(code, order)
    return masks
