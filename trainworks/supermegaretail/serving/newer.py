"""What a service knows beyond the state it loaded: newer sales, and a plan for the periods to forecast."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from trainworks.errors import DataError
from trainworks.grammar import nearest
from trainworks.supermegaretail.panel.grain import start_after
from trainworks.supermegaretail.panel.panel import Panel, State
from trainworks.text_files import require_utf8, separator

Columns: TypeAlias = pa.Table | Mapping[str, Any]
"""A table, or columns by name that ``pyarrow.table`` takes."""


def with_sales(panel: Panel, sales: Columns) -> Panel:
    """*panel* with *sales*: its keys, ``date`` (any day of a period) and ``quantity`` in units, one or many lines for a cell.

    Periods after the last known one are appended; in a known period a line replaces what its cell held. Negative quantities are
    returns and no demand. In a new period a series without a line sold nothing, unless its store sent no line at all: then it was closed.

    Raises:
        DataError: a column missing, misspelt or of another type; a quantity that is no number; or a whole period without a line between
            others, which is no period of zeros.
    """
    table = _table("sales", sales, [*panel.keys, "date", "quantity"], [])
    period = periods(panel, _days("sales", table, "date"))
    quantity = _numbers("sales", table, "quantity")
    if np.isnan(quantity).any():
        raise DataError("sales: a quantity is missing or no number; give each line one")
    if len(period) and period.min() < 0:
        raise DataError(f"sales: a date lies before {panel.starts[0]}, where this forecaster's history begins; leave older sales out")
    known = max(panel.known, int(period.max(initial=-1)) + 1)
    if missing := sorted(set(range(panel.known, known)) - set(period.tolist())):
        raise DataError(
            f"sales: no line in the {panel.period} of {_start(panel, missing[0])}, but later ones; a missing {panel.period} is not one of "
            "zeros: add it"
        )
    panel, series = _with_series(_longer(panel, known), table)
    sold = np.zeros((len(panel.series), known))
    np.add.at(sold, (series, period), np.maximum(quantity, 0))
    given = np.zeros(sold.shape, bool)
    given[series, period] = True
    before = np.pad(panel.demand, ((0, 0), (0, known - panel.known)), constant_values=np.nan)
    demand = np.where(given, sold, before)
    is_new = (np.arange(known) >= panel.known) & ~given
    listed = np.maximum.accumulate(np.isfinite(demand), 1)
    demand[is_new & listed & panel.sells[:, :known] & _open(panel, given)] = 0
    state = np.pad(panel.state, ((0, 0), (0, known - panel.known)), constant_values=State.NOT_LISTED)
    state[is_new & listed] = State.CLOSED
    state[(given | is_new) & (demand == 0)] = State.ZERO
    state[given & (demand > 0)] = State.SOLD
    return replace(panel, demand=demand, state=state)


def with_plan(panel: Panel, plan: Columns, horizon: int) -> Panel:
    """*panel* with a *plan* for the *horizon* periods after its last known one: its keys, ``start``, and covariates by their names.

    Of the series that the plan names it replaces what was planned; it may name new ones.

    Raises:
        DataError: a column missing, misspelt or of another type, a start that begins no period to forecast, or a series without a row
            for one of them.
    """
    covariates = sorted(panel.covariates)
    table = _table("plan", plan, [*panel.keys, "start"], covariates)
    days = _days("plan", table, "start")
    period = periods(panel, days)
    first = panel.known
    targets = [_start(panel, k) for k in range(first, first + horizon)]
    if wrong := [str(day) for day in np.unique(days) if day not in targets]:
        raise DataError(f"plan: starts on {wrong[0]}; expected the first days of the periods to forecast, {', '.join(map(str, targets))}")
    panel, series = _with_series(_longer(panel, first + horizon), table)
    rows = np.zeros((len(panel.series), horizon), int)
    np.add.at(rows, (series, period - first), 1)
    named = rows.sum(1) > 0
    if (rows[named] != 1).any():
        at, step = np.argwhere(named[:, None] & (rows != 1))[0]
        name = " ".join(str(panel.series[key][int(at)].as_py()) for key in panel.keys)
        raise DataError(
            f"plan: {rows[at, step]} rows for {name} on {targets[step]}; expected one for each series that it names and each of "
            f"{', '.join(map(str, targets))}"
        )
    changed = {name: panel.covariates[name].copy() for name in covariates if name in table.column_names}
    for name, values in changed.items():
        values[series, period] = _numbers("plan", table, name)
    sells = panel.sells.copy()
    sells[np.ix_(~np.isfinite(panel.demand).any(1) & named, range(first, first + horizon))] = True
    return replace(panel, covariates=panel.covariates | changed, sells=sells)


def read(path: Path, keys: Sequence[str]) -> pa.Table:
    """The table of a CSV or parquet file; its *keys* and dates are text, byte for byte.

    Raises:
        DataError: it is neither, or cannot be read.
    """
    from pyarrow import csv, parquet

    try:
        if path.suffix.lower() == ".parquet":
            return parquet.read_table(path)
        require_utf8(path)
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            declared = separator(lines.readline())
        texts = dict.fromkeys([*keys, "date", "start"], pa.string())
        return csv.read_csv(
            path,
            read_options=csv.ReadOptions(skip_rows=int(declared is not None)),
            parse_options=csv.ParseOptions(delimiter=declared or ","),
            convert_options=csv.ConvertOptions(column_types=texts, strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a table that can be read ({error}); expected CSV or parquet") from error


def periods(panel: Panel, days: np.ndarray) -> np.ndarray:
    """The period of *panel* that each of the days datetime64[D] lies in, counted from its first; beyond its last they go on."""
    if panel.period == "month":
        return (days.astype("datetime64[M]") - panel.starts[0].astype("datetime64[M]")).astype(np.int64)
    length = {"day": 1, "week": 7}[panel.period]
    return (days - panel.starts[0]).astype(np.int64) // length


def starts(panel: Panel, period: np.ndarray) -> np.ndarray:
    """The first day, datetime64[D], of each *period* of *panel*, counted from its first; beyond its last they go on."""
    return start_after(panel.starts[0], panel.period, period)


def _start(panel: Panel, period: int) -> np.datetime64:
    return starts(panel, np.array([period]))[0]


def _open(panel: Panel, told: np.ndarray) -> np.ndarray:
    """Whether each cell's store sent any line in that period, bool like *told*; all are open where the grain has no store."""
    if "store" not in panel.keys:
        return np.ones_like(told)
    _, store = np.unique(panel.series["store"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    sent = np.zeros((store.max() + 1, told.shape[1]), bool)
    np.logical_or.at(sent, store, told)
    return sent[store]


def _longer(panel: Panel, periods: int) -> Panel:
    """*panel* with at least so many *periods*; nothing is known of the new ones, but that series go on as they are."""
    more = max(0, periods - len(panel.starts))
    if not more:
        return panel
    days = [*panel.starts, *(_start(panel, k) for k in range(len(panel.starts), periods))]
    covariates = {name: np.pad(values, ((0, 0), (0, more)), constant_values=np.nan) for name, values in panel.covariates.items()}
    sells = np.pad(panel.sells, ((0, 0), (0, more)), mode="edge")
    return replace(panel, starts=np.array(days, "datetime64[D]"), sells=sells, covariates=covariates)


def _with_series(panel: Panel, table: pa.Table) -> tuple[Panel, np.ndarray]:
    """*panel* with the series of *table* that it has not, of which nothing else is known, and the position of each row's series."""
    names = zip(*(panel.series[key].to_pylist() for key in panel.keys), strict=True)
    position = {name: k for k, name in enumerate(names)}
    rows = list(zip(*(table[key].to_pylist() for key in panel.keys), strict=True))
    for name in dict.fromkeys(rows):
        position.setdefault(name, len(position))
    new = [dict(zip(panel.keys, name, strict=True)) for name in list(position)[len(panel.series) :]]
    series = np.array([position[name] for name in rows], np.int64)
    if not new:
        return panel, series
    more = len(new)
    added = pa.Table.from_pylist(new).cast(panel.series.select(list(panel.keys)).schema)

    def rows_of(values: np.ndarray, fill: Any) -> np.ndarray:
        return np.concatenate([values, np.full((more, *values.shape[1:]), fill, values.dtype)])

    grown = replace(
        panel,
        series=pa.concat_tables([panel.series, added], promote_options="default").combine_chunks(),
        demand=rows_of(panel.demand, np.nan),
        state=rows_of(panel.state, State.NOT_LISTED),
        sells=rows_of(panel.sells, True),
        covariates={name: rows_of(values, np.nan) for name, values in panel.covariates.items()},
        price=rows_of(panel.price, np.nan),
    )
    return grown, series


def _table(what: str, given: Columns, needed: Sequence[str], allowed: Sequence[str]) -> pa.Table:
    """*given* as a table with the *needed* columns, and no others but those *allowed*; keys are text."""
    table = given if isinstance(given, pa.Table) else pa.table(dict(given))
    names = [*needed, *allowed]
    for name in table.column_names:
        if name not in names:
            raise DataError(f"{what}: unknown column {name!r}, expected {', '.join(names)}{nearest(name, names)}")
    if missing := [name for name in needed if name not in table.column_names]:
        raise DataError(f"{what}: no column {missing[0]!r} among {', '.join(table.column_names)}; expected {', '.join(needed)}")
    for name in needed:
        if name not in ("date", "start", "quantity"):
            kind = table.schema.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)) or table[name].null_count:
                raise DataError(f"{what}: {name} is {kind} or has gaps; expected text in each row, for 7 and 007 are two ids")
            table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))
    return table


def _days(what: str, table: pa.Table, name: str) -> np.ndarray:
    """A column of days, timestamps or ISO texts as datetime64[D]."""
    values = table[name].to_pylist()
    try:
        return np.array([value if isinstance(value, date) else date.fromisoformat(str(value)[:10]) for value in values], "datetime64[D]")
    except ValueError as error:
        raise DataError(f"{what}: {name} is no date ({error}); expected days such as 2026-11-23") from error


def _numbers(what: str, table: pa.Table, name: str) -> np.ndarray:
    """A column of numbers as float64; NaN for null.

    Raises:
        DataError: it has something else, or an infinite number.
    """
    try:
        values = table[name].cast(pa.float64()).to_numpy().astype(np.float64)
    except pa.ArrowInvalid as error:
        raise DataError(f"{what}: {name} is no number ({error}); expected numbers") from error
    if np.isinf(values).any():
        raise DataError(f"{what}: {name} is infinite; expected numbers")
    return values
