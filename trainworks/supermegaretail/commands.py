"""Supermegaretail: forecasts from the command line, and whether newer sales look like those that a bundle was made from."""

import argparse
from typing import TYPE_CHECKING

from trainworks.storage import places

if TYPE_CHECKING:
    import pyarrow as pa

FORMULA = r"^[=+\-@\t\r]"
"""How a text begins that a spreadsheet computes."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``forecast`` and ``drift`` to the room's *commands*."""
    words = "forecast every series of a release from the sales that it was released with, as a table"
    parser = commands.add_parser("forecast", help=words, description=words)
    parser.add_argument("release", metavar="RELEASE", help="a bundle, or a release (its current version): a folder or s3://…")
    parser.add_argument("--origin", metavar="DAY", help="first day of the last period to know of; the newest if not given")
    parser.add_argument("--sales", metavar="FILE", help="newer lines of sales, CSV or parquet: the keys, date, quantity")
    parser.add_argument("--plan", metavar="FILE", help="what is planned, CSV or parquet: the keys, start, covariates")
    parser.add_argument("--to", metavar="FILE", help="write parquet, ids byte for byte, instead of CSV to the terminal")
    parser.set_defaults(command=_forecast)
    words = "compare a panel with the one that a bundle was made from; exit status 0 alike, 1 drifted, 2 bad input, 3 a defect"
    parser = commands.add_parser("drift", help=words, description=words)
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle, or a release (its current version): a folder or s3://…")
    parser.add_argument("panel", metavar="PANEL", help="the folder of a panel, as the stage of that name leaves it")
    parser.set_defaults(command=_drift, error_status=2)


def _forecast(chosen: argparse.Namespace) -> None:
    import sys

    from pyarrow import csv, parquet

    from trainworks.supermegaretail.forecaster import Forecaster
    from trainworks.supermegaretail.serving.newer import read

    forecaster = Forecaster.load(chosen.release)
    named = {name: place for name in ("sales", "plan") if (place := getattr(chosen, name))}
    given = {name: read(places.local(f"--{name}", place), forecaster.panel.keys) for name, place in named.items()}
    table = forecaster.forecast(**given, origin=chosen.origin)
    if chosen.to:
        parquet.write_table(table, to := places.local("--to", chosen.to))
        print(f"{len(table):,} rows in {to}")
    else:
        csv.write_csv(_harmless(table), sys.stdout.buffer)


def _harmless(table: "pa.Table") -> "pa.Table":
    """*table* with an apostrophe before each text that a spreadsheet would take for a formula: a supplier may have named a product so."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = table[field.name]
            quoted = pc.binary_join_element_wise("'", texts, "")
            table = table.set_column(place, field, pc.if_else(pc.match_substring_regex(texts, FORMULA), quoted, texts))
    return table


def _drift(chosen: argparse.Namespace) -> int:
    from trainworks.drift import in_words
    from trainworks.supermegaretail.monitoring import drift

    measures, compared = drift.drift(chosen.bundle, places.local("PANEL", chosen.panel))
    print(in_words(measures, f"{compared} series"))
    return 0 if all(row["ok"] for row in measures) else 1
