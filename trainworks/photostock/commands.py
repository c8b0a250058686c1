"""PhotoStock: does new data look like what a bundle was made from?"""

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``drift`` to the room's *commands*."""
    words = "compare a catalogue with what a bundle was trained and measured on; exit status 0 alike, 1 drifted, 2 bad input, 3 a defect"
    parser = commands.add_parser("drift", help=words, description=words)
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle, or a release (its current version): a folder or s3://…")
    parser.add_argument("catalogue", metavar="CATALOGUE", help="as for --source: sample, a folder, a catalogue file, or s3://…")
    parser.add_argument("--queries", metavar="FILE", help="what people searched: text, CSV, JSON Lines or a JSON list, here or on s3://…")
    parser.set_defaults(command=_drift, error_status=2)


def _drift(chosen: argparse.Namespace) -> int:
    from trainworks.photostock.monitoring import drift

    comparison = drift.drift(chosen.bundle, chosen.catalogue, chosen.queries)
    print(drift.terminal(comparison))
    return 0 if comparison["ok"] else 1
