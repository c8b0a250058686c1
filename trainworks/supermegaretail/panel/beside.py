"""What stands beside sales, in arrays of series and periods: promotions, prices, events, stock, tables of one's own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from trainworks.supermegaretail.features.languages import Covariate
from trainworks.supermegaretail.panel import sql
from trainworks.supermegaretail.panel.engines import Engine
from trainworks.supermegaretail.panel.statics import Statics

KINDS = 24
"""Kinds of promotion and events that get a column of their own, the most frequent ones; the others count as any."""


class Beside:
    """Fills ``covariates`` (name → (S, T) float32) and what tells the states of cells."""

    def __init__(
        self,
        run: Engine,
        files: dict[str, list[Path]],
        columns: dict[str, list[str]],
        keys: tuple[str, ...],
        names: pa.Table,
        attributes: pa.Table,
        first_days: np.ndarray,
        known: int,
        without_end: str,
    ):
        self._run, self._files, self._columns, self._keys = run, files, columns, keys
        self._names, self._attributes, self._first_days, self._known = names, attributes, first_days, known
        self._without_end, self._horizon = without_end, len(first_days) - 1 - known
        self.shape = (len(names), len(first_days) - 1)
        self.covariates: dict[str, np.ndarray] = {}
        self.shut = np.zeros(self.shape, bool)
        self.promoted = np.zeros(self.shape, bool)
        self.signs = np.zeros((self.shape[0], known), bool)
        self.most_stock = np.full((self.shape[0], known), np.nan)
        single = {"store", "product"} <= set(keys)
        # Of several members only those count that were selling one horizon before: later ones are not known at an origin.
        self._known_to_sell = (
            "1 = 1" if single else f"(m.since IS NULL OR m.since <= greatest(t.period - {self._horizon}, {self._horizon}))"
        )

    def has(self, name: str) -> bool:
        """Whether there is any column of the covariate."""
        return any(column.split(".")[0] == name for column in self.covariates)

    def cells(self, rows: pa.Table, *columns: str) -> list[np.ndarray]:
        """Columns of *rows* (series, period, …) as (S, T) float64; NaN where there is no row."""
        at = rows["series"].to_numpy(), rows["period"].to_numpy()
        arrays = []
        for column in columns:
            values = np.full(self.shape, np.nan)
            values[at] = rows[column].to_numpy().astype(np.float64)
            arrays.append(values)
        return arrays

    def add_paid(self, revenue: np.ndarray, priced: np.ndarray) -> None:
        """The mean price that was paid in each period, and room for planned ones."""
        if np.isfinite(revenue).any():
            paid = np.full(self.shape, np.nan)
            with np.errstate(divide="ignore", invalid="ignore"):
                paid[:, : self._known] = np.where((priced > 0) & (revenue > 0), revenue / priced, np.nan)
            self._add("paid", paid)
            self._add("price", np.full(self.shape, np.nan))

    def add_all(self, declared: list[Covariate]) -> None:
        """Everything that has a table: the contract's own always, others if they are *declared*."""
        if "prices" in self._files:
            first, last = int(self._first_days[0]), int(self._first_days[-1]) - 1
            rows = self._run.query(sql.price_cells(first, last, self._known_to_sell))
            self._add("price", *self.cells(rows, "price"))
        if "promotions" in self._files:
            self._add_promotions()
        if "calendar" in self._files:
            self._add_calendar()
        if "stock" in self._files:
            stock, most = self.cells(self._run.query(sql.STOCK_CELLS), "stock", "most")
            self._add("stock", stock)
            self.most_stock = most[:, : self._known]
            self.signs |= np.isfinite(self.most_stock)
        for covariate in declared:
            if covariate.name in self._files and not self.has(covariate.name):
                self._add_table(covariate.name)

    def places(self, rows: pa.Table, statics: Statics) -> tuple[np.ndarray, np.ndarray]:
        """Units and lines of all that the store, region … of each series sold, (S, known) both."""
        stores = rows["store"].to_pylist()
        keys = [key for key in self._keys if key == "store" or key in statics.store_names]
        of_store = {key: stores if key == "store" else statics.column("store", stores, key) for key in keys}
        of_row = list(zip(*(of_store[key] for key in keys), strict=True)) if keys else [()] * len(rows)
        of_series = list(zip(*(self._names[key].to_pylist() for key in keys), strict=True)) if keys else [()] * self.shape[0]
        numbers = {place: number for number, place in enumerate(dict.fromkeys([*of_row, *of_series]))}
        place, period = np.array([numbers[each] for each in of_row], np.intp), rows["period"].to_numpy()
        inside = period < self._known
        sums = []
        for column in ("quantity", "lines"):
            total = np.zeros((len(numbers), self._known))
            np.add.at(total, (place[inside], period[inside]), rows[column].to_numpy().astype(np.float64)[inside])
            sums.append(total[[numbers[each] for each in of_series]])
        return sums[0], sums[1]

    def worth(self, revenue: np.ndarray, priced: np.ndarray, listed: np.ndarray) -> np.ndarray:
        """What a unit of each series is worth, (S,): the mean price paid, else planned, else in the table of products.

        To nine digits: engines add in the order in which threads end, and the last bits would make another panel of the same lines.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            paid = np.nansum(revenue, axis=1) / np.nansum(np.where(np.isfinite(revenue), priced, np.nan), axis=1)
        price = self.covariates.get("price", np.full(self.shape, np.nan))
        count = np.isfinite(price).sum(axis=1)
        planned = np.divide(np.nansum(price, axis=1), count, out=np.full(self.shape[0], np.nan), where=count > 0)
        worth = np.where(np.isfinite(paid) & (paid > 0), paid, planned)
        worth = np.where(np.isfinite(worth) & (worth > 0), worth, listed).astype(np.float64)
        scale = 10.0 ** (8 - np.floor(np.log10(np.where(worth > 0, worth, 1))))
        return np.round(worth * scale) / scale

    def _add(self, name: str, values: np.ndarray) -> None:
        self.covariates[name] = values.astype(np.float32)

    def _add_promotions(self) -> None:
        first, last = int(self._first_days[0]), int(self._first_days[-1]) - 1
        self._run.make("promoted", sql.promoted(first, last, self._without_end))
        rows = self._run.query(sql.promotion_cells(self._known_to_sell))
        members = self._members()
        ends = self._run.query("SELECT max(coalesce(last_day, first_day)) AS last_day FROM promotions")["last_day"][0].as_py()
        covered = self._first_days[:-1] <= (-1 if ends is None else ends)
        kinds = np.array(["promotion" if kind is None else f"promotion.{kind}" for kind in rows["kind"].to_pylist()], dtype=object)
        for name in ["promotion", *_most(kinds[kinds != "promotion"])]:
            if name != "promotion.":
                (share,) = self.cells(rows.filter(pa.array(kinds == name)), "share")
                share = np.minimum(np.nan_to_num(share) / members, 1)
                self._add(name, np.where(covered, share, np.nan))
        self.promoted = np.nan_to_num(self.covariates["promotion"]) > 0
        self.signs |= self.promoted[:, : self._known]
        price, discount = self.cells(self._run.query(sql.deals(first, last)), "price", "discount")
        if np.isfinite(discount).any():
            self._add("promotion.discount", np.where(covered, np.nan_to_num(discount) * self.promoted, np.nan))
        if np.isfinite(price).any():
            shelf = self.covariates.get("price", np.full(self.shape, np.nan)).astype(np.float64)
            share = np.nan_to_num(self.covariates["promotion"].astype(np.float64))
            lower = np.where(np.isfinite(shelf), shelf + share * np.minimum(price - shelf, 0), price)
            self._add("price", np.where(np.isfinite(price), lower, shelf))

    def _members(self) -> np.ndarray:
        """How many products in stores each series had one horizon before each period, at least 1: (S, T)."""
        rows = self._run.query(sql.MEMBERS_SINCE)
        begun = np.zeros(self.shape)
        np.add.at(begun, (rows["series"].to_numpy(), rows["since"].to_numpy()), rows["members"].to_numpy())
        at = np.maximum(np.arange(self.shape[1]) - self._horizon, min(self._horizon, self._known - 1))
        return np.maximum(np.cumsum(begun, axis=1)[:, at], 1)

    def _add_calendar(self) -> None:
        places: list[str] = [name for name in ("store", "region") if name in self._columns["calendar"]]
        rows = self._run.query(sql.calendar_cells(places))
        events = np.array(["" if event is None else event for event in rows["event"].to_pylist()], dtype=object)
        series, row = self._meet(rows, places)
        period = rows["period"].to_numpy()[row]
        ends = self._run.query("SELECT max(day) AS day FROM calendar")["day"][0].as_py()
        covered = self._first_days[:-1] <= (-1 if ends is None else ends)
        days = np.zeros(self.shape)
        np.maximum.at(days, (series, period), rows["closed"].to_numpy()[row])
        self.shut |= days >= np.diff(self._first_days)
        for name, chosen in {
            "holiday": events != "",
            **{f"holiday.{event}": events == event for event in _most(events[events != ""])},
        }.items():
            happens = np.zeros(self.shape)
            happens[series[chosen[row]], period[chosen[row]]] = 1
            self._add(name, np.where(covered, happens, np.nan))

    def _add_table(self, name: str) -> None:
        """The numeric columns of a table of one's own; what it does not share with the series is averaged over."""
        kinds = {field.name: field.type for file in self._files[name] for field in parquet.read_schema(file)}
        columns = self._run.table(name, self._files[name], ("day",))
        keys = [column for column in columns if column in self._attributes.column_names and not _is_number(kinds.get(column))]
        numbers = [column for column in columns if _is_number(kinds.get(column))]
        if not numbers:
            return
        rows = self._run.query(sql.table_cells(name, keys, numbers, self._run.quote))
        named = rows.rename_columns([keys[int(column[4:])] if column.startswith("key_") else column for column in rows.column_names])
        series, row = self._meet(named, keys)
        for place, column in enumerate(numbers):
            values = np.full(self.shape, np.nan)
            values[series, rows["period"].to_numpy()[row]] = rows[f"mean_{place}"].to_numpy().astype(np.float64)[row]
            self._add(name if len(numbers) == 1 else f"{name}.{column}", values)

    def _meet(self, rows: pa.Table, keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Positions of series and of *rows* that have the same *keys*; a row meets all series in a key that it leaves empty."""
        keys = [key for key in keys if key in self._attributes.column_names]
        of_series: dict[tuple, list[int]] = {}
        columns = [self._attributes[key].to_pylist() for key in keys]
        asked = list(zip(*(rows[key].to_pylist() for key in keys), strict=True)) if keys else [()] * len(rows)
        empties = {tuple(value in (None, "") for value in row) for row in asked}
        for empty in empties:
            for place in range(self.shape[0]):
                name = tuple(None if gone else column[place] for gone, column in zip(empty, columns, strict=True))
                of_series.setdefault(name, []).append(place)
        found = [of_series.get(tuple(None if value in (None, "") else value for value in row), []) for row in asked]
        row = np.repeat(np.arange(len(rows)), [len(series) for series in found])
        return np.array([place for series in found for place in series], np.intp), row


def _most(names: np.ndarray) -> list[str]:
    """The most frequent of *names*, in the order of the alphabet."""
    values, counts = np.unique(names.astype(str), return_counts=True)
    return sorted(values[np.argsort(-counts, kind="stable")[:KINDS]].tolist())


def _is_number(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
