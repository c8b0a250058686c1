"""``python -m trainworks release``: what lies in a release folder, which version of it is served, and whether it answers as it must."""

import argparse
from importlib import import_module
from importlib.util import find_spec

from trainworks.errors import IntegrityError, ReleaseError
from trainworks.release import gates, releases, stored
from trainworks.storage import places

HEAD = ("version", "name", "made (UTC)", "", "gates", "objective", "seed", "commit")


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``release list|status|promote|rollback|check`` to the *commands* of a parser."""
    parser = commands.add_parser("release", help="versions of a release folder: list them, promote one, roll back")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, action, words in (
        ("list", _list, "every version: time, gates, objective, seed, commit, and which is current"),
        (
            "status",
            _status,
            "how the newest version stands, or the one that TARGET is; exit status 0: every gate holds, 1: one fails, 2: error",
        ),
        ("promote", _promote, "make a version current whose gates held"),
        ("rollback", _rollback, "make the version current that was so before; one step only"),
        ("check", _check, "verify every file of the current version, or of a bundle, and run its examples"),
    ):
        chosen = actions.add_parser(name, help=words, description=words)
        chosen.add_argument("target", metavar="TARGET", help="what release_to was, or a bundle to check: a folder or s3://bucket/prefix")
        if action is _promote:
            chosen.add_argument("version", metavar="VERSION", help="a name that list shows, or the place of a version of another folder")
        chosen.set_defaults(command=action)
        if action is _status:
            chosen.set_defaults(error_status=2)


def _list(chosen: argparse.Namespace) -> None:
    from trainworks.report import terminal

    to = places.parse("TARGET", chosen.target)
    versions = releases.versions(to)
    if not versions:
        raise ReleaseError(f"{to}: holds no version; expected a folder that release_to named")
    pointer = releases.current(to)
    print(terminal.table(HEAD, [_row(to, version, pointer) for version in versions]))
    if pointer and pointer.previous:
        print(f"\nrollback would make {pointer.previous} current")


def _row(to: str, version: str, pointer: releases.Pointer | None) -> list[object]:
    """What the small files of a *version* say; a damaged one is marked, for the others are what a person needs then."""
    from trainworks.release import compare

    mark = "current" if pointer and pointer.version == version else ""
    try:
        [run] = compare.runs([f"{to}/{releases.VERSIONS}/{version}"])
    except IntegrityError:
        return [version, None, None, mark, "damaged", None, None, None]
    made = str(run.facts.get("created")).replace("T", " ").removesuffix("+00:00")
    reached = f"{run.scores.main.name} {compare.digits(run.scores.main.value)}" if run.scores else None
    seed = run.facts.get("seed")
    return [
        *(version, run.facts.get("name"), made, mark, gates.in_short(run.facts.get("verdict", {})), reached),
        *(None if seed is None else str(seed), str(run.facts.get("commit"))[:12]),
    ]


def _status(chosen: argparse.Namespace) -> int:
    from trainworks.release.status import status

    found = status(chosen.target)
    print(found.sentence)
    return 0 if found.passed else 1


def _promote(chosen: argparse.Namespace) -> None:
    to, version = chosen.target, chosen.version
    if "/" in version:
        releases.check_target(to)
        with stored.locate(version).folder() as bundle:
            version = releases.release(bundle, to, move=False).version
    pointer = releases.promote(to, version)
    print(f"{pointer.version} is current" + (f"; before it was {pointer.previous}" if pointer.previous else ""))


def _rollback(chosen: argparse.Namespace) -> None:
    print(f"{releases.rollback(chosen.target.rstrip('/')).version} is current")


def _check(chosen: argparse.Namespace) -> int:
    """A room's module ``examples`` has ``check``, from a bundle's folder to what was compared, how far it is off, and how far it may be."""
    from trainworks.report import terminal

    bundle = stored.locate(chosen.target)
    module = f"trainworks.{bundle.facts.get('pipeline')}.examples"
    with bundle.folder() as folder:
        print(f"{bundle.version}: {len(bundle.facts['files'])} files are those that its manifest names")
        if not any(name.startswith("examples/") for name in bundle.facts["files"]) or not find_spec(module):
            print("it has no examples")
            return 0
        compared = import_module(module).check(folder)
    rows = [[name, f"{off:.1e}", f"{allowed:.0e}", "ok" if off <= allowed else "differs"] for name, off, allowed in compared]
    print(terminal.table(("example", "off by", "allowed", ""), rows))
    return int(any(not off <= allowed for _, off, allowed in compared))
