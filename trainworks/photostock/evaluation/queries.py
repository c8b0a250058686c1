"""What the test pictures are searched by: texts of several kinds, each with all its right answers."""

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainworks.photostock.evaluation import ranking


@dataclass(frozen=True)
class Queries:
    """Texts of one kind, and for each the positions of all pictures that are right answers. A text that several pictures have is there
    for each of them, and counts once (`distinct`)."""

    texts: list[str]
    right: list[np.ndarray]


def kinds_of_query(rows: pd.DataFrame) -> dict[str, Queries]:
    """Each kind of query that the test pictures *rows* have: each picture's own texts, and tags as people type them."""
    texts = {"caption": rows["caption"], "title": rows["title"], "tags": rows["tags"].map(", ".join)}
    if "description" in rows:
        texts["description"] = rows["description"].fillna("")
    kinds = {kind: _same_text(column) for kind, column in texts.items()}
    kinds |= {"single tag": _tagged(rows, 1), "two tags": _tagged(rows, 2)}
    return {kind: queries for kind, queries in kinds.items() if queries.texts}


def distinct(texts: pd.Series | Sequence[str]) -> np.ndarray:
    """Where each of the *texts* is first, rising: what several pictures say is one query, and counts once."""
    return np.flatnonzero(~pd.Index(texts).duplicated())


def _same_text(texts: pd.Series) -> Queries:
    """A query for every picture with a text; pictures with the same text are equally right."""
    labels = np.unique(texts, return_inverse=True)[1]
    asked = np.flatnonzero(texts != "")
    return Queries(texts.iloc[asked].tolist(), ranking.same_label(labels[asked], labels))


def _tagged(rows: pd.DataFrame, count: int) -> Queries:
    """The distinct combinations of *count* tags, one drawn from each picture; every picture with all of them is right.

    The draw is a hash of id and tag: neither frequent nor early tags are preferred, and other rows do not change it.
    """
    bearers: dict[str, set[int]] = defaultdict(set)
    drawn: set[tuple[str, ...]] = set()
    for position, (id, tags) in enumerate(zip(rows["id"], rows["tags"], strict=True)):
        folded = {tag.casefold() for tag in tags}
        for tag in folded:
            bearers[tag].add(position)
        lot = sorted((zlib.crc32(f"{id} {tag}".encode()), tag) for tag in folded)
        if len(lot) >= count:
            drawn.add(tuple(sorted(tag for _, tag in lot[:count])))
    asked = sorted(drawn)
    return Queries([" ".join(tags) for tags in asked], [np.array(sorted(set.intersection(*(bearers[t] for t in tags)))) for tags in asked])
