"""The panel stage: lines of sales and what stands beside them become series in periods, each cell with its state."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trainworks.errors import DataError
from trainworks.grammar import nearest
from trainworks.supermegaretail.features.languages import Covariate, covariates
from trainworks.supermegaretail.panel import sql
from trainworks.supermegaretail.panel.beside import Beside
from trainworks.supermegaretail.panel.engines import Engine, engine
from trainworks.supermegaretail.panel.grain import grain, kept
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel, State
from trainworks.supermegaretail.panel.periods import Periods, length_of_rows, periods
from trainworks.supermegaretail.panel.states import Evidence, states, unlikely_zeros
from trainworks.supermegaretail.panel.statics import Statics

log = logging.getLogger(__name__)

LEDGER = "ledger.json"
OWN = {"promotion": "promotions", "price": "prices", "holiday": "calendar", "stock": "stock"}
"""Covariates of the contract's tables; others are called like their table."""

CONTRACT = ("sales", "products", "stores", *OWN.values())
NAMED = 20
"""Warnings of one kind that are written out; the others are counted."""


def build(lines: list[Path], config: PanelConfig, out: Path) -> dict[str, Any]:
    """Write the panel of the *lines* of all slices into *out*, and what was left out into its ``ledger.json``, which is returned.

    Raises:
        DataError: tables that no panel can be made of, or a covariate that cannot be known when it is declared to be.
    """
    files = tables(lines)
    declared = covariates(config.covariates)
    _require_tables(declared, files)
    ledger: dict[str, Any] = {"left_out": {}, "warnings": []}
    with engine(config.panel_on) as run:
        panel = _panel(run, files, config, declared, ledger)
    for warning in ledger["warnings"][:NAMED]:
        log.warning("%s", warning)
    panel.save(out)
    counts = Counter(panel.state.ravel().tolist())
    ledger["cells"] = {state.name.lower().replace("_", " "): counts[state] for state in State}
    ledger |= {"series": len(panel.sells), "periods": panel.known, "planned": len(panel.starts) - panel.known}
    (out / LEDGER).write_text(json.dumps(ledger, indent=1))
    return ledger


def tables(lines: list[Path]) -> dict[str, list[Path]]:
    """Table → its files in the folders of *lines*."""
    files: dict[str, list[Path]] = {}
    for folder in sorted(lines):
        for file in sorted(folder.glob("*.parquet")):
            files.setdefault(file.stem, []).append(file)
    return files


def _require_tables(declared: list[Covariate], files: dict[str, list[Path]]) -> None:
    if "sales" not in files:
        raise DataError(f"no table of sales among {', '.join(sorted(files)) or 'the lines'}; expected sales.parquet")
    allowed = [*OWN, *(name for name in files if name not in CONTRACT)]
    for covariate in declared:
        if covariate.name not in allowed:
            raise DataError(
                f"covariates: there is no table {covariate.name!r}; expected one of {', '.join(allowed)}{nearest(covariate.name, allowed)}"
            )


