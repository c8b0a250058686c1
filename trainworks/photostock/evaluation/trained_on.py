"""What a model was trained on, as its bundle tells the next run: the tags, and the pictures by a hash of their ids."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

FILE = "trained_on.json"

TAGS, IDS = 20_000, 20_000
"""Most tags and most ids that a bundle carries, so that it does not grow with the catalogue (at most a megabyte)."""


def summary(ids: Iterable[str], tags: Iterable[Iterable[str]]) -> dict[str, Any]:
    """What ``trained_on.json`` holds of the training pictures with these *ids* and *tags*.

    ``pictures`` is their number, ``tags`` how many bear each tag (folded case; the TAGS most frequent), ``ids`` the IDS
    smallest hashes of ids, in order: all of them in a small catalogue, an even sample of a large one.
    """
    hashes = sorted(map(hashed, ids))
    counts = sorted(frequencies(tags).items(), key=lambda item: (-item[1], item[0]))
    return {"pictures": len(hashes), "tags": dict(counts[:TAGS]), "ids": hashes[:IDS]}


def frequencies(tags: Iterable[Iterable[str]]) -> Counter[str]:
    """How many pictures bear each tag, in folded case."""
    return Counter(tag for picture in tags for tag in {tag.casefold() for tag in picture})


def overlap(ids: Iterable[str], trained_on: Mapping[str, Any]) -> dict[str, int]:
    """Of the pictures *ids*, how many could be ``asked`` for, and how many of those were ``trained_on``.

    Where the bundle holds a sample of its ids, the ones asked for are those whose hash lies in the sample's range, so that
    trained_on / asked is an unbiased estimate. Pictures are known by their ids: another catalogue may have the same ones.
    """
    known = set(trained_on["ids"])
    hashes = [hashed(name) for name in ids]
    if len(known) < trained_on["pictures"]:
        hashes = [name for name in hashes if name <= trained_on["ids"][-1]]
    return {"asked": len(hashes), "trained_on": sum(name in known for name in hashes)}


def hashed(id: str) -> str:
    """What tells a picture from others outside its catalogue, without telling its id."""
    return hashlib.sha256(id.encode()).hexdigest()[:16]
