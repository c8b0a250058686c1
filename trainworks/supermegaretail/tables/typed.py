"""The files of a table as one typed table, in which a line that cannot be used says why."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainworks.errors import DataError
from trainworks.grammar import Pair
from trainworks.supermegaretail.tables import formats
from trainworks.supermegaretail.tables.columns import TABLES, Kind, renamed, require_needed, schema
from trainworks.supermegaretail.tables.reading import Rows

FILE, REJECTED, CORRECTED = "_file", "_rejected", "_corrected"
"""Columns beside the table's own: the number of the file, and why a line cannot be used as it stands, or "" ."""

LISTED = "_listed"
"""Column of sales: whether the product is in the table of products, if there is one."""

OWN = "own "
"""Before the name of a column of sales that only tells lines apart."""

TYPES = {Kind.ID: pa.string(), Kind.TEXT: pa.string(), Kind.DAY: pa.timestamp("us"), Kind.NUMBER: pa.float64()}
CODES = ("id", "code", "number", "no", "nr", "ean", "upc", "gtin", "plu", "zip", "phone", "manufacturer", "supplier")
"""Ends of names whose whole numbers are names."""


def typed(table: str, files: Sequence[Rows], named: Mapping[str, Pair]) -> pa.Table:
    """The rows of the *files* of *table*, in order: days as timestamps of UTC, numbers as float64, ids and all else as text.

    Beside sales a text is a code in a dictionary, and a column that the files lack is one of nulls, so that 20 million rows need half a
    gigabyte; `plain` undoes both. The rows are taken out of *files*.

    A line without a day, id or number that is needed is ``rejected`` with a reason; of a line with another one that cannot be read
    that is null, and it is ``corrected``.

    Raises:
        DataError: files without a needed column, or that disagree; days or numbers that could mean one thing or another.
    """
    columns = []
    for rows in files:
        found = renamed(table, rows.table.column_names, named)
        require_needed(table, rows.file.name, rows.table.column_names, found)
        columns.append(found)
    _require_same(table, files, columns)
    shapes = _day_formats(table, files, columns)
    extras = _extras(table, files, columns)
    parts = []
    for number, (rows, found) in enumerate(zip(files, columns, strict=True)):
        made = [_of_rows(table, number, batch, found, shapes, extras) for batch in rows.batches()]
        parts += [*made, *_broken(made[0].schema, rows.broken, number)]
    for name in {field.name for part in parts for field in part.schema if pa.types.is_timestamp(field.type)}:
        parts = [part.set_column(part.column_names.index(name), name, part[name].cast(pa.timestamp("us"))) for part in parts]
    return pa.concat_tables(parts).unify_dictionaries()


def plain(table: pa.Table, kinds: Mapping[str, Kind]) -> pa.Table:
    """A table of `typed` as it is kept: text that is text, and columns that its files lack as nulls of their kind."""
    types = {name: pa.date32() if kind is Kind.DAY else TYPES[kind] for name, kind in kinds.items()}
    columns = {}
    for field in table.schema:
        type_ = types[field.name] if pa.types.is_null(field.type) else _plain(field.type)
        columns[field.name] = table[field.name].cast(type_)
    return pa.table(columns)


def has_times(days: pa.ChunkedArray) -> bool:
    """Whether any of *days* has a time of the day."""
    whole = pc.floor_temporal(days, unit="day")
    return bool(pc.any(pc.not_equal(whole, days)).as_py())


def _require_same(table: str, files: Sequence[Rows], columns: Sequence[Mapping[str, str]]) -> None:
    """Refuse files of which one has a column that another lacks, or has it as something else."""
    kinds = schema(table).kinds
    first: dict[str, tuple[str, str]] = {}
    for rows, found in zip(files, columns, strict=True):
        for name in kinds:
            if (name in found) != (name in columns[0]):
                having, lacking = (rows, files[0]) if name in found else (files[0], rows)
                raise DataError(f"{having.file.name} has a column {name!r}, {lacking.file.name} has none; expected the same in all files")
        for name, column in found.items():
            family = _family(rows, column)
            if family and first.setdefault(name, (family, rows.file.name))[0] != family:
                raise DataError(
                    f"{rows.file.name}: {column!r} is {family}, in {first[name][1]} it is {first[name][0]}; expected the same in all files"
                )