def _panel(run: Engine, files: dict[str, list[Path]], config: PanelConfig, declared: list[Covariate], ledger: dict[str, Any]) -> Panel:
    keys, period = grain(config.grain)
    columns = {name: run.table(name, files[name], needed) for name, needed in NEEDED.items() if name in files}
    statics = Statics(files.get("products", []), files.get("stores", []))
    time, without_end = _periods(run, files, period, ledger)
    first_days = time.first_days(config.horizon).astype(np.int64)
    _put_time(run, time, first_days)
    run.make("sold", sql.SOLD)
    series, since = _series(run, files, columns, keys, time, config, statics, ledger)
    run.put("series", series)
    run.make("members", sql.members(len(keys)))
    names = pa.table({key: series[f"key_{place}"] for place, key in enumerate(keys)})
    attributes = statics.of(names, {covariate.name for covariate in declared} | set(OWN))
    beside = Beside(run, files, columns, keys, names, attributes, first_days, len(time.starts), without_end)
    cells = beside.cells(run.query(sql.CELLS), "quantity", "revenue", "priced")
    quantity, revenue, priced = (values[:, : len(time.starts)] for values in cells)
    beside.add_paid(revenue, priced)
    beside.add_all(declared)
    place_quantity, place_lines = beside.places(run.query(sql.STORES), statics)
    evidence = Evidence(
        quantity=quantity,
        place_quantity=place_quantity,
        place_lines=place_lines,
        signs=beside.signs,
        most_stock=beside.most_stock,
        shut=beside.shut | statics.shut(names, first_days) | time.is_off(first_days[:-1]),
        missing=np.isin(np.arange(len(time.starts)), time.missing),
        promoted=beside.promoted,
    )
    state, sells = states(evidence, period, config.horizon)
    demand = np.where(state <= State.ZERO, np.nan_to_num(quantity), np.nan)
    panel = Panel(
        keys=keys,
        period=period,
        series=attributes,
        starts=first_days[:-1].astype("datetime64[D]"),
        demand=demand,
        state=state,
        sells=sells,
        covariates=beside.covariates,
        price=beside.worth(revenue, priced, statics.prices(names)),
    )
    _refuse_hindsight(declared, panel)
    _warn(panel, time, since, "stock" in files, ledger)
    ledger["left_out"]["covariates without a table"] = [
        f"{covariate.name}@{covariate.when}" for covariate in declared if not beside.has(covariate.name)
    ]
    return panel


NEEDED = {
    "sales": sql.SALES,
    "products": ("product",),
    "stores": ("store",),
    "promotions": sql.PROMOTIONS,
    "prices": sql.PRICES,
    "calendar": ("day", "event", "closed"),
    "stock": sql.STOCK,
}


def _periods(run: Engine, files: dict[str, list[Path]], period: str, ledger: dict[str, Any]) -> tuple[Periods, str]:
    """The periods with sales, and what a promotion without an end lasts."""
    starts = [np.zeros(0, np.int64)]
    rows = [np.zeros(0, np.int64)]
    for table in ("promotions", "prices"):
        if table in files:
            begins = run.query(
                f"SELECT first_day, count(*) AS n, sum(CASE WHEN last_day IS NULL THEN 1 ELSE 0 END) AS endless FROM {table} GROUP BY 1"
            )
            starts.append(np.repeat(begins["first_day"].to_numpy(), np.minimum(begins["n"].to_numpy(), 100)))
            if table == "promotions":
                rows = [begins["first_day"].to_numpy().astype("datetime64[D]"), begins["endless"].to_numpy().astype(np.int64)]
    closed = np.zeros(0, np.int64)
    if "calendar" in files:
        closed = run.query(sql.CLOSED_DAYS)["day"].to_numpy()
    time = periods(period, run.query(sql.STORE_DAYS), np.concatenate(starts).astype("datetime64[D]"), closed.astype("datetime64[D]"))
    if time.refused:
        ledger["left_out"]["stores"] = time.refused
        ledger["warnings"] += [f"store {store} is left out: {why}" for store, why in time.refused.items()]
    ledger["left_out"]["lines in incomplete periods"] = time.dropped
    without_end = length_of_rows(rows[0], rows[1], time) if len(rows) == 2 and len(rows[0]) else "period"
    return time, without_end


def _put_time(run: Engine, time: Periods, first_days: np.ndarray) -> None:
    places = np.arange(len(first_days) - 1)
    run.put("periods", pa.table({"period": places, "first_day": first_days[:-1], "last_day": first_days[1:] - 1}))
    days = np.arange(first_days[0], first_days[-1])
    run.put("days", pa.table({"day": days, "period": np.searchsorted(first_days, days, side="right") - 1}))
    run.put("refused", pa.table({"store": pa.array(list(time.refused), pa.string())}))


