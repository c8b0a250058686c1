"""The quantiles that every forecast has, and what their columns are called."""

import numpy as np

QUANTILES = (0.015, 0.25, 0.5, 0.75, 0.95, 0.99)

COLUMNS = tuple(f"q{level:g}" for level in QUANTILES)
"""``q0.015`` … ``q0.99``: the columns of a table of forecasts, in rising order."""


def at(level: float, quantile_NQ: np.ndarray) -> np.ndarray:
    """The quantile of any *level*, float (N,), by straight lines between those of QUANTILES; beyond the outermost it is that one."""
    place = float(np.interp(level, QUANTILES, np.arange(len(QUANTILES))))
    low = int(place)
    high = min(low + 1, len(QUANTILES) - 1)
    return quantile_NQ[:, low] + (place - low) * (quantile_NQ[:, high] - quantile_NQ[:, low])
