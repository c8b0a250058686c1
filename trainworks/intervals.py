"""Where the true value lies with 95 % confidence, when a sample was seen."""

import math
from statistics import NormalDist

import numpy as np

RESAMPLES, SEED = 1000, 0
"""Samples that the bootstrap draws, and the seed that draws them."""

_Z = NormalDist().inv_cdf(0.975)


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Low and high end for a share, 0 to 1, when *share* of *trials* was seen.

    Wilson's score interval (J. Am. Stat. Assoc. 22, 1927), which holds near 0 and 1 too. Of all values between 0 and 1 with one mean
    those of a share spread most: for the mean of others, such as reciprocal ranks, the interval is cautious.
    """
    shift = _Z / (2 * trials)
    scale = 1 + 2 * _Z * shift
    centre, spread = share + _Z * shift, _Z * math.sqrt(share * (1 - share) / trials + shift**2)
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def paired(value_NK: np.ndarray) -> list[list[float]]:
    """Low and high end for each of K mean differences over N cases, each from -1 to 1, float (N, K).

    Wald's interval once a case that went all the way up and one that went all the way down are added: honest where few cases, or
    none, differ (D. Bonett and co-author, J. Educ. Behav. Stat. 37, 2012, p. 479, for answers that are right or wrong).
    """
    cases = len(value_NK) + 2
    mean_K = value_NK.sum(0) / cases
    spread_K = _Z * np.sqrt(((value_NK**2).sum(0) + 2) / cases - mean_K**2) / math.sqrt(cases)
    return np.clip(np.stack([mean_K - spread_K, mean_K + spread_K], 1), -1, 1).tolist()


def bootstrap(value_NK: np.ndarray) -> list[list[float]]:
    """Low and high end for each of K means over N cases, float (N, K): percentiles of means over cases drawn again with replacement.

    Efron, Annals of Statistics 7, 1979. For values without bounds, of many cases: where all have one value the interval has no width.
    A share has `wilson`, a difference of shares `paired`. The same values give the same ends. O(RESAMPLES N K).
    """
    rng, cases = np.random.default_rng(SEED), len(value_NK)
    means = [np.bincount(rng.integers(0, cases, cases), minlength=cases) @ value_NK / cases for _ in range(RESAMPLES)]
    return np.percentile(means, [2.5, 97.5], axis=0).T.tolist()
