"""What is wrong with lines, as SQL: the rules of each table, in the order in which they are asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trainworks.supermegaretail.tables.level import LINES, PERIOD


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


def quoted(name: str) -> str:
    """A column's name in SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


BILLION = 1e9
"""Units of one line that nobody sells."""
FAR, MANY = 1e4, 1e5
"""A quantity so many times the usual one of its product, and above so many, is a mistake too."""

THOUSANDTH = 400
"""A product whose unit costs less than this part of the usual price is sold by the thousandth: fuel by the thousandth of a gallon."""
LOTS = 20
"""The least usual quantity of such a product."""

AGREE = "abs(price * quantity - revenue) <= 0.02 * revenue + 0.01 * quantity"

UNITS = f"""
CREATE TABLE units AS
WITH usual AS (
    SELECT product, median(CASE WHEN quantity > 0 THEN quantity END) AS quantity,
        median(CASE WHEN quantity > 0 THEN revenue / quantity END) AS price
    FROM judged WHERE rejected = '' GROUP BY product
), priced AS (SELECT median(revenue / quantity) AS price FROM judged WHERE rejected = '' AND quantity > 0 AND revenue > 0)
SELECT product, coalesce(usual.quantity, 0) AS quantity,
    CASE WHEN usual.price > 0 AND usual.price * {THOUSANDTH} < priced.price AND usual.quantity >= {LOTS} THEN 1000.0 ELSE 1.0 END AS divisor
FROM usual, priced
"""
"""Of each product the usual quantity, and into how many parts its unit was cut."""

TOO_MANY = f"""
UPDATE judged SET rejected = 'a quantity that cannot be' FROM units WHERE rejected = '' AND units.product = judged.product
AND (abs(judged.quantity) >= {BILLION:.0f} OR abs(judged.quantity) > greatest({MANY:.0f}, {FAR:.0f} * units.quantity))
"""


def sales(rows: str, key: Sequence[str], moved: bool, listed: bool) -> Rules:
    """The rules of sales whose *rows* are lines or of a period, told apart by *key*.

    *moved* says that days depend on the zone, *listed* that there is a table of products.
    """
    told_apart = rows == PERIOD or moved or len(key) > 3
    return Rules(
        columns={
            "date": "date",
            "store": "coalesce(store, '')",
            "product": "product",
            "quantity": "quantity / divisor",
            "revenue": "CASE WHEN isfinite(revenue) AND (quantity < 0 OR (quantity > 0 AND revenue > 0)) THEN revenue END",
            "price": "CASE WHEN price > 0 AND isfinite(price) THEN CASE WHEN quantity > 0 AND revenue > 0 AND isfinite(revenue) AND NOT "
            f"({AGREE}) THEN revenue * divisor / quantity ELSE price END END",
        },
        key=key if told_apart else (),
        measures=("quantity", "revenue", "price"),
        one=rows != LINES,
        rejected={"quantity is no number": "NOT isfinite(quantity)"},
        corrected={
            "a return, which is no demand": "quantity < 0",
            "quantity in thousandths of a unit": "divisor > 1",
            "revenue of what was not sold": "quantity = 0 AND revenue > 0",
            "revenue is no number": "NOT isfinite(revenue)",
            "no revenue for what was sold": "quantity > 0 AND revenue <= 0",
            "price of zero or below": "price <= 0 OR NOT isfinite(price)",
            "price that disagrees with revenue": f"quantity > 0 AND revenue > 0 AND NOT ({AGREE})",
            "product in no table of products": "NOT listed" if listed else "false",
            "day in UTC, another in the store": "moved" if moved else "false",
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
