"""How days and numbers are written in texts: one way for a whole table, or it is refused; single texts that are none are left out."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainworks.errors import DataError
from trainworks.supermegaretail.tables.reading import Rows

TOLERATED = 0.05
"""Share of a file's values that may be no days or numbers, line by line; with more of them the file is refused."""

TIME = r"(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)"
SHAPES = {
    "2026-11-23": r"^\d{4}-\d{1,2}-\d{1,2}$",
    "2026-11-23 14:05:00": rf"^\d{{4}}-\d{{2}}-\d{{2}}{TIME} ?(?:Z|UTC|[+-]\d{{2}}:?\d{{2}})?$",
    "2026/11/23": rf"^\d{{4}}/\d{{1,2}}/\d{{1,2}}{TIME}?$",
    "20261123": r"^\d{8}$",
    "2026-11": r"^\d{4}-\d{2}$",
    "23.11.2026": rf"^\d{{1,2}}\.\d{{1,2}}\.\d{{4}}{TIME}?$",
    "23/11/2026": rf"^\d{{1,2}}/\d{{1,2}}/\d{{4}}{TIME}?$",
    "23-11-2026": rf"^\d{{1,2}}-\d{{1,2}}-\d{{4}}{TIME}?$",
}
"""Ways to write a day, by example. In the last two day and month may change places: a day above 12 decides."""

MONTH_FIRST = {"23/11/2026": "11/23/2026", "23-11-2026": "11-23-2026"}
"""The same with the month first."""

PARSED = {
    "2026-11-23": "%Y-%m-%d",
    "2026/11/23": "%Y/%m/%d",
    "20261123": "%Y%m%d",
    "2026-11": "%Y-%m",
    "23.11.2026": "%d.%m.%Y",
    "23/11/2026": "%d/%m/%Y",
    "23-11-2026": "%d-%m-%Y",
    "11/23/2026": "%m/%d/%Y",
    "11-23-2026": "%m-%d-%Y",
}
EXPECTED = "expected days such as 2026-11-23 or timestamps such as 2026-11-23 14:05:00"

PLAIN = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"
SEPARATED = r"^\s*[+-]?\d{1,3}(?:[,.'’ \x{A0}]\d{3})*(?:[,.]\d*)?\s*$|^\s*[+-]?\d*,\d+\s*$"


NOTHING = ("NA", "NaN", "nan", "NULL", "null", "None", r"\N")
"""What programs write into columns of days and numbers where there is none."""


def filled(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """*texts* of days or numbers, "" where a program wrote that there is none."""
    return pc.if_else(pc.is_in(texts, value_set=pa.array(NOTHING)), "", texts)


@dataclass
class DayTexts:
    """What the texts of a column of days look like, file by file: where each way to write them, and each order, is first found."""

    name: str
    shapes: dict[str, str] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)

    def add(self, rows: Rows, texts: pa.ChunkedArray) -> None:
        """Take the *texts* of a file's column into account.

        Raises:
            DataError: more than a few are no days.
        """
        unique = texts.unique()
        rest = pc.not_equal(unique, "")
        for shape, pattern in SHAPES.items():
            matching = pc.and_(pc.match_substring_regex(unique, pattern), rest)
            if pc.any(matching).as_py():
                chosen = unique.filter(matching)
                self.shapes.setdefault(shape, _first(rows, self.name, texts, chosen[0]))
                if shape in MONTH_FIRST:
                    self._add_orders(rows, texts, chosen)
            rest = pc.and_(rest, pc.invert(matching))
        refuse_many(rows, self.name, texts, unique.filter(rest), EXPECTED)

    def _add_orders(self, rows: Rows, texts: pa.ChunkedArray, chosen: pa.Array) -> None:
        parts = pc.extract_regex(chosen, r"^(?P<first>\d+)[/-](?P<second>\d+)")
        for order, part in (("day first", "first"), ("month first", "second")):
            large = pc.greater(pc.cast(pc.struct_field(parts, part), pa.int64()), 12)
            if pc.any(large).as_py():
                self.orders.setdefault(order, _first(rows, self.name, texts, chosen.filter(large)[0]))

    def format(self) -> str:
        """The one way in which all days are written, as an example; "" without any.

        Raises:
            DataError: there are two ways, or day and month cannot be told apart.
        """
        for ways, what in ((self.shapes, "two ways"), (self.orders, "two orders of day and month")):
            if len(ways) > 1:
                first, second = list(ways.values())[:2]
                raise DataError(f"{second}, but {first}: {what} to write a day; {EXPECTED} in all files of the table")
        if not self.shapes:
            return ""
        shape, where = next(iter(self.shapes.items()))
        if shape not in MONTH_FIRST:
            return shape
        if not self.orders:
            raise DataError(f"{where}: is that day or month first? No {self.name} of this table says; {EXPECTED}")
        return shape if "day first" in self.orders else MONTH_FIRST[shape]


