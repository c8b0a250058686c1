"""The first stage: a source's tables become slices, one a month of sales, each kept under a name that is its content."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from trainworks.errors import DataError
from trainworks.grammar import Pair
from trainworks.storage import places, s3, store
from trainworks.supermegaretail.tables import slices
from trainworks.supermegaretail.tables import source as sources
from trainworks.supermegaretail.tables.columns import TABLES, renamed, require_names, require_needed
from trainworks.supermegaretail.tables.columns import columns as parse
from trainworks.supermegaretail.tables.level import key, level, without_restated
from trainworks.supermegaretail.tables.reading import header, read
from trainworks.supermegaretail.tables.source import File
from trainworks.supermegaretail.tables.typed import LISTED, REJECTED, typed
from trainworks.supermegaretail.tables.units import with_units
from trainworks.supermegaretail.tables.zones import require_zone

log = logging.getLogger(__name__)


def check(source: str, columns: str, timezone: str) -> None:
    """Refuse a *source* or knobs of which nothing can come, before anything is made of them; S3 is listed, not read.

    Raises:
        DataError: no table of sales, or a table without a column it needs.
        StorageError: S3 does not give it.
        ValueError: *columns* or *timezone*.
    """
    named = parse(columns)
    require_zone(timezone)
    source = places.parse("source", source, sources.ACCEPTED)
    sources.check(source)
    if not s3.is_uri(source):
        with sources.opened(source) as files:
            _usable(files, columns, named)


def acquire(source: str, columns: str) -> list[Path]:
    """Folders of the slices of *source*: what has no day, then months, oldest first; the names of its files are noted beside.

    A slice has a parquet file for each of its tables, as `typed`, and ``slice.json``.

    Raises:
        DataError, StorageError, ValueError: as `check`, or files that cannot be read or disagree.
    """
    named = parse(columns)
    tables = {}
    with sources.opened(source) as files:
        for name in _usable(files, columns, named):
            tables[name] = typed(name, [read(file) for file in files[name]], named)
            log.info("%s: %d lines in %d file(s)", name, len(tables[name]), len(files[name]))
    if not (tables["sales"][REJECTED].to_numpy() == "").any():
        reasons = ", ".join(sorted(set(tables["sales"][REJECTED].to_pylist()))) or "there are none"
        raise DataError(f"{files['sales'][0].name}: no line of sales can be used: {reasons}")
    if "products" in tables:
        listed = pc.is_in(tables["sales"]["product"], value_set=tables["products"]["product"].unique().cast(pa.string()))
        tables["sales"] = tables["sales"].append_column(LISTED, listed)
    tables["sales"] = with_units(tables["sales"])
    rows = level(tables["sales"])
    known_by = key(tables["sales"], rows)
    if not known_by:
        tables["sales"] = without_restated(tables["sales"])
    facts = {"sales": {"rows": rows, "key": known_by}}
    names = {name: [file.name for file in files[name]] for name in tables}
    return [store.keep("acquire", partial(slices.write, part, facts), source=source, files=names) for part in slices.slices(tables)]


def _usable(files: Mapping[str, list[File]], columns: str, named: Mapping[str, Pair]) -> list[str]:
    """The tables of *files* that are read: those of the contract, and any other with a day.

    Raises:
        DataError: a table of the contract lacks a column it needs.
        LanguageError: a name in *columns* is in none of them.
    """
    headers = {name: {part.name: header(part) for part in parts} for name, parts in files.items()}
    usable = []
    require_names(columns, headers)
    for name, of_parts in headers.items():
        found = {part: renamed(name, columns_of, named) for part, columns_of in of_parts.items()}
        if name in TABLES:
            for part, columns_of in of_parts.items():
                require_needed(name, part, columns_of, found[part])
        elif not all("date" in names for names in found.values()):
            log.warning("%s is not read: it has no column 'date', and is no table of the contract (%s)", name, ", ".join(TABLES))
            continue
        usable.append(name)
    return usable
