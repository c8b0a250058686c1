"""What else is to be seen in the newest periods: each sign in words, whether it warns, and whether it only explains."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trainworks import drift, profile
from trainworks.supermegaretail.evaluation import losses
from trainworks.supermegaretail.monitoring.realised import Realised
from trainworks.supermegaretail.panel.panel import Panel, State
from trainworks.supermegaretail.panel.states import SURE

COVERAGE, BIAS, SERIES = 0.1, 0.2, 0.1
"""By how much a quantile's level may surely be off, the mean surely be wrong (as a share of what was sold), and which share of series may
be new or dead. The first is twice the gate: all series err together in a week, which an interval over series does not know, and in calm
simulated years up to nine points were seen."""

PAST = 26
"""Periods before those looked at that plans are compared with."""

NAMED = 8
"""Stores and the like that are named; others are counted."""

Sign = dict[str, Any]
"""``sign``, its name; ``value``, a number or None; ``says``, in words; ``warns`` and ``explains``: what it does now, if anything."""


def signs(made: Realised, panel: Panel, recent: int) -> list[Sign]:
    """Every sign, of the newest *recent* periods of *panel*."""
    return [*_of_losses(made), *_series(made, panel, recent), *_missing(panel, recent), *_plan(panel, recent)]


def _sign(name: str, value: float | None, says: str, warns: bool = False, explains: bool = False) -> Sign:
    return {"sign": name, "value": value, "says": says, "warns": bool(warns), "explains": bool(explains)}


def _of_losses(made: Realised) -> Iterator[Sign]:
    """Coverage and bias of all that was compared."""
    if not len(made.ours):
        return
    off = {name: share["surely_off"] for name, share in losses.coverage(made.ours).items()}
    worst = max(off, key=lambda name: abs(off[name]))
    yield _sign("coverage", off[worst], f"{worst} is surely off by {100 * abs(off[worst]):.1f} points", abs(off[worst]) > COVERAGE)
    sold = made.ours.actual
    values, ends = losses.quotient((made.ours.mean - sold)[:, None], sold[:, None], made.ours.series)
    value, (low, high) = float(values[0]), ends[0]
    words = f"{100 * abs(value):.0f} % {'more' if value > 0 else 'less'} was forecast than sold"
    yield _sign("bias", value if np.isfinite(value) else None, words, max(low, -high) > BIAS)


def _series(made: Realised, panel: Panel, recent: int) -> Iterator[Sign]:
    """Series that the release does not know, and those that it expects to sell and that do not."""
    if not len(made.table):
        return
    series, target = made.table["series"].to_numpy(), made.table["target"].to_numpy()
    newest = made.table["origin"].to_numpy() == made.table["origin"].to_numpy().max()
    pooled = made.table["pooled"].to_numpy(zero_copy_only=False).astype(bool)
    known = np.zeros(len(panel.series), bool)
    known[series[newest & ~pooled & (series >= 0)]] = True
    sells = (np.nan_to_num(panel.demand[:, -recent:]) > 0).any(1)
    share = float((sells & ~known).sum() / max(sells.sum(), 1))
    yield _sign("new series", share, f"{(sells & ~known).sum():,} of {sells.sum():,} series with sales are new to it", share > SERIES)
    seen = (series >= 0) & (target < panel.known) & (target >= panel.known - recent)
    cell, place = np.unique(series[seen] * panel.known + target[seen], return_inverse=True)
    mean = np.bincount(place, made.table["mean"].to_numpy()[seen]) / np.maximum(np.bincount(place), 1)
    of = cell // panel.known
    expected = np.bincount(of, mean, len(panel.series))
    sold = np.bincount(of, np.nan_to_num(panel.demand[of, cell % panel.known]), len(panel.series))
    asked = expected >= SURE
    dead = asked & (sold == 0)
    share = float(dead.sum() / max(asked.sum(), 1))
    yield _sign(
        "dead series",
        share,
        f"{dead.sum():,} of {asked.sum():,} series sold nothing, of which {SURE:g} units or more were expected",
        share > SERIES,
    )


def _missing(panel: Panel, recent: int) -> Iterator[Sign]:
    """Periods without any line, and stores without one in periods in which they were expected to sell."""
    newest = slice(panel.known - recent, panel.known)
    silent = (panel.state[:, newest] == State.CLOSED) & panel.sells[:, newest]
    open_ = (panel.state[:, newest] != State.NOT_LISTED) & panel.sells[:, newest]
    starts = panel.starts[newest]
    nothing = open_.any(0) & (silent | ~open_).all(0)
    words = [f"no line at all on {start}" for start in starts[nothing]]
    if "store" in panel.keys:
        store = panel.series["store"].to_numpy(zero_copy_only=False)
        for name in np.unique(store.astype(str)):
            rows = store.astype(str) == name
            gone = open_[rows].any(0) & (silent[rows] | ~open_[rows]).all(0) & ~nothing
            if gone.any():
                words.append(f"store {name} sent no line in {gone.sum()} of {recent} {panel.period}s, first on {starts[gone][0]}")
    says = "; ".join(words[:NAMED]) + (f"; and {len(words) - NAMED} more" if len(words) > NAMED else "")
    yield _sign("missing sales", float(silent.sum() / max(open_.sum(), 1)), says or "every store that should sell sent lines", bool(words))


def _plan(panel: Panel, recent: int) -> Iterator[Sign]:
    """How far promotions and prices lie from those of the PAST periods before; they explain a loss, for no plan is wrong by itself.

    The threshold is the most that any *recent* periods of the past differ from the others: a distribution test alone fires at every
    Christmas.
    """
    past = slice(max(panel.known - recent - PAST, 0), panel.known - recent)
    now = slice(panel.known - recent, panel.known)
    for name, words in (("promotion", "promotions"), ("price", "prices")):
        if name not in panel.covariates:
            continue
        values = panel.covariates[name][:, : panel.known]
        if name == "price":
            with np.errstate(invalid="ignore", divide="ignore"):
                values = np.log(values / _median(values[:, past])[:, None])
        values = np.where(panel.sells[:, : panel.known], values if name == "price" else np.nan_to_num(values), np.nan)
        before = values[:, past]
        finite = np.isfinite(before)
        if min(finite.sum(), np.isfinite(values[:, now]).sum()) < drift.LEAST:
            continue
        windows = [np.arange(before.shape[1]) // recent == k for k in range(before.shape[1] // recent)]
        pairs = ((_finite(before[:, window]), _finite(before[:, ~window])) for window in windows if not window.all())
        reference = profile.summary(_finite(before)) | {"noise": profile.noise(pairs)}
        row = drift.compare(words, reference, _finite(values[:, now]))
        says = f"PSI {row['shift']:.2f}, as usual up to {row['threshold']:.2f}"
        yield _sign(words, row["shift"], says, explains=not row["ok"])


def _median(values: np.ndarray) -> np.ndarray:
    """Of each row (S,); NaN where nothing is known."""
    known = np.isfinite(values).any(1)
    medians = np.full(len(values), np.nan)
    medians[known] = np.nanmedian(values[known], axis=1)
    return medians


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]
