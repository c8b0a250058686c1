"""Heads: from the mean that a model forecasts to quantiles, which cannot cross and cannot be negative. Serving needs numpy only.

A head is learned from rows whose mean was forecast and whose demand is known. Its quantiles depend on the mean and the series alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from trainworks.supermegaretail.features.design import Design
from trainworks.supermegaretail.features.recipe import SERIES
from trainworks.supermegaretail.quantiles import QUANTILES

PRIOR = 20
"""Rows of its own that a series needs for its dispersion to count half."""

USUAL = 0.2
"""A dispersion as sales have it, by which rows are weighed until theirs is known."""

LEAST_ROWS = 200
"""Rows in a bin of the mean, within which residuals are alike."""

MOST_BINS = 12

LARGE = 200.0
"""Above this mean, counts are taken in units of mean / LARGE: their grain is finer than the dispersion."""

SMOOTH = 0.002
"""Below this dispersion, counts above LARGE are taken as normal with a skew."""

NORMAL = np.array([-2.170090, -0.674490, 0.0, 0.674490, 1.644854, 2.326348])
"""The normal distribution's quantiles."""

LEAST_MEAN = 1e-6


class Head(Protocol):
    """What gives quantiles."""

    def quantiles(self, mean: np.ndarray, series: np.ndarray) -> np.ndarray:
        """The quantiles (N, Q) of rows with *mean* (N,) and code of the *series* (N,), in units."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What :func:`from_json` takes back."""
        ...


class Distribution:
    """What turns a graph's outputs into means and quantiles: a head, or the model's own quantiles."""

    def __init__(self, head: Head | None):
        self._head = head

    def distribution(self, outputs: Mapping[str, np.ndarray], rows: Design) -> tuple[np.ndarray, np.ndarray]:
        """Means (N,) and quantiles (N, Q) from the *outputs* of a graph for *rows*: ``mean``, and ``quantiles`` if there is no head."""
        mean = np.maximum(outputs["mean"].astype(np.float64), 0)
        if self._head is None:
            return mean, tidy(outputs["quantiles"])
        return mean, self._head.quantiles(mean, rows.column(SERIES).astype(np.int64))


def from_json(content: Mapping[str, Any]) -> Distribution:
    """What a folder's ``features.json`` says of its head."""
    kind = content["kind"]
    return Distribution(None if kind == OWN else HEADS[kind].from_json(content))


def tidy(quantiles: np.ndarray) -> np.ndarray:
    """*quantiles* (N, Q) at least 0, and in rising order."""
    return np.maximum.accumulate(np.maximum(quantiles.astype(np.float64), 0), axis=1)


