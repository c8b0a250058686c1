"""PhotoStock: does new data look like what a bundle was made from? What does a model find, and which one do people prefer?"""

import argparse

PORT = 8765


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``drift``, ``try`` and ``judge`` to the room's *commands*."""
    words = "compare a catalogue with what a bundle was trained and measured on; exit status 0 alike, 1 drifted, 2 bad input, 3 a defect"
    parser = commands.add_parser("drift", help=words, description=words)
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle, or a release (its current version): a folder or s3://…")
    parser.add_argument("catalogue", metavar="CATALOGUE", help="as for --source: sample, a folder, a catalogue file, or s3://…")
    parser.add_argument("--queries", metavar="FILE", help="what people searched: text, CSV, JSON Lines or a JSON list, here or on s3://…")
    parser.set_defaults(command=_drift, error_status=2)

    words = "a page of this machine: type words, and see what a model finds among your pictures, beside another model"
    parser = commands.add_parser("try", help=words, description=words)
    parser.add_argument("release", metavar="RELEASE", help="a bundle, or a release (its current version): a folder or s3://…")
    parser.add_argument("pictures", metavar="PICTURES", help="a folder of pictures, and what is below it")
    parser.add_argument("--beside", metavar="OTHER", help="another bundle or release")
    parser.set_defaults(command=_try)
    _add_port(parser)

    words = (
        "a page of this machine on which people judge prepared tasks blind; every answer is kept at once, and it goes on where it stopped"
    )
    parser = commands.add_parser("judge", help=words, description=words)
    parser.add_argument("tasks", metavar="TASKS", help="what the pipeline prepared, a folder or s3://…, or its folder judging alone")
    parser.add_argument("--judgements", metavar="FILE", help="where the answers are kept; judgements-ID.jsonl in this folder if not given")
    parser.set_defaults(command=_judge)
    _add_port(parser)


def _add_port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=PORT, help=f"{PORT} if not given; 0 for any that is free")


def _drift(chosen: argparse.Namespace) -> int:
    from trainworks.photostock.monitoring import drift

    comparison = drift.drift(chosen.bundle, chosen.catalogue, chosen.queries)
    print(drift.terminal(comparison))
    return 0 if comparison["ok"] else 1


def _try(chosen: argparse.Namespace) -> None:
    from trainworks.photostock.judging import local, tryout

    local.serve(tryout.application(tryout.load(chosen.release, chosen.pictures, chosen.beside)), chosen.port, "Try the search")


def _judge(chosen: argparse.Namespace) -> None:
    from trainworks.photostock.judging import judge, local, outcome
    from trainworks.photostock.judging.judgements import Judgements
    from trainworks.storage import places

    with judge.opened(chosen.tasks) as tasks:
        judgements = Judgements(places.local("--judgements", chosen.judgements or f"judgements-{tasks.content['id']}.jsonl"))
        app = judge.application(tasks, judgements)
        if judgements.given:
            print(f"goes on with the {len(judgements.given)} judgements in {judgements.path}")
        local.serve(app, chosen.port, "Judge")
        found = judge.result(tasks, judgements)
    print(f"{len(judgements.given)} judgements are in {judgements.path}; a run counts those in the folder judgements of its releases")
    if found:
        print(*outcome.in_words(found), sep="\n")
