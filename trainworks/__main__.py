"""``python -m trainworks``: what people do with runs that are done."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trainworks.errors import TrainworksError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error a person can mend is one line on the terminal and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m trainworks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_compare(commands)
    chosen = parser.parse_args(arguments)
    try:
        chosen.command(chosen)
    except (TrainworksError, ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _add_compare(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("compare", help="runs side by side: the knobs that differ, metrics, cost")
    parser.add_argument("places", nargs="+", metavar="PLACE", help="a bundle, or a release (all its versions): a folder or s3://…")
    parser.add_argument("--html", type=Path, metavar="PATH", help="also write a page with the learning curves")
    parser.set_defaults(command=_compare)


def _compare(chosen: argparse.Namespace) -> None:
    from trainworks import compare

    runs = compare.runs(chosen.places)
    print(compare.terminal(runs))
    if chosen.html:
        chosen.html.write_text(compare.page(runs), encoding="utf-8")
        print(f"\n{chosen.html}")


if __name__ == "__main__":
    sys.exit(main())
