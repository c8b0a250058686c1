"""How expected sales answer to what a planner can change: the price, and promotions."""

from typing import Any

import numpy as np

from trainworks.supermegaretail.evaluation.tried import Tried

FACTORS = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
"""Of the price that a series has of late."""

MOST = 500
"""Series that are asked, those that sell most."""


def response(tried: Tried) -> dict[str, Any]:
    """``price`` and ``promotion``, each null if the forecaster does not know it of the periods ahead.

    Numbers are ratios of expected sales over all periods ahead: at each of ``factors`` of the price to the price as it is, and with
    a promotion to without one, by kind. Each is the ``median`` over series, and the ``low`` and ``high`` that 80 % of them lie between.
    """
    chosen = sorted(tried.alive, key=lambda series: -float(tried.level[series]))[:MOST]
    return {"price": _price(tried, chosen), "promotion": _promotion(tried, chosen)}


def _price(tried: Tried, chosen: list[int]) -> dict[str, Any] | None:
    chosen = [series for series in chosen if np.isfinite(tried.panel.price[series]) and tried.panel.price[series] > 0]
    if not chosen or not tried.planned("price"):
        return None
    sums = np.stack([tried.numbers(tried.priced(chosen, factor))[chosen, :, 0].sum(1) for factor in FACTORS], 1)
    return {"factors": list(FACTORS), **_spread(_ratio(sums, sums[:, [FACTORS.index(1.0)]]))}


def _promotion(tried: Tried, chosen: list[int]) -> dict[str, Any] | None:
    columns = tried.planned("promotion")
    if not chosen or not columns:
        return None
    without = tried.numbers(tried.offered(chosen, None))[chosen, :, :1].sum(1)
    kinds = [name for name in columns if name != "promotion"] or ["promotion"]
    ratios = [_ratio(tried.numbers(tried.offered(chosen, kind))[chosen, :, :1].sum(1), without) for kind in kinds]
    return {"kinds": [kind.removeprefix("promotion.") for kind in kinds], **_spread(np.concatenate(ratios, 1))}


def _ratio(sum_SK: np.ndarray, by_S1: np.ndarray) -> np.ndarray:
    return np.divide(sum_SK, by_S1, out=np.ones_like(sum_SK), where=by_S1 > 0)


def _spread(ratio_SK: np.ndarray) -> dict[str, list[float]]:
    low, median, high = np.percentile(ratio_SK, [10, 50, 90], axis=0)
    return {"median": median.tolist(), "low": low.tolist(), "high": high.tolist()}
