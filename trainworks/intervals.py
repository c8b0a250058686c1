"""Where the true value lies with 95 % confidence, when a sample was seen."""

import math
from statistics import NormalDist

import numpy as np

RESAMPLES, SEED = 1000, 0
"""Samples that the bootstrap draws, and the seed that draws them."""

_Z = NormalDist().inv_cdf(0.975)


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Low and high end for a share, 0 to 1, when *share* of *trials* was seen.

    Wilson's score interval (J. Am. Stat. Assoc. 22, 1927), which holds near 0 and 1 too.
    """
    shift = _Z / (2 * trials)
    scale = 1 + 2 * _Z * shift
    centre, spread = share + _Z * shift, _Z * math.sqrt(share * (1 - share) / trials + shift**2)
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def bootstrap(value_NK: np.ndarray) -> list[list[float]]:
    """Low and high end for each of K means over N cases, float (N, K): percentiles of means over cases drawn again with replacement.

    Efron, Annals of Statistics 7, 1979. Where all cases have one value the interval has no width, and `wilson` says more of a
    share. The same values give the same ends. O(RESAMPLES N K).
    """
    rng, cases = np.random.default_rng(SEED), len(value_NK)
    means = [np.bincount(rng.integers(0, cases, cases), minlength=cases) @ value_NK / cases for _ in range(RESAMPLES)]
    return np.percentile(means, [2.5, 97.5], axis=0).T.tolist()