class NegativeBinomial:
    """Counts with variance mean + dispersion · mean², the dispersion by moments, that of each series drawn towards that of all."""

    name = "negative_binomial"

    def __init__(self, dispersion: np.ndarray):
        self.dispersion = dispersion
        """(codes,) by code of the series; 0 is that of all."""

    @classmethod
    def learn(cls, mean: np.ndarray, sold: np.ndarray, series: np.ndarray, count: int) -> "NegativeBinomial":
        """From N rows of *mean*, what was *sold*, and the code of the *series*, one of *count*."""
        return cls(dispersions(mean, sold, series, count))

    def quantiles(self, mean: np.ndarray, series: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return negative_binomial(mean, self.dispersion[series])

    def to_json(self) -> dict[str, Any]:
        """See `Head`."""
        return {"kind": self.name, "dispersion": np.round(self.dispersion, 5).tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "NegativeBinomial":
        """The head of :meth:`to_json`."""
        return cls(np.array(content["dispersion"], np.float64))


class _Residuals(ABC):
    """Empirical quantiles of residuals, in units of their spread by series, in bins of the mean with straight lines between."""

    name = ""

    def __init__(self, spread: np.ndarray, mean: np.ndarray, table: np.ndarray, whole: bool):
        self.spread, self.mean, self.table, self.whole = spread, mean, table, whole
        """(codes,) by code of the series, 0 being all; (B,) centers of the bins; (B, Q) quantiles of the residuals; whether units are."""

    @classmethod
    def learn(cls, mean: np.ndarray, sold: np.ndarray, series: np.ndarray, count: int) -> Any:
        """From N rows of *mean*, what was *sold*, and the code of the *series*, one of *count*."""
        mean = np.maximum(mean, LEAST_MEAN)
        spread = cls._spread(mean, sold, series, count)
        residual = cls._residual(mean, sold, spread[series])
        bins = np.array_split(np.argsort(mean, kind="stable"), int(np.clip(len(mean) // LEAST_ROWS, 1, MOST_BINS)))
        centers = np.array([np.log(mean[rows]).mean() for rows in bins])
        table = np.array([np.quantile(residual[rows], QUANTILES) for rows in bins])
        return cls(spread, centers, table, bool((sold == np.round(sold)).all()))

    def quantiles(self, mean: np.ndarray, series: np.ndarray) -> np.ndarray:
        """See `Head`."""
        mean = np.maximum(mean, LEAST_MEAN)
        residual = np.stack([np.interp(np.log(mean), self.mean, column) for column in self.table.T], axis=1)
        quantiles = tidy(self._value(mean[:, None], residual, self.spread[series][:, None]))
        return np.round(quantiles) if self.whole else quantiles

    def to_json(self) -> dict[str, Any]:
        """See `Head`."""
        content = {"kind": self.name, "whole": self.whole, "spread": np.round(self.spread, 5).tolist()}
        return {**content, "mean": self.mean.tolist(), "table": self.table.tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Any:
        """The head of :meth:`to_json`."""
        spread, mean, table = (np.array(content[name], np.float64) for name in ("spread", "mean", "table"))
        return cls(spread, mean, table, content["whole"])

    @staticmethod
    @abstractmethod
    def _spread(mean: np.ndarray, sold: np.ndarray, series: np.ndarray, count: int) -> np.ndarray:
        """Of each code of *series*, 0 being all: (codes,)."""

    @staticmethod
    @abstractmethod
    def _residual(mean: np.ndarray, sold: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """How far what was *sold* lies from *mean*, as a share of the *spread*: (N,)."""

    @staticmethod
    @abstractmethod
    def _value(mean: np.ndarray, residual: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """The inverse of `_residual`."""


class Empirical(_Residuals):
    """Residuals by the deviation of the negative binomial, whose shape is then that of the residuals."""

    name = "empirical"

    @staticmethod
    def _spread(mean: np.ndarray, sold: np.ndarray, series: np.ndarray, count: int) -> np.ndarray:
        return dispersions(mean, sold, series, count)

    @staticmethod
    def _residual(mean: np.ndarray, sold: np.ndarray, spread: np.ndarray) -> np.ndarray:
        return (sold - mean) / np.sqrt(mean + spread * mean**2)

    @staticmethod
    def _value(mean: np.ndarray, residual: np.ndarray, spread: np.ndarray) -> np.ndarray:
        return mean + residual * np.sqrt(mean + spread * mean**2)


class LogResidual(_Residuals):
    """Residuals of the logarithm, by their deviation in each series: suits sales that are large or smooth."""

    name = "log_residual"
    HALF = 0.5
    """Added to both, so that zeros have a logarithm."""

    @staticmethod
    def _spread(mean: np.ndarray, sold: np.ndarray, series: np.ndarray, count: int) -> np.ndarray:
        square = (np.log(sold + LogResidual.HALF) - np.log(mean + LogResidual.HALF)) ** 2
        return np.sqrt(np.maximum(_drawn(square, np.ones_like(square), series, count), 1e-8))

    @staticmethod
    def _residual(mean: np.ndarray, sold: np.ndarray, spread: np.ndarray) -> np.ndarray:
        return (np.log(sold + LogResidual.HALF) - np.log(mean + LogResidual.HALF)) / spread

    @staticmethod
    def _value(mean: np.ndarray, residual: np.ndarray, spread: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(residual * spread, 50) + np.log(mean + LogResidual.HALF)) - LogResidual.HALF


HEADS: dict[str, Any] = {head.name: head for head in (NegativeBinomial, LogResidual, Empirical)}
OWN = "own"
"""The model gives quantiles itself."""

CHOOSE = "choose"


def dispersions(mean: np.ndarray, sold: np.ndarray, series: np.ndarray, count: int) -> np.ndarray:
    """The negative binomial's dispersion by moments, (count,) by code of the series; at 0 that of all rows.

    A row weighs as it tells, by the square of mean / (1 + USUAL · mean): else the few series that sell most would speak for all.
    """
    weight = 1 / (1 + USUAL * mean) ** 2
    return np.clip(_drawn(((sold - mean) ** 2 - mean) * weight, mean**2 * weight, series, count), 1e-3, 1e3)


def _drawn(part: np.ndarray, weight: np.ndarray, series: np.ndarray, count: int) -> np.ndarray:
    """Σ part / Σ weight of each series, drawn towards that of all as by PRIOR rows of its mean weight."""
    rows = np.maximum(np.bincount(series, minlength=count), 1)
    parts, weights = (np.bincount(series, values, count) for values in (part, weight))
    pooled = part.sum() / max(weight.sum(), 1e-12)
    prior = PRIOR * weights / rows + 1e-12
    drawn = (parts + pooled * prior) / (weights + prior)
    drawn[0] = pooled
    return drawn


def negative_binomial(mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """Quantiles (N, Q) of counts with that *mean* and *dispersion*, each (N,): the least count whose probability reaches the level."""
    mean = np.maximum(mean, LEAST_MEAN)
    unit = np.maximum(mean / LARGE, 1.0)
    small = mean / unit
    # A larger grain is a larger part of the variance, which the dispersion gives back.
    kept = np.maximum(dispersion + 1 / mean - 1 / small, 0)
    quantile = np.empty((len(mean), len(QUANTILES)))
    normal = (unit > 1) & (kept < SMOOTH)
    deviation = np.sqrt(mean + dispersion * mean**2)
    skew = (1 + 2 * dispersion * mean) / deviation
    cornish_fisher = NORMAL + skew[:, None] / 6 * (NORMAL**2 - 1)
    quantile[normal] = (mean[:, None] + deviation[:, None] * cornish_fisher)[normal]
    rest = ~normal
    quantile[rest] = _counted(small[rest], kept[rest], unit[rest] > 1) * unit[rest, None]
    return tidy(np.where(unit[:, None] > 1, np.ceil(quantile), quantile))


def _counted(mean: np.ndarray, dispersion: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Quantiles by adding up probabilities from 0; straight lines between counts where *between*."""
    shape = 1 / np.maximum(dispersion, 1e-7)
    ratio = mean / (shape + mean)
    probability = np.exp(-shape * np.log1p(mean / shape))
    reached = probability.copy()
    quantile = np.zeros((len(mean), len(QUANTILES)))
    open_rows = np.arange(len(mean))
    levels = np.array(QUANTILES)
    for count in range(1, 1_000_000):
        below = reached[open_rows, None] < levels
        still = below[:, -1]
        open_rows, below = open_rows[still], below[still]
        if not len(open_rows):
            break
        before = reached[open_rows]
        probability[open_rows] *= ratio[open_rows] * (shape[open_rows] + count - 1) / count
        reached[open_rows] += probability[open_rows]
        share = np.clip((levels - before[:, None]) / np.maximum(probability[open_rows, None], 1e-300), 0, 1)
        quantile[open_rows] = np.where(below, count - 1 + np.where(between[open_rows, None], share, 1), quantile[open_rows])
        if probability[open_rows].max() < 1e-15 and count > mean.max():
            break
    return quantile


def pinball(sold: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """The pinball loss of each row (N,), mean over its *quantiles* (N, Q), for what was *sold* (N,), in units."""
    short = sold[:, None] - quantiles
    levels = np.array(QUANTILES)
    return np.maximum(levels * short, (levels - 1) * short).mean(axis=1)
