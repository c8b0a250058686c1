"""A retailer drawn from a seed, whose truth is known: what each product would sell in each store in each period, and why.

Something may happen to it, as it does to others (`Events`), so that what watches a forecaster can be judged.
"""

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ELASTICITY, LIFT, SEASON = -1.8, 2.0, 0.3
"""Of demand on the price; of a promotion beyond its price; the yearly wave's height."""
DISCOUNT = 0.2
"""Share of the price that a promotion takes off."""
PLANNED = 8
"""Periods after the end of sales that promotions, prices and calendar reach into."""


INFLATION, SHIFTED = 0.2, (0.5, 1.6)
"""What all prices rise by when they do; by what the demand of every other product is multiplied, and that of the others."""


@dataclass(frozen=True)
class Events:
    """Periods, counted from 0, from which on something is otherwise for good; None is never.

    ``shift``: customers want other products, and a promotion draws nobody beyond its price. ``prices``: they all rise, as planned.
    ``closing``: the last store sells no more, and no table says why.
    """

    shift: int | None = None
    prices: int | None = None
    closing: int | None = None


@dataclass(frozen=True)
class Drawn:
    """What is true of S series (stores × products, store by store) in T periods with sales and ``PLANNED`` more.

    ``mean`` (S, T + PLANNED) is the expected demand of an open store with full shelves, ``sold`` (S, T) what the tables say;
    ``promoted``, ``price``, ``closed`` (S, T + PLANNED) and ``empty`` (S, T: out of stock) say what lay behind it.
    """

    keys: list[tuple[str, str]]
    starts: np.ndarray
    mean: np.ndarray
    sold: np.ndarray
    promoted: np.ndarray
    price: np.ndarray
    closed: np.ndarray
    empty: np.ndarray


def draw(
    stores: int = 3, products: int = 5, periods: int = 104, days: int = 7, level: float = 20, seed: int = 1, events: Events | None = None
) -> Drawn:
    """Series with a yearly season, promotions in one of eight periods, and two empty shelves and one closing each in a hundred.

    A period has *days* days; the first starts on Thursday 2024-01-04. *level* is the mean demand of an ordinary series.
    """
    draws = np.random.default_rng(seed)
    count, length = stores * products, periods + PLANNED
    starts = np.datetime64("2024-01-04") + np.arange(length) * days
    season = 1 + SEASON * np.sin(2 * np.pi * np.arange(length) * days / 365.25)
    base = level * np.outer(draws.uniform(0.6, 1.4, stores), draws.lognormal(0, 0.4, products)).ravel()
    regular = np.tile(np.round(draws.uniform(1, 9, products), 2), stores)
    promoted = np.tile(draws.random((products, length)) < 1 / 8, (stores, 1))
    events = events or Events()
    shifted, dearer, gone = (_since(event, length) for event in (events.shift, events.prices, events.closing))
    price = np.round(regular[:, None] * np.where(promoted, 1 - DISCOUNT, 1) * np.where(dearer, 1 + INFLATION, 1), 2)
    wanted = np.where(shifted, np.tile(np.resize(SHIFTED, products), stores)[:, None], 1)
    mean = base[:, None] * season * wanted * np.where(promoted & ~shifted, LIFT, 1) * (price / regular[:, None]) ** ELASTICITY
    mean[count - products :, gone] = 0
    closed = np.repeat(draws.random((stores, length)) < 0.01, products, axis=0)
    empty = (draws.random((count, periods)) < 0.02) & ~closed[:, :periods]
    sold = np.where(closed[:, :periods] | empty, 0, draws.poisson(mean[:, :periods]))
    keys = [(f"{store + 1:04d}", f"P{product + 1:02d}") for store in range(stores) for product in range(products)]
    return Drawn(keys, starts, mean, sold, promoted, price, closed, empty)


def _since(event: int | None, length: int) -> np.ndarray:
    return np.arange(length) >= (length if event is None else event)


def write(drawn: Drawn, folder: Path, missing: Collection[tuple[str, int]] = ()) -> Path:
    """The tables as the retailer delivers them, CSV files in *folder*: only what sold has a line of sales.

    Every store is in promotions, prices and stock; a closing is in the calendar, day by day. Of a (store, period) in *missing* neither
    sales nor stock have come.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known, days = drawn.sold.shape[1], int((drawn.starts[1] - drawn.starts[0]).astype(int))
    last = drawn.starts + days - 1
    cells = list(np.ndindex(drawn.mean.shape))
    past = [(row, at) for row, at in cells if at < known and (drawn.keys[row][0], at) not in missing]
    stores, products = (sorted(set(ids)) for ids in zip(*drawn.keys, strict=True))

    def lines(cells: list, *values: np.ndarray) -> list:
        return [[str(drawn.starts[at]), *drawn.keys[row], *(value[row, at] for value in values)] for row, at in cells]

    def save(name: str, header: str, rows: list) -> None:
        write_csv(folder / f"{name}.csv", header, rows)

    end = np.broadcast_to(last, drawn.mean.shape)
    save("sales", "date store product quantity price", lines([cell for cell in past if drawn.sold[cell]], drawn.sold, drawn.price))
    save("stock", "date store product on_hand", lines(past, np.where(drawn.empty, 0, 99)))
    save("promotions", "start store product end price", lines([cell for cell in cells if drawn.promoted[cell]], end, drawn.price))
    save("prices", "start store product end price", lines(cells, end, drawn.price))
    save("products", "product category", [[product, f"category {int(product[1:]) % 2}"] for product in products])
    save("stores", "store region", [[store, "north" if int(store) % 2 else "south"] for store in stores])
    closed = {(drawn.keys[row][0], drawn.starts[at] + day) for row, at in cells if drawn.closed[row, at] for day in range(days)}
    save("calendar", "date store event closed", [[str(day), store, "refit", "yes"] for store, day in sorted(closed)])
    return folder


def write_csv(path: Path, header: str, rows: list) -> Path:
    """A CSV file with the columns of *header*, which a space separates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(), *rows])
    return path