def _family(rows: Rows, column: str) -> str:
    """What a column of parquet is; "" where it may be anything."""
    kind = _plain(rows.table.schema.field(column).type)
    if rows.is_text or pa.types.is_null(kind):
        return ""
    if pa.types.is_temporal(kind):
        return "days"
    return "numbers" if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) else "text"


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _day_formats(table: str, files: Sequence[Rows], columns: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """How the days of each column are written, in all files the same."""
    shapes = {}
    for name, kind in schema(table).kinds.items():
        if kind is Kind.DAY:
            looks = formats.DayTexts(name)
            for rows, found in zip(files, columns, strict=True):
                if name in found and not pa.types.is_temporal(rows.table.schema.field(found[name]).type):
                    looks.add(rows, formats.filled(_text(rows, found[name])))
            shapes[name] = looks.format()
    return shapes


def _text(rows: Rows, column: str, is_id: bool = False) -> pa.ChunkedArray:
    """A column as text, "" where there is nothing.

    Raises:
        DataError: an id that went through floating point, or what is no text at all.
    """
    values = rows.table[column]
    kind = _plain(values.type)
    if (is_id and (pa.types.is_floating(kind) or pa.types.is_temporal(kind) or pa.types.is_boolean(kind))) or pa.types.is_nested(kind):
        raise DataError(f"{rows.file.name}: {column!r} is {kind}, expected text or whole numbers: 0012, 12 and 1e5 must stay what they are")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise DataError(f"{rows.file.name}: {column!r} is {kind}, expected text")
    return pc.fill_null(pc.cast(values, pa.string()), "")


def _of_rows(
    table: str, number: int, rows: Rows, found: Mapping[str, str], shapes: Mapping[str, str], extras: Mapping[str, pa.DataType]
) -> pa.Table:
    of = schema(table)
    count = len(rows.table)
    columns: dict[str, pa.ChunkedArray] = {}
    reasons: dict[str, dict[str, np.ndarray]] = {REJECTED: {}, CORRECTED: {}}
    for name, kind in of.kinds.items():
        if name not in found:
            columns[name] = pa.chunked_array([pa.nulls(count, TYPES[kind] if table == "sales" else None)])
            continue
        filled, columns[name] = _values(rows, name, found[name], kind, shapes)
        needed = name in of.needed or (table == "sales" and name == "store")
        what = "day" if kind is Kind.DAY else "number"
        reasons[REJECTED if needed else CORRECTED][f"{name} is no {what}"] = pc.and_(filled, pc.is_null(columns[name])).to_numpy()
        if needed:
            reasons[REJECTED][f"no {name}"] = pc.invert(filled).to_numpy()
    for name, type_ in extras.items():
        values = _text(rows, found[name]) if name in found else pa.chunked_array([pa.array([""] * count)])
        columns[name if table != "sales" else f"{OWN}{name}"] = _extra(values, type_)
    columns[FILE] = pa.chunked_array([pa.array(np.full(count, number, np.int32))])
    columns |= {name: pa.chunked_array([_first_reason(found, count)]) for name, found in reasons.items()}
    return pa.table(columns if table == "sales" else {name: _narrow(values) for name, values in columns.items()})


def _narrow(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as codes in a dictionary, and days without times as dates."""
    if pa.types.is_timestamp(values.type) and not has_times(values):
        return values.cast(pa.date32())
    return values.dictionary_encode() if pa.types.is_string(values.type) else values


def _first_reason(reasons: Mapping[str, np.ndarray], count: int) -> pa.Array:
    """Of each row the first reason whose mask has it, else ""."""
    holds = {reason: mask for reason, mask in reasons.items() if mask.any()}
    if not holds:
        return pa.repeat(pa.scalar(""), count)
    return pa.array(np.select(list(holds.values()), list(holds), ""), pa.string())


def _values(rows: Rows, name: str, column: str, kind: Kind, shapes: Mapping[str, str]) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Whether each value stands there at all, and the values as their kind."""
    values = rows.table[column]
    if kind is Kind.DAY and pa.types.is_temporal(values.type):
        if pa.types.is_time(values.type) or pa.types.is_duration(values.type):
            raise DataError(f"{rows.file.name}: {column!r} is {values.type}; {formats.EXPECTED}")
        instant = pc.cast(values, pa.timestamp("us", getattr(values.type, "tz", None)), safe=False)
        return pc.is_valid(values), pc.cast(instant, pa.timestamp("us"), safe=False)
    if kind is Kind.NUMBER and _family(rows, column) == "numbers":
        return pc.is_valid(values), pc.cast(values, pa.float64(), safe=False)
    texts = _text(rows, column, kind is Kind.ID)
    if kind in (Kind.DAY, Kind.NUMBER):
        texts = formats.filled(texts)
    filled = pc.not_equal(texts, "")
    if kind is Kind.DAY:
        return filled, formats.days(texts, shapes[name])
    if kind is Kind.NUMBER:
        return filled, formats.numbers(rows, name, texts)
    return filled, pc.if_else(filled, texts, pa.scalar(None, pa.string()))


def _extras(table: str, files: Sequence[Rows], columns: Sequence[Mapping[str, str]]) -> dict[str, pa.DataType]:
    """Columns of their own that are kept: of sales as text, of products, stores and other tables as numbers where they all are."""
    names = list(dict.fromkeys(name for found in columns for name in found if name not in schema(table).kinds))
    if table == "sales":
        return dict.fromkeys(names, pa.string())
    if table in TABLES and table not in ("products", "stores"):
        return {}
    return {name: pa.float64() if _are_numbers(name, files, columns, table) else pa.string() for name in names}


def _are_numbers(name: str, files: Sequence[Rows], columns: Sequence[Mapping[str, str]], table: str) -> bool:
    if table in TABLES and name.lower().replace("-", "_").split("_")[-1].split(" ")[-1] in CODES:
        return False
    for rows, found in zip(files, columns, strict=True):
        if name in found and _family(rows, found[name]) != "numbers":
            texts = _text(rows, found[name])
            unique = texts.unique()
            if table not in TABLES and len(unique.filter(pc.match_substring_regex(unique, r"\d"))) > len(unique) / 2:
                formats.numbers(rows, name, texts)  # refuses a decimal comma
            if not formats.are_numbers(unique.to_pylist()):
                return False
    return True


def _extra(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_floating(kind):
        trimmed = pc.utf8_trim_whitespace(texts)
        return pc.cast(pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed), kind)
    return texts


def _broken(schema_: pa.Schema, broken: Counter[str], number: int) -> list[pa.Table]:
    """A rejected row for every line of a file that was none, if there are any."""
    reasons = list(broken.elements())
    if not reasons:
        return []
    lost: dict[str, pa.Array] = {field.name: pa.nulls(len(reasons), field.type) for field in schema_}
    lost |= {FILE: pa.array([number] * len(reasons), pa.int32()), REJECTED: pa.array(reasons), CORRECTED: pa.array([""] * len(reasons))}
    return [pa.table(lost).cast(schema_)]