def days(texts: pa.ChunkedArray, shape: str) -> pa.ChunkedArray:
    """*texts* written like *shape* as timestamps of UTC; null where a text is none, or no day of the calendar."""
    if not shape:
        return pa.chunked_array([pa.nulls(len(texts), pa.timestamp("us"))])
    coded = texts.combine_chunks().dictionary_encode()
    with duckdb.connect() as run:
        run.execute("SET TimeZone = 'UTC'")
        run.register("texts", pa.table({"text": coded.dictionary, "place": np.arange(len(coded.dictionary))}))
        if shape in PARSED:
            with_time = [f"{PARSED[shape]}{time}" for time in ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S")]
            listed = ", ".join(f"'{each}'" for each in with_time)
            parsed = f"try_strptime(text, [{listed}])"
        else:
            parsed = "TRY_CAST(text AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
        values = run.sql(f"SELECT CAST({parsed} AS TIMESTAMP) AS day FROM texts ORDER BY place").to_arrow_table()["day"]
    return pa.chunked_array([values.combine_chunks().take(coded.indices)])


def numbers(rows: Rows, name: str, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """*texts* as float64; null where a text is none.

    Raises:
        DataError: a number with a decimal comma or a separator of thousands, or more than a few texts that are no numbers.
    """
    try:
        return pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        pass
    unique = texts.unique()
    readable = pc.match_substring_regex(unique, PLAIN)
    others = unique.filter(pc.and_(pc.invert(readable), pc.not_equal(unique, "")))
    separated = others.filter(pc.match_substring_regex(others, SEPARATED))
    if len(separated):
        where = _first(rows, name, texts, separated[0])
        raise DataError(f"{where}: a decimal comma, or a separator of thousands? Expected numbers such as 1234.5; write the file so")
    refuse_many(rows, name, texts, others, "expected numbers such as 1234.5")
    plain = pc.if_else(pc.match_substring_regex(texts, PLAIN), pc.utf8_trim_whitespace(texts), pa.scalar(None, pa.string()))
    return pc.cast(plain, pa.float64())


def are_numbers(texts: Iterable[str]) -> bool:
    """Whether all that stands in *texts* are numbers, and none of them looks like a code: 0012."""
    filled = [text for text in texts if text]
    return bool(filled) and all(re.fullmatch(PLAIN.strip("^$"), text) and not re.match(r"[+-]?0\d", text.strip()) for text in filled)


def refuse_many(rows: Rows, name: str, texts: pa.ChunkedArray, others: pa.Array, expected: str) -> None:
    """Refuse a column *name* of which more than a few *texts* are among the *others*, which cannot be read.

    Raises:
        DataError: with the first of them.
    """
    if not len(others):
        return
    wrong = pc.is_in(texts, value_set=others)
    count = pc.sum(wrong).as_py()
    if count > TOLERATED * len(texts):
        position = pc.index(wrong, True).as_py()
        raise DataError(f"{rows.where(position)}: {name} {texts[position].as_py()!r} and {count - 1} more: {expected}")


def _first(rows: Rows, name: str, texts: pa.ChunkedArray, text: pa.Scalar) -> str:
    return f"{rows.where(pc.index(texts, text).as_py())}: {name} {text.as_py()!r}"
