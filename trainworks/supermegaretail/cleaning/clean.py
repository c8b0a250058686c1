"""The clean stage: lines of a slice become lines that count, and every line is kept, corrected or rejected with a reason."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import parquet

from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.cleaning.rules import BESIDE, MOVED, Rules, of_attributes, of_own, sales
from trainworks.supermegaretail.database import database
from trainworks.supermegaretail.tables.level import quoted
from trainworks.supermegaretail.tables.slices import FACTS
from trainworks.supermegaretail.tables.typed import CORRECTED, FILE, LISTED, REJECTED

LEDGER = "ledger.json"
LINE = "_line"
ROWS = 2**20
"""Lines that are written at once."""


def clean(slice_folder: Path, config: CleanConfig, out: Path) -> dict[str, dict[str, Any]]:
    """Write the lines that count of each table of a slice into *out*, and the ledger, which is returned.

    Table → lines ``read``, ``kept`` as they were, and reason → lines that were ``corrected`` and ``rejected``; these add up.
    """
    facts = json.loads((slice_folder / FACTS).read_bytes())
    ledger = {}
    for file in sorted(slice_folder.glob("*.parquet")):
        with database() as run:
            ledger[file.stem] = _clean(run, file, facts.get(file.stem, {}), config)
            _write(run, out / file.name)
    (out / LEDGER).write_text(json.dumps(ledger, indent=1, sort_keys=True))
    return ledger


def _clean(run: duckdb.DuckDBPyConnection, file: Path, facts: Mapping[str, Any], config: CleanConfig) -> dict[str, Any]:
    """Make the table ``kept`` of the lines of *file* that count; its ledger."""
    table, columns = file.stem, parquet.read_schema(file)
    moved = _local(run, file, columns, config.timezone or "UTC")
    own = [name for name in columns.names if name not in (FILE, REJECTED, CORRECTED)]
    if table == "sales":
        rules = sales(facts["rows"], facts["key"], moved, LISTED in own)
    elif table in ("products", "stores"):
        key = table[:-1]
        filled = run.sql(f"SELECT {', '.join(f'count({quoted(name)})' for name in own)} FROM here").fetchall()[0]
        rules = of_attributes(key, [name for name, count in zip(own, filled, strict=True) if count or name == key])
    else:
        rules = BESIDE.get(table) or of_own({name: pa.types.is_floating(columns.field(name).type) for name in own})
    run.execute(f"CREATE TABLE judged AS SELECT * REPLACE ({_first(REJECTED, rules.rejected)} AS {REJECTED}) FROM here")
    _reject_repeats(run, rules)
    run.execute(f"CREATE VIEW good AS SELECT * FROM judged WHERE {REJECTED} = '' AND {LINE} NOT IN (SELECT {LINE} FROM again)")
    handed_on = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in rules.columns.items())
    run.execute(f"CREATE TABLE kept AS SELECT {LINE}, {_first(CORRECTED, rules.corrected)} AS {CORRECTED}, {handed_on} FROM good")
    if table == "sales" and config.returns == "net":
        _net(run)
    return _counts(run, parquet.read_metadata(file).num_rows, {MOVED: 0} if moved and table == "sales" else {})


def _write(run: duckdb.DuckDBPyConnection, to: Path) -> None:
    """The lines of ``kept``, in their order, if there are any; a part at a time."""
    if not run.sql("SELECT count(*) FROM kept").fetchall()[0][0]:
        return
    lines = run.sql(f"SELECT * EXCLUDE ({LINE}, {CORRECTED}) FROM kept ORDER BY {LINE}").to_arrow_reader(ROWS)
    with lines, parquet.ParquetWriter(to, lines.schema, compression="zstd") as file:
        for batch in lines:
            file.write_batch(batch)


def _local(run: duckdb.DuckDBPyConnection, file: Path, columns: pa.Schema, timezone: str) -> bool:
    """Make the view ``here`` of the rows of *file*: numbered, days as dates of the zone, whether that ``moved`` them; gives if it could."""
    rows = run.read_parquet(str(file), file_row_number=True, hive_partitioning=False)
    rows.project(f"* RENAME (file_row_number AS {LINE})").create_view("rows_read")
    times = [field.name for field in columns if pa.types.is_timestamp(field.type)]
    days = {name: f"CAST(timezone('{timezone}', timezone('UTC', {quoted(name)})) AS DATE)" for name in times}
    replaced = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in days.items())
    selected = f"* REPLACE ({replaced})" if replaced else "*"
    instant, moved = ('"date"', f'{days["date"]} <> CAST("date" AS DATE)') if "date" in days else ("CAST(NULL AS TIMESTAMP)", "false")
    run.execute(f"CREATE VIEW here AS SELECT {selected}, coalesce({moved}, false) AS _moved, {instant} AS _instant FROM rows_read")
    return "date" in days


def _first(column: str, reasons: Mapping[str, str]) -> str:
    """SQL of what *column* has already, else the first of *reasons* whose condition holds, else ""."""
    cases = "".join(f" WHEN {condition} THEN '{reason}'" for reason, condition in reasons.items())
    return f"CASE WHEN {column} <> '' THEN {column}{cases} ELSE '' END"


def _reject_repeats(run: duckdb.DuckDBPyConnection, rules: Rules) -> None:
    """Make the table ``again`` of lines that say again or otherwise what another says, with the reason."""
    if not rules.key:
        run.execute(f"CREATE TABLE again ({LINE} BIGINT, reason VARCHAR)")
        return
    key = ", ".join("coalesce(_instant, date)" if name == "date" else quoted(name) for name in rules.key)
    if "quantity" in rules.measures:
        key += ", quantity < 0"  # what came back says nothing else of what was sold
    same = ", ".join([key, *map(quoted, rules.measures)])
    # Few keys stand twice: a cheap look at hashes finds the rows that may.
    run.execute(f"""
        CREATE TABLE again AS
        WITH hashed AS (SELECT {LINE}, hash({key}) AS hash FROM judged WHERE {REJECTED} = ''),
        twice AS (SELECT hash FROM hashed GROUP BY hash HAVING count(*) > 1),
        suspects AS (SELECT * FROM judged WHERE {LINE} IN (SELECT {LINE} FROM hashed WHERE hash IN (SELECT hash FROM twice))),
        compared AS (
            SELECT {LINE},
                {FILE} < max({FILE}) OVER (PARTITION BY {key}) AS is_restated,
                {LINE} > min({LINE}) OVER (PARTITION BY {same}, {FILE}) AS is_repeated,
                {LINE} > min({LINE}) OVER (PARTITION BY {key}, {FILE}) AS is_second
            FROM suspects
        )
        SELECT {LINE}, CASE WHEN is_restated THEN 'said again by a later file' WHEN is_repeated THEN 'repeated'
            ELSE 'says something else than an earlier line of its file' END AS reason
        FROM compared WHERE is_restated OR is_repeated{" OR is_second" if rules.one else ""}
    """)


def _net(run: duckdb.DuckDBPyConnection) -> None:
    """Take what came back from the newest sales of its product and store in this slice; what is left of it is no demand either."""
    run.execute(f"""
        CREATE OR REPLACE TABLE kept AS
        WITH returned AS (SELECT store, product, -sum(quantity) AS units FROM kept WHERE quantity < 0 GROUP BY store, product),
        summed AS (
            SELECT kept.*, coalesce(returned.units, 0) AS units,
                sum(greatest(quantity, 0)) OVER (PARTITION BY kept.store, kept.product ORDER BY date DESC, {LINE} DESC) AS newer
            FROM kept LEFT JOIN returned USING (store, product)
        )
        SELECT * EXCLUDE (units, newer) REPLACE (
            CASE WHEN quantity > 0 THEN greatest(0, least(quantity, newer - units)) ELSE quantity END AS quantity,
            CASE WHEN quantity > 0 AND revenue IS NOT NULL THEN revenue * greatest(0, least(quantity, newer - units)) / quantity
                ELSE revenue END AS revenue,
            CASE WHEN {CORRECTED} = '' AND quantity > 0 AND newer - quantity < units THEN 'less what came back' ELSE {CORRECTED} END
                AS {CORRECTED}
        ) FROM summed
    """)


def _counts(run: duckdb.DuckDBPyConnection, read: int, corrected: Mapping[str, int]) -> dict[str, Any]:
    """The numbers of a table's ledger; the reasons of *corrected* are told though no line has them."""
    rejected = dict(
        run.sql(f"""
            WITH lost AS (SELECT {REJECTED} AS reason FROM judged WHERE {REJECTED} <> '' UNION ALL SELECT reason FROM again)
            SELECT reason, count(*) FROM lost GROUP BY reason ORDER BY reason
        """).fetchall()
    )
    mended = run.sql(f"SELECT {CORRECTED}, count(*) FROM kept WHERE {CORRECTED} <> '' GROUP BY 1 ORDER BY 1").fetchall()
    corrected = {**corrected, **dict(mended)}
    kept = read - sum(rejected.values()) - sum(corrected.values())
    return {"read": read, "kept": kept, "corrected": corrected, "rejected": rejected}
