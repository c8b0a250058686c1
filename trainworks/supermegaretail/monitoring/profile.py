"""The reference profile: what a bundle remembers of its panel, so that newer sales can be compared with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from trainworks.profile import Values, reference
from trainworks.supermegaretail.panel.panel import Panel

FILE = "profile.json"
SCHEMA = 1

NEWEST = 26
"""Periods that are looked at, the last ones with sales."""


def profile(panel: Panel) -> dict[str, Any]:
    """What ``profile.json`` holds: each of `quantities` as its ``profile.reference``, parted by product."""
    groups = panel.series["product"].to_pylist() if "product" in panel.series.column_names else [""] * len(panel.series)
    at_work = np.isfinite(panel.demand[:, -NEWEST:]).any(1)
    names = [name for name, kept in zip(groups, at_work, strict=True) if kept]
    return {"schema": SCHEMA, "period": panel.period, "measures": {name: reference(v, names) for name, v in quantities(panel).items()}}


def quantities(panel: Panel) -> dict[str, Values]:
    """Of each series that was on sale in the NEWEST periods: units a period, periods without a sale, promoted ones, price, category."""
    newest = panel.demand[:, -NEWEST:]
    at_work = np.isfinite(newest).any(1)
    newest = newest[at_work]
    values: dict[str, Values] = {
        "units a period, log": np.log1p(np.nanmean(newest, 1)),
        "share of periods without a sale": np.nanmean(np.where(np.isfinite(newest), newest == 0, np.nan), 1),
    }
    if "promotion" in panel.covariates:
        promotion = panel.covariates["promotion"][at_work, : panel.known][:, -NEWEST:]
        values["share of periods promoted"] = (np.nan_to_num(promotion) > 0).mean(1)
    price = panel.price[at_work]
    if np.isfinite(price).sum() == len(price):
        values["price of a unit, log"] = np.log(np.maximum(price, 1e-9))
    if "category" in panel.series.column_names:
        categories = panel.series["category"].to_pylist()
        values["category"] = [[str(name or "not stated")] for name, kept in zip(categories, at_work, strict=True) if kept]
    return values


def write(out: Path, content: dict[str, Any]) -> None:
    """Write ``profile.json`` into the folder *out*."""
    (out / FILE).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
