"""The toy: do new points look like those that a bundle was made from?"""

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``drift`` to the room's *commands*."""
    parser = commands.add_parser("drift", help="compare points with those of a bundle")
    parser.add_argument("bundle")
    parser.add_argument("points", type=Path)
    parser.set_defaults(command=_drift)


def _drift(chosen: argparse.Namespace) -> int:
    from trainworks.toy.line import drift

    from trainworks.drift import in_words

    measures = drift(chosen.bundle, chosen.points)
    print(in_words(measures, "the points"))
    return 0 if all(row["ok"] for row in measures) else 1
