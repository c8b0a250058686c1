"""Features of what was sold: from demand (series, period) to one value for each series and origin.

A cell that is not demand is NaN and passed over; a feature without any cell is NaN. Nothing after an origin is read.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from trainworks.grammar import Call
from trainworks.supermegaretail.features.languages import column
from trainworks.supermegaretail.quantiles import QUANTILES

LONG_AGO = 104
"""Periods after which since_sale and age count no further."""

BLOCK = 2**21
"""About how many numbers of a window's copy are in memory at once."""


def names(call: Call) -> list[str]:
    """The columns of one feature: ``quantile(52)`` has one for each quantile."""
    return [f"{column(call)[:-1]}, {share})" for share in QUANTILES] if call.name == "quantile" else [column(call)]


def columns(call: Call, demand: np.ndarray, origins: np.ndarray) -> list[np.ndarray]:
    """The columns of a feature of one window, each (S, O) float64, from *demand* (S, T) at *origins* (O,)."""
    if call.name == "ewm":
        return [smoothed(demand, origins, float(call.args[0]))]
    if call.name == "since_sale":
        return [np.minimum(_periods_since_sale(demand)[:, origins], LONG_AGO)]
    if call.name == "age":
        return [np.minimum(np.cumsum(~np.isnan(demand), axis=1)[:, origins], LONG_AGO)]
    if call.name == "lag":
        return [windows(demand, origins, int(call.args[0]))[:, :, 0]]
    periods = int(call.args[0])
    reduce = {"mean": _mean, "std": _std, "sold": _sold, "trend": _slope, "quantile": _quantiles}[call.name]
    at_once = max(1, BLOCK // (len(origins) * periods))
    parts = [reduce(windows(demand[start : start + at_once], origins, periods)) for start in range(0, len(demand), at_once)]
    whole = np.concatenate(parts) if parts else reduce(windows(demand, origins, periods))
    return [whole] if whole.ndim == 2 else list(np.moveaxis(whole, 2, 0))


def windows(values: np.ndarray, origins: np.ndarray, periods: int) -> np.ndarray:
    """The *periods* up to each origin, (S, O, periods); NaN before the first."""
    padded = np.concatenate([np.full((len(values), periods - 1), np.nan), values], axis=1)
    return sliding_window_view(padded, periods, axis=1)[:, origins]


def smoothed(demand: np.ndarray, origins: np.ndarray, share: float) -> np.ndarray:
    """Exponential smoothing, (S, O): the weights fall by 1 - *share* with every cell that is demand, and sum to 1 from the first on."""
    level, weight = np.zeros(len(demand)), np.zeros(len(demand))
    at_origin = np.empty((len(demand), len(origins)))
    for period in range(int(origins.max(initial=-1)) + 1):
        cell = demand[:, period]
        known = ~np.isnan(cell)
        level = np.where(known, (1 - share) * level + share * cell, level)
        weight = np.where(known, (1 - share) * weight + share, weight)
        at_origin[:, origins == period] = _ratio(level, weight)[:, None]
    return at_origin


def seasonal(demand: np.ndarray, origins: np.ndarray, steps: np.ndarray, season: int) -> np.ndarray:
    """What was sold one season before the target, or as many seasons before as are needed to be known: (S, O, H)."""
    targets = origins[:, None] + steps
    seasons = -(-steps // season)
    source = targets - seasons * season
    return np.where(source >= 0, demand[:, np.maximum(source, 0)], np.nan)


def last_known(values: np.ndarray) -> np.ndarray:
    """*values* (S, T) with each NaN replaced by the last value before it, if there is one."""
    newest = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(values.shape[1])), axis=1)
    return np.where(newest >= 0, np.take_along_axis(values, np.maximum(newest, 0), axis=1), np.nan)


def _periods_since_sale(demand: np.ndarray) -> np.ndarray:
    """0 where the period itself sold; where nothing did yet, periods since the first that is demand, and one: (S, T)."""
    periods = np.arange(demand.shape[1])
    with np.errstate(invalid="ignore"):
        newest = np.maximum.accumulate(np.where(demand > 0, periods, -1), axis=1)
    cells = np.cumsum(~np.isnan(demand), axis=1)
    return np.where(newest >= 0, periods - newest, np.where(cells > 0, cells, np.nan))


def _ratio(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.divide(total, weight, out=np.full(np.broadcast(total, weight).shape, np.nan), where=weight > 0)


def _mean(cells: np.ndarray) -> np.ndarray:
    known = ~np.isnan(cells)
    return _ratio(np.where(known, cells, 0).sum(axis=2), known.sum(axis=2))


def _std(cells: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean((cells - _mean(cells)[:, :, None]) ** 2))


def _sold(cells: np.ndarray) -> np.ndarray:
    return _mean(np.where(np.isnan(cells), np.nan, cells > 0))


def _slope(cells: np.ndarray) -> np.ndarray:
    """Of the least-squares line through the cells, in units per period; NaN with fewer than two cells."""
    known = ~np.isnan(cells)
    at = np.where(known, np.arange(cells.shape[2], dtype=np.float64), np.nan)
    from_middle = np.where(known, at - _mean(at)[:, :, None], 0)
    return _ratio((from_middle * np.where(known, cells, 0)).sum(axis=2), (from_middle**2).sum(axis=2))


def _quantiles(cells: np.ndarray) -> np.ndarray:
    """Empirical quantiles, linear between two cells: (S, O, Q)."""
    ordered = np.sort(cells, axis=2)
    last = (~np.isnan(cells)).sum(axis=2)[:, :, None] - 1
    place = np.maximum(last, 0) * np.array(QUANTILES)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(last, 0))
    low, high = (np.take_along_axis(ordered, side, axis=2) for side in (below, above))
    return low + (high - low) * (place - below)
