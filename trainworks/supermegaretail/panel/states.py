"""What each cell of a panel is, from what was sold in it and what else is known of it.

The state of a period depends on that period and those before it, never on later ones.
"""

from dataclasses import dataclass

import numpy as np

from trainworks.supermegaretail.panel.panel import State

YEAR = {"day": 365, "week": 52, "month": 12}
SILENT = {"day": 90, "week": 13, "month": 3}
"""Periods without a line after which a store is taken as closed for good."""

SURE = 7.0
"""Units a period from which on a period without any line is no chance: with this mean, one in a thousand is."""

UNLIKELY = 1e-6
"""The probability of a run of zeros below which it gets a warning."""


@dataclass(frozen=True)
class Evidence:
    """What is known of S series in K periods with sales, or in all T with the planned ones.

    Attributes:
        quantity: (S, K), NaN without a line
        place_quantity, place_lines: (S, K), of all that the store of the series sold
        signs: (S, K) bool, a promotion or a row of stock
        most_stock: (S, K), NaN where not known
        shut: (S, T) bool, closed or not listed by calendar, products or stores
        promoted: (S, T) bool
        missing: (K,) bool, periods in which nobody sold anything
    """

    quantity: np.ndarray
    place_quantity: np.ndarray
    place_lines: np.ndarray
    signs: np.ndarray
    most_stock: np.ndarray
    shut: np.ndarray
    promoted: np.ndarray
    missing: np.ndarray


def states(evidence: Evidence, period: str, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """The state (S, K) of each cell, and whether it sells (S, T) as far as was known *horizon* periods before."""
    known = evidence.quantity.shape[1]
    has_line = ~np.isnan(evidence.quantity)
    sign = has_line | evidence.signs
    silence = periods_since(sign)
    closed = (_nobody_sold(evidence) | evidence.missing) & ~has_line
    sold = evidence.quantity > 0
    out = (evidence.most_stock <= 0) & ~sold
    listed = (silence <= YEAR[period]) & (silence >= 0)
    state = np.select(
        [sold, ~listed | (evidence.shut[:, :known] & ~has_line), closed, out],
        [State.SOLD, np.where(listed & evidence.shut[:, :known], State.CLOSED, State.NOT_LISTED), State.CLOSED, State.OUT_OF_STOCK],
        State.ZERO,
    ).astype(np.uint8)
    gone = (silence > YEAR[period]) | (periods_since(~closed) > SILENT[period])
    sells = ~evidence.shut
    sells[:, horizon : known + horizon] &= ~gone | evidence.promoted[:, horizon : known + horizon]
    return state, sells


def periods_since(happened: np.ndarray) -> np.ndarray:
    """Periods since the last that *happened*, 0 in it and -1 before the first: (S, K)."""
    at = np.arange(happened.shape[1])
    newest = np.maximum.accumulate(np.where(happened, at, -1), axis=1)
    return np.where(newest >= 0, at - newest, -1)


def _nobody_sold(evidence: Evidence) -> np.ndarray:
    """Periods in which a store has no line, which for what it sold before cannot be chance."""
    before = np.cumsum(evidence.place_quantity, axis=1) - evidence.place_quantity
    open_periods: np.ndarray = np.cumsum(evidence.place_lines > 0, axis=1) - (evidence.place_lines > 0)
    return (evidence.place_lines == 0) & (before > SURE * np.maximum(open_periods, 1))


@dataclass(frozen=True)
class Run:
    """Zeros in a row that a series of such a mean hardly has by chance."""

    series: int
    first: int
    length: int
    mean: float
    log10: float
    """Of the probability, at that mean."""


def unlikely_zeros(demand: np.ndarray) -> list[Run]:
    """Runs of zeros that are unlikely both under a Poisson law and by how often the series had a zero before; the least likely first."""
    runs = []
    zero = demand == 0
    starts = zero & ~np.pad(zero, ((0, 0), (1, 0)))[:, :-1]
    for series, first in np.argwhere(starts):
        past = demand[series, :first]
        past = past[~np.isnan(past)]
        after = np.flatnonzero(~zero[series, first:])
        length = int(after[0]) if len(after) else demand.shape[1] - int(first)
        if len(past) < 8 or length < 2:
            continue
        mean, zeros = past.mean(), ((past == 0).sum() + 1) / (len(past) + 2)
        log10 = -mean * length / np.log(10)
        if max(log10, length * np.log10(zeros)) < np.log10(UNLIKELY):
            runs.append(Run(int(series), int(first), length, float(mean), float(log10)))
    return sorted(runs, key=lambda run: run.log10)
