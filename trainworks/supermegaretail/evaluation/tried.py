"""A forecaster to be tried: what it says of its own panel at the test origin, and of the panel with something changed."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from trainworks.supermegaretail.features.languages import covariates
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.quantiles import COLUMNS


@dataclass(frozen=True)
class Tried:
    """The *forecaster* from *folder* with its *panel* as it was at *origin*: S series, H periods ahead, Q quantiles.

    Attributes:
        level: (S,) what a series sold a period on average, at least a tenth of a unit: what differences are shares of
    """

    folder: Path
    forecaster: Forecaster
    panel: Panel
    origin: int

    @classmethod
    def load(cls, folder: Path) -> "Tried":
        """The forecaster of *folder* at the newest origin whose truth is known."""
        forecaster = Forecaster.load(folder)
        origin = forecaster.panel.known - 1 - forecaster.horizon
        return cls(folder, forecaster, forecaster.panel.until(origin, forecaster.horizon), origin)

    @cached_property
    def level(self) -> np.ndarray:
        return np.maximum(np.nan_to_num(np.nansum(self.panel.demand, 1) / np.isfinite(self.panel.demand).sum(1).clip(1)), 0.1)

    @cached_property
    def usual(self) -> np.ndarray:
        """(S, H, 1 + Q) means and quantiles of the panel as it is."""
        return self.numbers(self.panel)

    @cached_property
    def alive(self) -> list[int]:
        """Series that have sales, and may sell in a period ahead."""
        return np.flatnonzero((np.nansum(self.panel.demand, 1) > 0) & self.sells.any(1)).tolist()

    @property
    def sells(self) -> np.ndarray:
        """(S, H) whether a series may sell in each period ahead; what may not is forecast as 0."""
        return self.panel.sells[:, self.origin + 1 :]

    def numbers(self, panel: Panel) -> np.ndarray:
        """(S, H, 1 + Q) means and quantiles for *panel*."""
        table = self.forecaster.of(panel, self.origin)
        return np.stack([table[name].to_numpy() for name in ("mean", *COLUMNS)], 1).reshape(len(panel.series), -1, 1 + len(COLUMNS))

    def name(self, series: int) -> str:
        """A series' keys as text."""
        return " ".join(str(self.panel.series[key][series].as_py()) for key in self.panel.keys)

    def priced(self, series: list[int], factor: float) -> Panel:
        """The panel in which *series* cost *factor* of what they cost of late in all periods ahead."""
        price = self.panel.covariates["price"].copy()
        price[series, self.origin + 1 :] = (self.panel.price[series] * factor)[:, None]
        return replace(self.panel, covariates=self.panel.covariates | {"price": price})

    def offered(self, series: list[int], kind: str | None) -> Panel:
        """The panel in which *series* have a promotion of that *kind*, a column, in all periods ahead; none if it is None.

        It is as large as half of all promotions of that kind are: where series are of a chain, a promotion is a share of its stores.
        """
        changed = {name: self.panel.covariates[name].copy() for name in self.planned("promotion")}
        usual = 0.0
        if kind is not None:
            known = self.panel.covariates[kind][:, : self.panel.known]
            usual = float(np.median(known[known > 0])) if (known > 0).any() else 1.0
        for name, values in changed.items():
            values[series, self.origin + 1 :] = usual if name in ("promotion", kind) else 0.0
        return replace(self.panel, covariates=self.panel.covariates | changed)

    def planned(self, covariate: str) -> list[str]:
        """The columns of a *covariate* that the forecaster reads for the period that it forecasts; none if it does not know it then."""
        declared = {known.name: known.when for known in covariates(self.forecaster.recipe.covariates)}
        if declared.get(covariate) not in ("plan", "always"):
            return []
        read = [name for name in self.forecaster.recipe.columns if name == covariate or name.startswith(f"{covariate}.")]
        return [name for name in read if name in self.panel.covariates]
