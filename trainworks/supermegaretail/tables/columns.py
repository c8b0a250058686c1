"""The tables of a source and their columns, and ``columns``: what a retailer calls them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from trainworks.errors import DataError
from trainworks.grammar import Pair, nearest, pairs, require


class Kind(Enum):
    """What a column holds."""

    ID = "text, byte for byte"
    DAY = "days such as 2026-11-23, or timestamps"
    NUMBER = "numbers such as 1234.5"
    TEXT = "text"


@dataclass(frozen=True)
class Schema:
    """The columns of a table by name: what it needs, and what else is understood. It may have more."""

    needed: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, Kind]:
        """All columns that are understood."""
        return {**self.needed, **self.optional}


ID, DAY, NUMBER, TEXT = Kind.ID, Kind.DAY, Kind.NUMBER, Kind.TEXT

TABLES = {
    "sales": Schema({"date": DAY, "product": ID, "quantity": NUMBER}, {"store": ID, "revenue": NUMBER, "price": NUMBER}),
    "products": Schema(
        {"product": ID},
        {"category": TEXT, "department": TEXT, "brand": TEXT, "size": TEXT, "price": NUMBER, "launched": DAY, "delisted": DAY},
    ),
    "stores": Schema({"store": ID}, {"region": TEXT, "format": TEXT, "opened": DAY, "closed": DAY}),
    "promotions": Schema({"product": ID, "start": DAY}, {"end": DAY, "store": ID, "kind": TEXT, "price": NUMBER, "discount": NUMBER}),
    "prices": Schema({"product": ID, "start": DAY, "price": NUMBER}, {"end": DAY, "store": ID}),
    "calendar": Schema({"date": DAY}, {"event": TEXT, "closed": TEXT, "region": TEXT, "store": ID}),
    "stock": Schema({"date": DAY, "product": ID, "on_hand": NUMBER}, {"store": ID}),
}
OTHER = Schema({"date": DAY}, {"product": ID, "store": ID, "region": TEXT})
"""Any other table; its numbers can be covariates."""

NAMES = tuple(dict.fromkeys(name for schema in TABLES.values() for name in schema.kinds))
"""What ``columns`` may give another name."""

TAKEN = ("day", "first_day", "last_day")
"""Names that the panel gives to dates, starts and ends."""

SAME = {"date": "start", "start": "date"}
"""One stands for the other in a table that has only that one: a date that is the start of a period."""


def schema(table: str) -> Schema:
    """The columns of *table*."""
    return TABLES.get(table, OTHER)


def columns(text: str) -> dict[str, Pair]:
    """Parse ``date: week_start, product: sku``: a name of the contract, then the name that the source has for it; it may be empty.

    Raises:
        LanguageError: with the position and the names that are expected.
    """
    named = {}
    for pair in pairs("columns", text) if text.strip() else []:
        require("columns", text, pair.position, pair.name, NAMES)
        named[pair.name] = pair
    return named


def require_names(text: str, headers: Mapping[str, Mapping[str, Collection[str]]]) -> None:
    """Refuse a name in the ``columns`` *text* that no table has that could: table → file → its columns are in *headers*.

    A name of a table that the source does not have is let be.

    Raises:
        LanguageError: with the position and the columns there are.
    """
    for pair in columns(text).values():
        able = [table for table in headers if {pair.name, SAME.get(pair.name)} & set(schema(table).kinds)]
        present = dict.fromkeys(column for table in able for of_file in headers[table].values() for column in of_file)
        if able:
            require("columns", text, pair.value_position, pair.value, present)


def renamed(table: str, header: Collection[str], named: Mapping[str, Pair]) -> dict[str, str]:
    """Contract's name → the column of *header* that holds it, for a file of *table*; then its own columns, by their names.

    Of two names that SQL takes for one, the later is numbered.
    """
    given = {name: pair.value for name, pair in named.items()}
    found: dict[str, str] = {}
    for name in dict.fromkeys([*schema(table).kinds, *given]):
        same = SAME.get(name, name)
        candidates = (given.get(name), name, given.get(same), same)
        column = next((column for column in candidates if column in header and column not in found.values()), None)
        if column is not None:
            found[name] = column
    left = [column for column in header if column not in found.values()]
    if table == "stock" and "on_hand" not in found and len(left) == 1:  # its only measure, such as days on which there was any
        found["on_hand"] = left[0]
    names = dict(found)
    for column in header:
        if column not in found.values():
            taken = {*TAKEN, *(name.lower() for name in names)}  # in SQL, names that differ by case are one
            names[column if column.lower() not in taken else f"{column} ({len(names)})"] = column
    return names


def require_needed(table: str, file: str, header: Collection[str], found: Collection[str]) -> None:
    """Refuse a *file* of *table* whose *header* lacks a needed column after its columns were *found*.

    Raises:
        DataError: with the columns there are and what to do.
    """
    for name in schema(table).needed:
        if name not in found:
            listed = ", ".join(list(header)[:20]) or "no column at all"
            near = nearest(name, header) or "; if it is called otherwise, say so by columns"
            raise DataError(f"{file}: {table} needs a column {name!r} ({schema(table).needed[name].value}), found {listed}{near}")
