"""How wrong forecasts are, in units and in money: each number with the interval in which it lies, drawn anew over series.

Weeks of one series are alike, so it is series that the bootstrap draws. A loss is a sum over rows by a number of rows, and both
differ from series to series: a series' part in such a quotient R is R + (sum − R · rows) / mean rows, to first order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainworks.intervals import bootstrap, wilson
from trainworks.supermegaretail.evaluation.rows import Rows, paired
from trainworks.supermegaretail.quantiles import COLUMNS, QUANTILES, at

FEW = 20
"""Series below which drawing them again says too little of a share: of one series it has no width."""

Measured = dict[str, Any]
"""A number as ``value``, and its 95 % ``interval``."""


@dataclass(frozen=True)
class Costs:
    """What a unit of wrong stock costs, as a share of its price: *shortage* of one missing, *overstock* of one too many."""

    shortage: float
    overstock: float

    @property
    def level(self) -> float:
        """The quantile to order that costs least (the newsvendor's; Arrow, Harris and Marschak, Econometrica 19, 1951)."""
        return self.shortage / (self.shortage + self.overstock)

    @property
    def beyond(self) -> bool:
        """Whether that quantile lies outside of those that are forecast, so that the outermost is ordered instead."""
        return not QUANTILES[0] <= self.level <= QUANTILES[-1]

    def of(self, ordered_N: np.ndarray, sold_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cost of each of N orders by what was sold: of stock-outs, and of overstock."""
        return self.shortage * np.maximum(sold_N - ordered_N, 0), self.overstock * np.maximum(ordered_N - sold_N, 0)


def pinball(actual_N: np.ndarray, quantile_NQ: np.ndarray) -> np.ndarray:
    """The loss of each quantile, float (N, Q): τ (y − q) where more was sold than q, (1 − τ) (q − y) where less was.

    Koenker and Bassett, Econometrica 46, 1978. Two units too few for the median cost 1.
    """
    short = actual_N[:, None] - quantile_NQ
    level_Q = np.array(QUANTILES)
    return np.maximum(level_Q * short, (level_Q - 1) * short)


def quotient(sum_NK: np.ndarray, by_NK: np.ndarray, series_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K sums over N rows, each by the sum of its column of *by_NK*: values (K,), and intervals (K, 2) by a bootstrap over series.

    What is divided by nothing is NaN.
    """
    series_N = np.unique(series_N, return_inverse=True)[1]
    sum_SK, by_SK = (np.stack([np.bincount(series_N, column) for column in values.T], 1) for values in (sum_NK, by_NK))
    whole_K = by_SK.sum(0)
    by_K = np.where(whole_K > 0, whole_K, 1)
    value_K = sum_SK.sum(0) / by_K
    part_SK = value_K + (sum_SK - value_K * by_SK) / (by_K / len(by_SK))
    ends_K = np.array(bootstrap(part_SK))
    return np.where(whole_K > 0, value_K, np.nan), np.where(whole_K[:, None] > 0, ends_K, np.nan)


def summary(rows: Rows, costs: Costs) -> dict[str, Any]:
    """All that is measured of one model's *rows*; losses in units, ``weighted`` and ``cost`` in money, a period and series.

    ``pinball`` is the mean over all quantiles, ``by_quantile`` has each; ``mae`` is the median's error, ``mse``, ``rmse`` and ``bias``
    (more forecast than sold, as a share of what was sold) are the mean's. ``coverage`` is that of `coverage`.
    """
    loss_NQ = pinball(rows.actual, rows.quantiles)
    stock_out, overstock = costs.of(at(costs.level, rows.quantiles), rows.actual)
    error_N = rows.mean - rows.actual
    columns = {
        "pinball": loss_NQ.mean(1),
        "weighted": rows.worth * loss_NQ.mean(1),
        "mae": np.abs(rows.quantiles[:, QUANTILES.index(0.5)] - rows.actual),
        "mse": error_N**2,
        "cost": rows.worth * (stock_out + overstock),
        "cost_of_stock_outs": rows.worth * stock_out,
        "cost_of_overstock": rows.worth * overstock,
        **{name: loss_NQ[:, k] for k, name in enumerate(COLUMNS)},
    }
    by = {name: np.ones(len(rows)) for name in columns} | {"bias": rows.actual}
    values = _quotients(columns | {"bias": error_N}, by, rows.series)
    mse = values["mse"]
    rmse = {"value": _root(mse["value"]), "interval": [_root(end) for end in mse["interval"]]}
    return {
        "rows": len(rows),
        "series": len(np.unique(rows.series)),
        **{name: values[name] for name in columns if name not in COLUMNS},
        "rmse": rmse,
        "bias": values["bias"],
        "by_quantile": {name: values[name] for name in COLUMNS},
        "coverage": coverage(rows),
    }


def coverage(rows: Rows) -> dict[str, dict[str, Any]]:
    """Of each quantile the share of rows ``below`` it and ``at_most`` it, with intervals, and by how much its level lies ``off``.

    Where most sales are 0 so are low quantiles, and many rows lie exactly on one: the quantile of level τ is right where
    P(y < q) ≤ τ ≤ P(y ≤ q), so it is ``off`` only by what τ lies outside of that: shares too large are +, too small −. It is
    ``surely_off`` by what τ lies outside of their intervals. Of few series each counts as a single trial, however many rows it has.
    """
    actual_N1 = rows.actual[:, None]
    shares_NK = np.concatenate([actual_N1 < rows.quantiles, actual_N1 <= rows.quantiles], 1).astype(float)
    value_K, ends_K = quotient(shares_NK, np.ones_like(shares_NK), rows.series)
    if (series := len(np.unique(rows.series))) < FEW:
        wider_K2 = np.array([wilson(share, series) for share in value_K])
        ends_K = np.stack([np.minimum(ends_K[:, 0], wider_K2[:, 0]), np.maximum(ends_K[:, 1], wider_K2[:, 1])], 1)
    result = {}
    for k, (name, level) in enumerate(zip(COLUMNS, QUANTILES, strict=True)):
        other = k + len(QUANTILES)
        below, at_most = float(value_K[k]), float(value_K[other])
        result[name] = {
            "level": level,
            "below": {"value": below, "interval": ends_K[k].tolist()},
            "at_most": {"value": at_most, "interval": ends_K[other].tolist()},
            "off": _outside(level, below, at_most),
            "surely_off": _outside(level, float(ends_K[k, 0]), float(ends_K[other, 1])),
        }
    return result


def _outside(level: float, low: float, high: float) -> float:
    return low - level if low > level else high - level if high < level else 0.0


def gains(ours: Rows, theirs: Rows, costs: Costs) -> dict[str, Any]:
    """How much less *ours* loses than *theirs* on the cells that both forecast, each with its interval: positive is better.

    ``pinball``, ``weighted`` and ``cost`` are differences, ``pinball_share``, ``weighted_share`` and ``cost_share`` shares of what
    the others lose; ``rows`` is the number of cells.
    """
    ours, theirs = paired(ours, theirs)
    if not len(ours):
        return {}
    mine, other = (_lost(rows, costs) for rows in (ours, theirs))
    less = {name: other[name] - mine[name] for name in mine}
    shares = {f"{name}_share": less[name] for name in less}
    by = {name: np.ones(len(ours)) for name in less} | {f"{name}_share": other[name] for name in less}
    return {"rows": len(ours)} | _quotients(less | shares, by, ours.series)


def costs_by_level(rows: Rows, costs: Costs, levels: Sequence[float]) -> list[float]:
    """The mean cost, in money, of ordering each of *levels* as the quantile."""
    return [float((rows.worth * sum(costs.of(at(level, rows.quantiles), rows.actual))).mean()) for level in levels]


def _lost(rows: Rows, costs: Costs) -> dict[str, np.ndarray]:
    loss_N = pinball(rows.actual, rows.quantiles).mean(1)
    cost_N = rows.worth * sum(costs.of(at(costs.level, rows.quantiles), rows.actual))
    return {"pinball": loss_N, "weighted": rows.worth * loss_N, "cost": cost_N}


def _quotients(sums: Mapping[str, np.ndarray], by: Mapping[str, np.ndarray], series_N: np.ndarray) -> dict[str, Measured]:
    """Each of *sums* (N,) by that of its name in *by*."""
    value_K, ends_K = quotient(np.stack(list(sums.values()), 1), np.stack([by[name] for name in sums], 1), series_N)
    return {name: {"value": _number(value_K[k]), "interval": [_number(end) for end in ends_K[k]]} for k, name in enumerate(sums)}


def _number(value: float) -> float | None:
    """*value* as JSON has it: null for what is no number, such as a share of nothing."""
    return float(value) if np.isfinite(value) else None


def _root(value: float | None) -> float | None:
    return None if value is None else max(value, 0.0) ** 0.5