def _series(
    run: Engine,
    files: dict[str, list[Path]],
    columns: dict[str, list[str]],
    keys: tuple[str, ...],
    time: Periods,
    config: PanelConfig,
    statics: Statics,
    ledger: dict[str, Any],
) -> tuple[pa.Table, np.ndarray]:
    """The series that are kept, by their keys and numbered from 0, and the period of each one's first line, -1 without any."""
    expressions = {}
    for key in keys:
        if key in ("store", "product"):
            expressions[key] = f"pair.{key}"
        else:
            owners = [table for table in ("products", "stores") if key in columns.get(table, [])]
            if not owners:
                allowed = ["store", "product", *statics.names]
                raise DataError(f"grain: no table has a column {key!r}; expected one of {', '.join(allowed)}{nearest(key, allowed)}")
            expressions[key] = f"{owners[0]}_1.{key}"
    ahead = int(time.first_days(0)[-1].astype(np.int64))
    launched = str(ahead) if statics.has_launches else ""
    run.make("pairs", sql.pairs(expressions, [table for table in ("promotions", "prices") if table in files], launched, ahead))
    # Chosen by the first two thirds, so that the weeks that test do not choose what they test.
    found = run.query(sql.totals(len(keys), -(-2 * len(time.starts) // 3) - 1))
    found = found.sort_by([(f"key_{place}", "ascending") for place in range(len(keys))])
    quantity = found["quantity"].to_numpy().astype(np.float64)
    is_new = found["since"].is_null().to_numpy()
    chosen = np.ones(len(found), bool)
    for name, count in kept(config.keep, keys).items():
        of = np.arange(len(found)) if name == "series" else np.unique(found[f"key_{keys.index(name)}"].to_pylist(), return_inverse=True)[1]
        total = np.bincount(of, quantity * chosen)
        best = np.argsort(-total, kind="stable")[:count]
        chosen &= np.isin(of, best) | (is_new if name == "series" else False)
    ledger["left_out"]["series that sell less"] = int((~chosen).sum())
    series = found.filter(pa.array(chosen)).drop_columns(["quantity"])
    since = series["since"].fill_null(-1).to_numpy()
    return series.drop_columns(["since"]).append_column("series", pa.array(np.arange(len(series)))), since


def _refuse_hindsight(declared: list[Covariate], panel: Panel) -> None:
    """A covariate whose table ends with the sales is known only afterwards, whatever was declared."""
    newest = panel.starts[panel.known - 1]
    for covariate in declared:
        falls_back = covariate.name in OWN and covariate.name != "stock" and covariate.missing == "last"
        columns = [values for name, values in panel.covariates.items() if name.split(".")[0] == covariate.name]
        if covariate.when == "past" or falls_back or not columns:
            continue
        if not any(np.isfinite(values[:, panel.known :]).any() for values in columns):
            raise DataError(
                f"covariates: {covariate.name}@{covariate.when}, but {OWN.get(covariate.name, covariate.name)} has no row after the "
                f"{panel.period} of {newest}, the newest with sales: it is known only afterwards; declare {covariate.name}@past(1)"
            )


def _warn(panel: Panel, time: Periods, since: np.ndarray, has_stock: bool, ledger: dict[str, Any]) -> None:
    warnings: list[str] = ledger["warnings"]
    if time.missing:
        days = ", ".join(str(time.starts[place]) for place in time.missing[:NAMED])
        warnings.append(f"{len(time.missing)} {panel.period}(s) without any sale, taken as missing, not as zeros: {days}")
    never = np.flatnonzero(~(panel.demand > 0).any(axis=1) & (since >= 0))
    warnings += [f"{_name(panel, place)} has lines, but never sold anything" for place in never[:NAMED]]
    runs = unlikely_zeros(panel.demand)
    stock = "stock says" if has_stock else "there is no stock table to say"
    for zeros in runs[:NAMED]:
        warnings.append(
            f"{_name(panel, zeros.series)} sold nothing for {zeros.length} {panel.period}s from {panel.starts[zeros.first]}, after "
            f"{zeros.mean:.3g} a {panel.period}: by chance 1 in 10^{-zeros.log10:.0f}; an empty shelf, or no longer sold? {stock} otherwise"
        )
    ledger["left_out"]["warnings not written out"] = max(0, len(runs) - NAMED) + max(0, len(never) - NAMED)


def _name(panel: Panel, place: int) -> str:
    return " ".join(f"{key} {panel.series[key][int(place)].as_py()}" for key in panel.keys)
