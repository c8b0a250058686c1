"""What is known of covariates: at the target of a forecast, and at each period of the past.

A plan is read where the target lies, everything else no later than at the origin.
"""

from collections import Counter

import numpy as np

from trainworks.errors import DataError
from trainworks.supermegaretail.features.history import last_known, windows
from trainworks.supermegaretail.features.languages import Covariate
from trainworks.supermegaretail.panel.panel import Panel

USUAL = 26
"""Periods whose mean is the price that a series is used to."""

MOSTLY = 0.5
"""Share of a series on offer from which on its price is the offer's, and ends with it."""

WITHOUT_PLAN_ZERO = ("promotion", "holiday")
"""Covariates whose plan lists what happens: where it has ended nothing does."""


class Known:
    """The covariates of *panel*; counts in ``fallbacks`` the target cells for which a plan had no value, by covariate.

    Targets after the last period with sales need a plan if they are *forecast*; to learn, they are not used.
    """

    def __init__(self, panel: Panel, fill: dict[str, float], *, forecast: bool = True):
        self.panel, self.fill, self.forecast = panel, fill, forecast
        self.fallbacks: Counter[str] = Counter()
        nothing = np.full(panel.sells.shape, np.nan)
        self._planned = panel.covariates.get("price", nothing).astype(np.float64)
        paid = panel.covariates.get("paid", nothing)[:, : panel.known]
        with np.errstate(divide="ignore", invalid="ignore"):
            past = np.where(np.isnan(self._planned[:, : panel.known]), paid, self._planned[:, : panel.known])
            self._log_price = np.log(np.where(past > 0, past, np.nan))
            self._log_plan = np.log(np.where(self._planned > 0, self._planned, np.nan))
        offered = panel.covariates.get("promotion", nothing)[:, : panel.known] >= MOSTLY
        shelf = last_known(np.where(offered, np.nan, self._log_price))
        self._log_shelf = np.where(np.isnan(shelf), last_known(self._log_price), shelf)

    def at_targets(self, name: str, covariate: Covariate, origins: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """A column (S, O, H), finite: the covariate as it is known at each origin about the target.

        Raises:
            DataError: a plan that must not end has no value for periods that are forecast.
        """
        if covariate.name == "price":
            return self._price_at_targets(covariate, origins, steps)
        values = self.panel.covariates[name].astype(np.float64)
        newest = origins + 1 - max(covariate.behind, 1)
        past = last_known(values[:, : int(origins.max()) + 1])
        last = np.where(newest >= 0, past[:, np.maximum(newest, 0)], np.nan)[:, :, None]
        if covariate.when == "past":
            return np.broadcast_to(self._filled(name, last), (len(values), len(origins), len(steps)))
        value = self._planned_values(values, covariate, origins, steps, counted=name == covariate.name or covariate.missing == "refuse")
        instead = np.zeros_like(last) if covariate.name in WITHOUT_PLAN_ZERO else last
        return self._filled(name, np.where(np.isnan(value), instead, value))

    def before(self, name: str, origins: np.ndarray, periods: int) -> np.ndarray:
        """A column (S, O): promotion or price so many *periods* back, 1 being the origin."""
        at = origins + 1 - periods
        past = np.maximum(at, 0)
        if name == "price":
            value = last_known(self._log_price)[:, past] - self._usual(origins)
        else:
            value = self.panel.covariates[name].astype(np.float64)[:, past]
        return np.nan_to_num(np.where(at >= 0, value, np.nan))

    def in_history(self, name: str) -> np.ndarray:
        """The column of a covariate at each period with sales, (S, known), as it was one period before; 0 where not known."""
        if name == "price":
            usual = self._usual(np.arange(self.panel.known - 1))
            value = self._log_price - np.concatenate([np.full((len(usual), 1), np.nan), usual], axis=1)
        else:
            value = self.panel.covariates[name].astype(np.float64)[:, : self.panel.known]
        return np.nan_to_num(value)

    def _price_at_targets(self, covariate: Covariate, origins: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Log of the price over the price that the series is used to; without a plan the last one that was no offer stays."""
        known = self._log_shelf if covariate.when != "past" else last_known(self._log_price)
        last = known[:, np.maximum(origins + 1 - max(covariate.behind, 1), 0)][:, :, None]
        if covariate.when == "past":
            target = np.broadcast_to(last, (len(last), len(origins), len(steps)))
        else:
            planned = self._planned_values(self._log_plan, covariate, origins, steps, counted=True)
            target = np.where(np.isnan(planned), last, planned)
        return np.nan_to_num(target - self._usual(origins)[:, :, None])

    def _usual(self, origins: np.ndarray) -> np.ndarray:
        cells = windows(self._log_price, origins, USUAL)
        known = ~np.isnan(cells)
        count = known.sum(axis=2)
        total = np.where(known, cells, 0).sum(axis=2)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    def _planned_values(
        self, values: np.ndarray, covariate: Covariate, origins: np.ndarray, steps: np.ndarray, *, counted: bool
    ) -> np.ndarray:
        targets = origins[:, None] + steps
        periods = values.shape[1]
        value = np.where(targets < periods, values[:, np.minimum(targets, periods - 1)], np.nan)
        if not counted:
            return value
        sells = np.where(targets < periods, self.panel.sells[:, np.minimum(targets, periods - 1)], True)
        missing = np.isnan(value) & sells
        is_ahead = targets >= self.panel.known
        ahead = missing & is_ahead & self.forecast
        if covariate.missing == "refuse" and ahead.any():
            first = int(targets[ahead.any(axis=0)].min())
            cells = int((ahead & (targets == first)).any(axis=(1, 2)).sum())
            when = f"the period that starts on {self.panel.starts[first]}" if first < periods else f"period {first + 1} of {periods}"
            raise DataError(
                f"covariates: {covariate.name}@{covariate.when} has no value for {cells} of {len(values)} series in {when}; "
                f"add them to the table, or declare {covariate.name}@{covariate.when}(last) or {covariate.name}@past(1)"
            )
        self.fallbacks[covariate.name] += int((missing & (self.forecast | ~is_ahead)).sum())
        return value

    def _filled(self, name: str, values: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(values), self.fill.get(name, 0.0), values)
