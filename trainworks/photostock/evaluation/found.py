"""What two models find for the same queries, kept for people to judge: the one that is to ship, and what it is to be better than."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from trainworks import sampling
from trainworks.photostock.evaluation import ranking

FILE = "found.parquet"

KINDS = ("title", "single tag", "two tags", "search")
"""Kinds of query that people judge: titles, words as people type them, and what was searched according to a log."""

MOST = 200
"""Queries of a kind that are kept, drawn by a hash of their words."""

SHOWN = 6
"""Pictures that are kept of each answer: two rows of three, which fit on a phone twice."""


@dataclass(frozen=True)
class Model:
    """A model's *images* (n, D), and by kind of query its *texts* (q, D) and the places of the best right answers *ranks* (q,)."""

    images: np.ndarray
    texts: Mapping[str, np.ndarray]
    ranks: Mapping[str, np.ndarray]


def table(asked: Mapping[str, Sequence[str]], ids: Sequence[str], model: Model, other: Model) -> pa.Table:
    """``kind``, ``query``, and of *model* and of the *other* the ids that it finds first and the ``rank`` of the best right answer.

    *asked* are all queries by kind, *ids* the names of the n pictures. A query of a log has no right answer, so that its ranks are null.
    """
    rows: dict[str, list] = {name: [] for name in ("kind", "query", "found", "rank", "other_found", "other_rank")}
    for kind in KINDS:
        queries = asked.get(kind, ())
        first = {query: place for place, query in reversed(list(enumerate(queries)))}
        chosen = sorted(first.values(), key=lambda place: lot(0, kind, queries[place]))[:MOST]
        if not chosen:
            continue
        rows["kind"] += [kind] * len(chosen)
        rows["query"] += [queries[place] for place in chosen]
        for prefix, side in (("", model), ("other_", other)):
            best, _ = ranking.top(side.texts[kind][chosen], side.images, SHOWN)
            rows[f"{prefix}found"] += np.asarray(ids, object)[best].tolist()
            rows[f"{prefix}rank"] += side.ranks[kind][chosen].tolist() if kind in side.ranks else [None] * len(chosen)
    words, answers, number = pa.string(), pa.list_(pa.string()), pa.int32()
    return pa.table(rows, pa.schema(list(zip(rows, (words, words, answers, number, answers, number), strict=True))))


def lot(seed: int, *of: str) -> float:
    """A number from 0 to 1 that *seed* and the words *of* decide, and nothing else."""
    return float(sampling.chance(seed, 0, "\n".join(of)).random())
