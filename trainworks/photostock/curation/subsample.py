"""The ``subsample`` little language: what a large catalogue is thinned by, and how far."""

from dataclasses import dataclass

from trainworks.errors import LanguageError
from trainworks.grammar import Call, calls

MOST_EDITS = 0.2
"""Largest share of edits between similar texts: above it two short captions share words but not their meaning."""

_DUPLICATES = ("near_duplicates", "similar_texts")
_CAPS = ("contributor", "visual_cluster")
_TAKES = {
    "near_duplicates": "a whole number of pictures from 1",
    "similar_texts": f"a whole number of pictures from 1 and a share of edits above 0, at most {MOST_EDITS}",
    "contributor": "a whole number of pictures from 1",
    "visual_cluster": "a whole number of pictures from 1 and, if you like, a whole number of clusters from 2",
}


@dataclass(frozen=True)
class Step:
    """Keep at most *limit* pictures of each cluster; *share* and *k* (0: by rule) say what a cluster is."""

    name: str
    limit: int
    share: float = 0.0
    k: int = 0


def steps(text: str) -> list[Step]:
    """Parse ``near_duplicates(1) > similar_texts(3, 0.1) > contributor(300)``; an empty text has no steps.

    Each step, at most once, works on the pictures that the steps before it kept:
        ``near_duplicates(n)``      at most n pictures whose perceptual hashes differ in a few bits from that of one of them
        ``similar_texts(n, share)`` at most n pictures whose captions chain together by that share of edits
        ``contributor(n)``          at most n pictures of a contributor
        ``visual_cluster(n, k)``    at most n pictures of each of k clusters of embeddings; without k, the root of the number of pictures

    Duplicates go before caps: else a cap would count duplicates that are removed after it.

    Raises:
        LanguageError: an unknown, repeated or misplaced step, or wrong arguments.
    """
    parsed: dict[str, Step] = {}
    for call in calls("subsample", text, _TAKES) if text.strip() else ():
        if call.name in parsed:
            raise LanguageError("subsample", text, call.position, f"{call.name} comes twice; say it once, with the smaller number")
        if call.name in _DUPLICATES and (before := next((name for name in parsed if name in _CAPS), "")):
            raise LanguageError("subsample", text, call.position, f"{call.name} comes after {before}; remove duplicates before caps")
        parsed[call.name] = _step(text, call)
    return list(parsed.values())


def needs_embeddings(text: str) -> bool:
    """Whether a step of *text* needs image embeddings."""
    return any(step.name == "visual_cluster" for step in steps(text))


def _step(text: str, call: Call) -> Step:
    match call.name, call.args:
        case (("near_duplicates" | "contributor" | "visual_cluster"), (int(limit),)) if limit >= 1:
            return Step(call.name, limit)
        case "similar_texts", (int(limit), float(share)) if limit >= 1 and 0 < share <= MOST_EDITS:
            return Step(call.name, limit, share=share)
        case "visual_cluster", (int(limit), int(k)) if limit >= 1 and k >= 2:
            return Step(call.name, limit, k=k)
    raise LanguageError("subsample", text, call.position, f"{call.name} takes {_TAKES[call.name]}, got {call.args}")
