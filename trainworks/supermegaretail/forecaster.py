"""Serving: a released bundle as a forecaster, with onnxruntime and numpy alone.

>>> forecaster = Forecaster.load("artifacts/supermegaretail")    # doctest: +SKIP
>>> forecaster.forecast().to_pylist()[0]    # doctest: +SKIP
{'store': '0001', 'product': 'milk', 'start': datetime.date(2026, 11, 30), 'mean': 12.1, 'q0.015': 4.0, …, 'pooled': False}
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from trainworks.errors import DataError, IntegrityError
from trainworks.release import stored
from trainworks.sessions import Session
from trainworks.supermegaretail.facts import PIPELINE
from trainworks.supermegaretail.features.design import Design, design, gather
from trainworks.supermegaretail.features.languages import covariates
from trainworks.supermegaretail.features.pools import Shared
from trainworks.supermegaretail.features.recipe import SERIES, Recipe
from trainworks.supermegaretail.models import heads
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.quantiles import COLUMNS, QUANTILES
from trainworks.supermegaretail.serving import newer, state

SCHEMA = 1
"""Version of ``features.json`` that this code reads."""

GRAPH, FEATURES = "forecaster.onnx", "features.json"

BATCH = 4096
"""Rows the graph sees at once: bounds memory, and is the most that an exported net takes."""


class Forecaster:
    """The forecaster of one bundle, with the sales it was released with. Safe to share between threads.

    Its parameters were learned up to the test origin, its state holds everything that was known when it was released.
    """

    features: Mapping[str, Any]
    """``features.json``: model, recipe, head, quantiles, horizon, schema."""

    panel: Panel
    """What ``state.parquet`` holds."""

    @classmethod
    def load(cls, uri: str | Path) -> "Forecaster":
        """Load a bundle, or the current version of a release, from a folder or ``s3://``.

        Every file is checked against the manifest before any is parsed.

        Raises:
            IntegrityError: the bundle is partial, tampered with, another pipeline's, or of a schema this version does not read.
        """
        bundle = stored.locate(str(uri))
        pipeline = bundle.facts.get("pipeline", PIPELINE)  # the folder of a stage does not name it
        if pipeline != PIPELINE:
            raise IntegrityError(f"{bundle.uri}: a bundle of {pipeline}, which is no forecaster; name one of {PIPELINE}")
        with bundle.folder() as folder:
            return cls(folder, bundle.facts["files"])

    def __init__(self, folder: Path, files: Mapping[str, Any]):
        """Load what lies verified in *folder*, with the *files* of its manifest; :meth:`load` is the way in."""
        if missing := [name for name in (GRAPH, FEATURES, state.FILE) if name not in files]:
            raise IntegrityError(f"{folder}: its manifest does not name {', '.join(missing)}; this is not a bundle, or part of one")
        content = json.loads((folder / FEATURES).read_text())
        if content.get("schema") != SCHEMA or tuple(content.get("quantiles", ())) != QUANTILES:
            raise IntegrityError(
                f"{folder}: {FEATURES} has schema {content.get('schema')!r}, this trainworks reads {SCHEMA}; use the one that made it"
            )
        self.features = MappingProxyType(content)
        self.recipe = Recipe.from_json(content["recipe"])
        self.panel = state.read(folder / state.FILE)
        self._head = heads.from_json(content["head"])
        self._session = Session(folder / GRAPH)
        takes = [(name, shape[-1]) for name, shape in self._session.inputs]
        if takes != [("features", len(self.recipe.columns))]:
            raise IntegrityError(f"{folder}: {GRAPH} takes {takes}, {FEATURES} says {[('features', len(self.recipe.columns))]}")

    @property
    def horizon(self) -> int:
        """How many periods ahead it forecasts."""
        return self.recipe.horizon

    def forecast(self, sales: newer.Columns | None = None, plan: newer.Columns | None = None, origin: date | str | None = None) -> pa.Table:
        """Forecasts of every series for the periods after *origin*: the keys, ``start``, ``mean``, ``q0.015`` … ``q0.99`` in units.

        A series that the model never learned of, or that has no sales, is forecast from those like it, and is ``pooled``. A cell
        that is known to be closed or delisted is 0. What is planned but missing is taken as ``features.json`` declares.

        Args:
            sales: newer lines of sales, as `newer.with_sales` takes them.
            plan: covariates of the periods to forecast, as `newer.with_plan` takes them.
            origin: first day of the last period to know of; the newest if not given. What came later is not looked at.

        Raises:
            DataError: sales, plan or origin that cannot be; says what was expected.
        """
        panel = self.panel if sales is None else newer.with_sales(self.panel, sales)
        last = _origin(panel, origin)
        panel = panel.until(last, self.horizon)
        return self.of(panel if plan is None else newer.with_plan(panel, plan, self.horizon), last)

    def of(self, panel: Panel, origin: int, shared: Shared | None = None) -> pa.Table:
        """The forecasts of `forecast` for any *panel* with this recipe's keys and period, after its period *origin*.

        A shard of a panel needs what all of them share, which `gather` finds.
        """
        panel = self._as_known(panel, origin)
        rows = design(panel, [origin], range(1, self.horizon + 1), self.recipe, shared=shared)
        mean, quantiles = self.rows(rows)
        mean[~rows.sells], quantiles[~rows.sells] = 0, 0
        starts = newer.starts(panel, rows.origin.astype(np.int64) + rows.step)
        pooled = np.isnan(panel.demand).all(1)[rows.series] | (rows.column(SERIES) == 0)
        series = pa.array(rows.series)
        named = {key: panel.series[key].take(series) for key in panel.keys}
        numbers = {"mean": mean, **{name: quantiles[:, k] for k, name in enumerate(COLUMNS)}}
        return pa.table({**named, "start": starts, **numbers, "pooled": pooled})

    def gather(self, shards: Iterable[Panel], origin: int) -> Shared:
        """What :meth:`of` must know of all *shards* of a panel to forecast each of them as it would the whole."""
        return gather((self._as_known(shard, origin) for shard in shards), [origin], self.recipe)

    def _as_known(self, panel: Panel, origin: int) -> Panel:
        if (panel.keys, panel.period) != (self.recipe.keys, self.recipe.period):
            raise DataError(
                f"a panel of {', '.join(panel.keys)}, {panel.period}, and a forecaster of {', '.join(self.recipe.keys)}, "
                f"{self.recipe.period}; use the grain that it was trained with"
            )
        return self._with_covariates(panel.until(origin, self.horizon))

    def _with_covariates(self, panel: Panel) -> Panel:
        """*panel* with a column, of which nothing is known, for every kind of a covariate that it has in other kinds only."""
        read = [name for known in covariates(self.recipe.covariates) for name in self.recipe.columns if _is_of(name, known.name)]
        have = {name.partition(".")[0] for name in panel.covariates} | ({"price"} if "paid" in panel.covariates else set())
        if missing := sorted({name.partition(".")[0] for name in read} - have):
            raise DataError(f"a panel without {', '.join(missing)}, which this forecaster reads; bring the table that it comes from")
        nothing = np.full(panel.sells.shape, np.nan, np.float32)
        return replace(panel, covariates={name: nothing for name in read if ".past(" not in name} | panel.covariates)

    def rows(self, rows: Design) -> tuple[np.ndarray, np.ndarray]:
        """Means (N,) and quantiles (N, Q) of the rows of a design, in units, float64; none is negative, and none below a lower one."""
        outputs = [self._session.run({"features": rows.values[at : at + BATCH]}) for at in range(0, len(rows.values), BATCH)]
        names = [name for name, _ in self._session.outputs]
        by_name = {name: np.concatenate(parts).astype(np.float64) for name, parts in zip(names, zip(*outputs, strict=True), strict=True)}
        return self._head.distribution(by_name, rows)


def _is_of(column: str, covariate: str) -> bool:
    return column == covariate or column.startswith(f"{covariate}.")


def _origin(panel: Panel, origin: date | str | None) -> int:
    """The number of the period that begins on *origin*, of those with sales."""
    if origin is None:
        return panel.known - 1
    known = panel.starts[: panel.known].astype(str)
    at = np.flatnonzero(known == str(origin))
    if not len(at):
        raise DataError(f"origin = {str(origin)!r}: no {panel.period} with sales begins then; expected one from {known[0]} to {known[-1]}")
    return int(at[0])
