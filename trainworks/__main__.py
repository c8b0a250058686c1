"""``python -m trainworks``: what people do with runs that are done."""

import argparse
import pkgutil
import sys
import traceback
from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import trainworks
from trainworks import extras
from trainworks.errors import TrainworksError
from trainworks.release import commands as release_commands
from trainworks.storage import places

UNFORESEEN = 3
"""Exit status of a fault of this program: no command means anything else by it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status; an error a person can mend is one line on the terminal.

    The status of such an error is 1, or a command's own, where 1 means something else; that of any other error is UNFORESEEN.
    """
    try:
        return _run(arguments)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:  # what a library in Rust panics with is no Exception
        traceback.print_exc()
        print("error: this should not have happened; please report it, with the lines above", file=sys.stderr)
        return UNFORESEEN


def _run(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trainworks", description=__doc__)
    parser.set_defaults(error_status=1)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_compare(commands)
    release_commands.add(commands)
    of_rooms = dict(_add_rooms(commands))
    arguments = sys.argv[1:] if arguments is None else arguments
    _add_cluster(commands, arguments)
    if rooms := [name for name, known in of_rooms.items() if arguments and arguments[0] in known]:
        spellings = " or ".join(f"{parser.prog} {name} {arguments[0]}" for name in rooms)
        parser.error(f"{arguments[0]} is a command of a pipeline: it is called {spellings} now")
    chosen = parser.parse_args(arguments)
    try:
        return chosen.command(chosen) or 0
    except ModuleNotFoundError as error:
        print(f"error: {extras.missing(error)}", file=sys.stderr)
        return chosen.error_status
    except (TrainworksError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return chosen.error_status


def _add_rooms(commands: argparse._SubParsersAction) -> Iterator[tuple[str, Collection[str]]]:
    """Add a command for each room, with those of its module ``commands`` below it; gives the room's name and theirs.

    Rooms are whichever packages have ``facts``, for the hall does not know them by name.
    """
    for package in pkgutil.iter_modules(trainworks.__path__):
        if not package.ispkg or not find_spec(f"trainworks.{package.name}.facts"):
            continue
        room = import_module(f"trainworks.{package.name}.commands")
        parser = commands.add_parser(package.name, help=room.__doc__, description=room.__doc__)
        below = parser.add_subparsers(required=True, metavar="COMMAND")
        room.add(below)
        yield package.name, below.choices


def _add_cluster(commands: argparse._SubParsersAction, arguments: Sequence[str]) -> None:
    """Add ``cluster``, whose module is among the tasks it registers and needs flytekit: it is imported only if it is asked for."""
    if list(arguments[:1]) != ["cluster"]:
        commands.add_parser("cluster", help="a Flyte cluster: does it run the pipelines?")
        return
    sys.path.insert(0, str(Path.cwd()))
    if not find_spec("tasks"):
        commands.add_parser("cluster").error("expected to be run in the folder of the repository, whose tasks it registers")
    import_module("tasks.cluster").add(commands)


def _add_compare(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("compare", help="runs side by side: the knobs that differ, metrics, cost")
    parser.add_argument("places", nargs="+", metavar="PLACE", help="a bundle, or a release (all its versions): a folder or s3://…")
    parser.add_argument("--html", metavar="PATH", help="also write a page with the learning curves")
    parser.set_defaults(command=_compare)


def _compare(chosen: argparse.Namespace) -> None:
    from trainworks.release import compare

    runs = compare.runs(chosen.places)
    print(compare.terminal(runs))
    if chosen.html:
        html = places.local("--html", chosen.html)
        html.write_text(compare.page(runs), encoding="utf-8")
        print(f"\n{html}")


if __name__ == "__main__":
    sys.exit(main())
