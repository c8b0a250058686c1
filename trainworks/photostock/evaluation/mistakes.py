"""Why retrieval goes wrong: pictures that answer everything, and pictures that are taken for each other.

Pure NumPy. Shapes as in ``metrics``: Q queries, G gallery items, D embedding size, k first places.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trainworks.photostock.evaluation import ranking
from trainworks.photostock.evaluation.queries import distinct

FIRST = 10
"""First places that count: the first page of a search."""

LISTED = 6
"""Hubs and pairs that are listed one by one, the worst of them."""

TIE = 1e-6
"""Cosines nearer to each other than this are equal, and count against the model, as in ``metrics``."""


class Pair(NamedTuple):
    """Two pictures, by position, each before or level with the other for that one's own text; *lead* is the smaller of the two leads."""

    one: int
    other: int
    lead: float


def occurrences(best_Qk: np.ndarray, items: int) -> np.ndarray:
    """How many queries have each of the gallery's *items* among their first k, int64 (G,); the mean is Q k / G.

    The k-occurrence N_k of Radovanović, Nanopoulos and Ivanović, "Hubs in space", JMLR 11, 2010, with texts as the queries.
    An item with a high one is a hub: it answers what it was not asked.
    """
    return np.bincount(best_Qk.ravel(), minlength=items)


def skewness(count_G: np.ndarray) -> float:
    """The third standardised moment: 0 where all counts are equal, and the higher the more a few hubs take all the places.

    S(N_k) of the same paper, its measure of hubness; that of a random draw
    of k from G is at most about 1 / √k.
    """
    away_G = count_G - count_G.mean()
    spread = away_G.std()
    return float((away_G**3).mean() / spread**3) if spread else 0.0


def confused(text_QD: np.ndarray, image_QD: np.ndarray, label_Q: np.ndarray, k: int = FIRST) -> list[Pair]:
    """Pairs of pictures that take each other's place; row q of both is one picture and its text. The clearest come first.

    Each is among the first *k* for the other's text and scores at least as high as the picture that the text is of.
    Pictures with one label (one caption) are right answers to each other and no pair. O(Q k) memory beside the scores.
    """
    best_Qk, score_Qk = ranking.top(text_QD, image_QD, k)
    lead_Qk = score_Qk - np.einsum("qd,qd->q", text_QD, image_QD)[:, None]
    taken_Qk = (label_Q[best_Qk] != label_Q[:, None]) & (lead_Qk > -TIE)
    query, place = np.nonzero(taken_Qk)
    leads = {
        (q, item): lead
        for q, item, lead in zip(query.tolist(), best_Qk[query, place].tolist(), lead_Qk[query, place].tolist(), strict=True)
    }
    pairs = [Pair(q, item, min(lead, leads[item, q])) for (q, item), lead in leads.items() if q < item and (item, q) in leads]
    return sorted(pairs, key=lambda pair: (-pair.lead, pair.one, pair.other))


def mistakes(text_QD: np.ndarray, image_QD: np.ndarray, captions: Sequence[str], ids: Sequence[str]) -> dict[str, Any]:
    """Hubs and confused pairs as JSON; row q is the picture called ``ids[q]`` and its caption.

    ``hubs``, each distinct caption asked once: ``first`` (k), ``mean``, ``skewness`` and ``never`` (pictures among the first k of no
    query), and the ``worst``: ``id``, ``queries`` it is among the first k of, and for how many of those it is ``right``.
    ``pairs``: their ``number`` and the ``worst``: two ``ids`` and the ``lead``, in cosine.
    """
    label_Q = np.unique(captions, return_inverse=True)[1]
    best_Qk, _ = ranking.top(text_QD, image_QD, FIRST)
    asked = distinct(captions)
    best_asked, right_asked = best_Qk[asked], (label_Q[best_Qk] == label_Q[:, None])[asked]
    count_G = occurrences(best_asked, len(image_QD))
    right_G = occurrences(best_asked[right_asked], len(image_QD))
    worst = np.argsort(-count_G, kind="stable")[:LISTED].tolist()
    pairs = confused(text_QD, image_QD, label_Q)
    return {
        "hubs": {
            "first": best_Qk.shape[1],
            "mean": float(count_G.mean()),
            "skewness": skewness(count_G),
            "never": int(np.count_nonzero(count_G == 0)),
            "worst": [{"id": ids[g], "queries": int(count_G[g]), "right": int(right_G[g])} for g in worst],
        },
        "pairs": {
            "number": len(pairs),
            "worst": [{"ids": [ids[pair.one], ids[pair.other]], "lead": pair.lead} for pair in pairs[:LISTED]],
        },
    }
