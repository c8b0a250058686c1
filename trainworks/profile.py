"""What is remembered of data, so that new data can be compared with it: a summary of each quantity, and how far others lie from it.

Quantities come in three kinds: embeddings, float (n, D) · numbers, float (n,) · categories, a list of names for each of n rows.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

NAMES = 20
"""Categories told apart, the most frequent ones; all others are one."""

GAP = 1e-5
"""Numbers nearer to each other are not told apart: cosines differ by less between batches and after rounding."""

HALVES = 20
"""Ways in which a reference is parted into two, to see how far it differs from itself."""

Values = np.ndarray | list[list[str]]


def reference(values: Values, groups: Sequence[str]) -> dict[str, Any]:
    """The `summary` of *values* and, as ``noise``, how far two halves of them lie apart at most.

    Halves part *groups*, a name for each row, such as its author, for rows of one group are alike: rows drawn one by one would
    differ less than two data sets of the same kind do. Rows of few groups, and those whose group is ``""``, are parted one by one.
    """
    return summary(values) | {"noise": noise((_taken(values, side), _taken(values, ~side)) for side in halves(groups))}


def summary(values: Values) -> dict[str, Any]:
    """Of embeddings mean and spread; of numbers the deciles, with a bin for what lies outside; of categories the most frequent."""
    size = {"n": len(values)}
    if isinstance(values, list):
        names = [name for name, _ in Counter(name for row in values for name in row).most_common(NAMES)]
        bins: dict[str, Any] = size | {"names": names}
    elif values.ndim == 2:
        return size | {"mean": _rounded(values.mean(0)), "std": _rounded(values.std(0))}
    else:
        values = values.astype(float)
        bins = size | {"median": float(np.median(values)), "edges": _edges(np.sort(values))}
    return bins | {"counts": counts(bins, values).tolist()}


def noise(pairs: Iterable[tuple[Values, Values]]) -> float:
    """The largest `shift` between the two sides of *pairs*; 0 without any."""
    return float(f"{max((shift(summary(one), other) for one, other in pairs), default=0.0):.4g}")


def halves(groups: Sequence[str]) -> Iterator[np.ndarray]:
    """Masks over the rows, bool (n,), which part them by group; a part with less than a quarter of the rows is none."""
    if len(set(groups)) < NAMES:
        groups = [""] * len(groups)
    labels = [name or f"row {number}" for number, name in enumerate(groups)]
    for lot in range(HALVES):
        side = np.array([zlib.crc32(f"{lot} {name}".encode()) >> 16 & 1 for name in labels], bool)
        if 0.25 <= side.mean() <= 0.75:
            yield side


def shift(summary: Mapping[str, Any], values: Values) -> float:
    """How far *values* lie from those of the *summary*: 0 if nothing has changed.

    Embeddings: the Fréchet distance d² of two Gaussians with diagonal covariance, ‖μ − μ'‖² + Σ (σ − σ')² (Dowson and Landau,
    J. Multivariate Analysis 12, 1982), over the reference's total variance Σ σ². Numbers and categories: `psi`.
    """
    if "mean" in summary:
        mean, std = np.asarray(summary["mean"]), np.asarray(summary["std"])
        new = np.asarray(values)
        return float((((new.mean(0) - mean) ** 2).sum() + ((new.std(0) - std) ** 2).sum()) / max((std**2).sum(), 1e-12))
    return psi(np.asarray(summary["counts"]), counts(summary, values))


def psi(expected_B: np.ndarray, actual_B: np.ndarray) -> float:
    """Population stability index of two histograms over the same B bins: Σ (q − p) ln(q / p), with their shares p and q.

    N. Siddiqi, "Credit Risk Scorecards", 2006: below 0.1 little has changed, above 0.25 much. Half an item is added to every
    bin (Krichevsky and Trofimov, 1981), so that an empty one does not make it infinite.
    """
    p, q = ((count + 0.5) / (count.sum() + 0.5 * len(count)) for count in (expected_B, actual_B))
    return float(((q - p) * np.log(q / p)).sum())


def counts(summary: Mapping[str, Any], values: Values) -> np.ndarray:
    """How many of *values* fall into each bin of the *summary* of numbers or categories, int64 (B,)."""
    if "edges" in summary:
        return np.bincount(np.searchsorted(summary["edges"], np.asarray(values)), minlength=len(summary["edges"]) + 1)
    number = {name: k for k, name in enumerate(summary["names"])}
    other = len(number)
    return np.bincount([number.get(name, other) for row in values for name in row], minlength=other + 1)


def _edges(sorted_N: np.ndarray) -> list[float]:
    """The bounds of bins with about a tenth of the numbers each, and of what lies outside; each in the middle of a gap between two
    numbers, for a bound that is itself a frequent number would part its own repetitions by the last bits of a float."""
    gaps = np.flatnonzero(np.diff(sorted_N) > GAP)
    ends = np.arange(1, 10) / 10 * len(sorted_N) - 1
    nearest = np.unique(gaps[np.abs(gaps[:, None] - ends).argmin(0)]) if len(gaps) else gaps
    return [sorted_N[0] - GAP, *((sorted_N[nearest] + sorted_N[nearest + 1]) / 2).tolist(), sorted_N[-1] + GAP]


def _taken(values: Values, side: np.ndarray) -> Values:
    return [row for row, chosen in zip(values, side, strict=True) if chosen] if isinstance(values, list) else values[side]


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
