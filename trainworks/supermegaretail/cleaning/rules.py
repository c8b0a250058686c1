"""What is wrong with lines, as SQL: the rules of each table, in the order in which they are asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trainworks.supermegaretail.tables.level import LINES, quoted
from trainworks.supermegaretail.tables.typed import LISTED
from trainworks.supermegaretail.tables.units import PARTS


@dataclass(frozen=True)
class Rules:
    """The rules of a table.

    Attributes:
        columns: what is handed on, column → SQL
        key: columns that tell its rows apart; none if rows may be equal
        measures: columns that say something of a key
        one: whether a file may say only one thing of a key
        rejected: reason → condition
        corrected: reason → condition, on lines that are not rejected
    """

    columns: Mapping[str, str]
    key: Sequence[str]
    measures: Sequence[str] = ()
    one: bool = True
    rejected: Mapping[str, str] = field(default_factory=dict)
    corrected: Mapping[str, str] = field(default_factory=dict)


MOVED = "day in UTC, another in the store"
"""Of lines with a time of the day: counted in the ledger though none did."""

AGREE = "abs(price * quantity - revenue) <= 0.02 * revenue + 0.01 * quantity"


def sales(rows: str, key: Sequence[str], moved: bool, listed: bool) -> Rules:
    """The rules of sales whose *rows* are lines or of a period, told apart by *key*, if by anything.

    *moved* says that days depend on the zone, *listed* that there is a table of products.
    """
    return Rules(
        columns={
            "date": "date",
            "store": "coalesce(store, '')",
            "product": "product",
            "quantity": f"quantity / {PARTS}",
            "revenue": "CASE WHEN isfinite(revenue) AND (quantity < 0 OR (quantity > 0 AND revenue > 0)) THEN revenue END",
            "price": "CASE WHEN price > 0 AND isfinite(price) THEN CASE WHEN quantity > 0 AND revenue > 0 AND isfinite(revenue) AND NOT "
            f"({AGREE}) THEN revenue * {PARTS} / quantity ELSE price * {PARTS} END END",
        },
        key=key,
        measures=("quantity", "revenue", "price"),
        one=rows != LINES,
        rejected={"quantity is no number": "NOT isfinite(quantity)"},
        corrected={
            "a return, which is no demand": "quantity < 0",
            "quantity in thousandths of a unit": f"{PARTS} > 1",
            "revenue of what was not sold": "quantity = 0 AND revenue > 0",
            "revenue is no number": "NOT isfinite(revenue)",
            "no revenue for what was sold": "quantity > 0 AND revenue <= 0",
            "price of zero or below": "price <= 0 OR NOT isfinite(price)",
            "price that disagrees with revenue": f"quantity > 0 AND revenue > 0 AND NOT ({AGREE})",
            "product in no table of products": f"NOT {LISTED}" if listed else "false",
            MOVED: "_moved" if moved else "false",
        },
    )


SPAN = {"end before start": '"end" < start'}

BESIDE = {
    "promotions": Rules(
        columns={
            **{name: quoted(name) for name in ("product", "store", "start", "end", "kind")},
            "price": "CASE WHEN price > 0 AND isfinite(price) THEN price END",
            "discount": "CASE WHEN isfinite(discount) THEN discount END",
        },
        key=("product", "store", "start", "kind"),
        measures=("end", "price", "discount"),
        one=False,
        rejected=SPAN,
        corrected={
            "price of zero or below": "price <= 0 OR NOT isfinite(price)",
            "discount is no number": "NOT isfinite(discount)",
        },
    ),
    "prices": Rules(
        columns={name: quoted(name) for name in ("product", "store", "start", "end", "price")},
        key=("product", "store", "start"),
        measures=("end", "price"),
        rejected={"price of zero or below": "price <= 0 OR NOT isfinite(price)", **SPAN},
    ),
    "calendar": Rules(
        columns={name: quoted(name) for name in ("date", "event", "closed", "region", "store")},
        key=("date", "event", "region", "store"),
        measures=("closed",),
    ),
    "stock": Rules(
        columns={"date": "date", "product": "product", "store": "store", "on_hand": "greatest(on_hand, 0)"},
        key=("date", "product", "store"),
        measures=("on_hand",),
        rejected={"on_hand is no number": "NOT isfinite(on_hand)"},
        corrected={"less than nothing on hand": "on_hand < 0"},
    ),
}


def of_attributes(key: str, columns: Sequence[str]) -> Rules:
    """The rules of a table of attributes, one row for each *key*."""
    return Rules(columns={name: quoted(name) for name in columns}, key=(key,), measures=[name for name in columns if name != key])


def of_own(columns: Mapping[str, bool]) -> Rules:
    """The rules of a table of the retailer's own, its *columns* with whether they are numbers; the others are its key."""
    numbers = [name for name, is_number in columns.items() if is_number]
    values = {name: f"CASE WHEN isfinite({quoted(name)}) THEN {quoted(name)} END" if name in numbers else quoted(name) for name in columns}
    return Rules(columns=values, key=[name for name in columns if name not in numbers], measures=numbers)
