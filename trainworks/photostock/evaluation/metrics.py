"""Retrieval metrics, pure NumPy. Shapes: Q queries, G gallery items, D embedding size, K metrics, T thresholds.

A query may have several right answers. Recall, rank and reciprocal rank are about the best ranked of them,
mAP and nDCG about all. A tie counts against the model: among equal scores the wrong items come first, so
one that answers everything alike is at the bottom, not at the top.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainworks.intervals import bootstrap

SCORES = 2**24
"""Scores held at once (64 MiB of float32): queries go through in blocks of SCORES // G, at least one."""

FEW = 16
"""Up to so many right answers of a query are ranked by counting, more by one sort of the query's scores."""

STEP = 0.01
"""Distance of two thresholds of the calibration, in cosine."""


@dataclass(frozen=True)
class Retrieval:
    """Where each of Q queries has its right answers.

    Attributes:
        rank: place of the best right answer, int64 (Q,); 1 is best
        precision: average precision, the mean over the right answers of (right ones so far / place), float64 (Q,)
        gain: nDCG@10 with gain 1 for a right answer and discount log2(1 + place), float64 (Q,)
            (Järvelin and Kekäläinen, ACM TOIS 20, 2002)
    """

    rank: np.ndarray
    precision: np.ndarray
    gain: np.ndarray

    def take(self, chosen: np.ndarray) -> "Retrieval":
        """The queries at positions, or under a mask, *chosen*."""
        return Retrieval(self.rank[chosen], self.precision[chosen], self.gain[chosen])

    def values(self) -> dict[str, np.ndarray]:
        """Each metric's value for each query, float64 (Q,); its mean is the metric."""
        recalls = {f"R@{k}": (self.rank <= k).astype(float) for k in (1, 5, 10)}
        return {**recalls, "MRR": 1 / self.rank, "mAP": self.precision, "nDCG@10": self.gain}


def same_label(query_label_Q: np.ndarray, gallery_label_G: np.ndarray) -> list[np.ndarray]:
    """Each query's right answers: the positions of the gallery items with its label. O((Q + G) log G)."""
    order_G = np.argsort(gallery_label_G, kind="stable")
    sorted_G = gallery_label_G[order_G]
    bounds = (np.searchsorted(sorted_G, query_label_Q, side) for side in ("left", "right"))
    return [order_G[start:stop] for start, stop in zip(*bounds, strict=True)]


def ranks(query_QD: np.ndarray, gallery_GD: np.ndarray, query_label_Q: np.ndarray, gallery_label_G: np.ndarray) -> Retrieval:
    """:func:`retrieve` where the right answers to a query are the gallery items with its label."""
    return retrieve(query_QD, gallery_GD, same_label(query_label_Q, gallery_label_G))


def retrieve(query_QD: np.ndarray, gallery_GD: np.ndarray, right: Sequence[np.ndarray]) -> Retrieval:
    """Rank the gallery for each query; ``right[q]`` are the distinct positions of query q's right answers.

    Nothing is sorted but the right answers: the place of the i-th of them is i + the number of wrong items that
    score at least as high. Time O(Q G D) for the scores and O(G) per right answer (at most O(G log G) per query);
    memory max(SCORES, G) scores beside the inputs.

    Raises:
        ValueError: a query has no right answer, or an embedding is not finite.
    """
    if not (np.isfinite(query_QD).all() and np.isfinite(gallery_GD).all()):
        raise ValueError("an embedding is not finite, so that no rank means anything")
    count_Q = np.array([len(items) for items in right], np.int64)
    if not count_Q.all():
        raise ValueError("a query has no right answer in the gallery")
    scores, reaches = [], []
    for start, score_BG in _blocks(query_QD, gallery_GD):
        for q, score_G in enumerate(score_BG, start):
            score_R = np.sort(score_G[right[q]])[::-1]
            scores.append(score_R)
            reaches.append(_reach(score_G, score_R))
    return _retrieval(np.concatenate(scores), np.concatenate(reaches), count_Q)


def top(query_QD: np.ndarray, gallery_GD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The *k* best gallery items of each query, best first: indices int64 (Q, k) and scores (Q, k)."""
    index, score = [], []
    for _, score_BG in _blocks(query_QD, gallery_GD):
        some_Bk = np.sort(np.argpartition(-score_BG, min(k, len(gallery_GD)) - 1, axis=1)[:, :k], axis=1)
        order_Bk = np.argsort(-np.take_along_axis(score_BG, some_Bk, 1), axis=1, kind="stable")
        best_Bk = np.take_along_axis(some_Bk, order_Bk, 1)
        index.append(best_Bk)
        score.append(np.take_along_axis(score_BG, best_Bk, 1))
    return np.concatenate(index), np.concatenate(score)


def summary(retrieval: Retrieval) -> dict:
    """Each metric, the median rank, the number of queries, and where each metric lies with 95 % confidence.

    R@k is the share of queries with a right answer among the first k, MRR the mean of 1 / rank, mAP the mean
    average precision. The intervals are those of `bootstrap` over the queries.

    >>> four = summary(Retrieval(np.array([1, 3, 7, 20]), precision=np.ones(4), gain=np.ones(4)))
    >>> four["R@1"], four["R@5"], four["R@10"], four["median_rank"], four["queries"]
    (0.25, 0.5, 0.75, 5.0, 4)
    """
    values = retrieval.values()
    means = {name: float(value_Q.mean()) for name, value_Q in values.items()}
    intervals = dict(zip(values, bootstrap(np.stack(list(values.values()), 1)), strict=True))
    return {**means, "median_rank": float(np.median(retrieval.rank)), "queries": len(retrieval.rank), "interval": intervals}


def paired(retrieval: Retrieval, reference: Retrieval) -> dict[str, dict]:
    """How much better *retrieval* is than *reference* on the same queries: each metric's difference and its 95 % interval.

    Each query is compared with itself, so that hard and easy queries do not blur the difference.

    Raises:
        ValueError: they do not have equally many queries.
    """
    if len(retrieval.rank) != len(reference.rank):
        raise ValueError(f"a paired difference needs the same queries, got {len(retrieval.rank)} and {len(reference.rank)}")
    before = reference.values()
    gains = {name: value_Q - before[name] for name, value_Q in retrieval.values().items()}
    intervals = bootstrap(np.stack(list(gains.values()), 1))
    return {name: {"difference": float(g.mean()), "interval": i} for (name, g), i in zip(gains.items(), intervals, strict=True)}


def chance(gallery: int) -> dict[str, float]:
    """Recall of answers drawn at random from a *gallery* with one right answer."""
    return {f"R@{k}": min(1.0, k / gallery) for k in (1, 5, 10)}


def calibration(query_QD: np.ndarray, gallery_GD: np.ndarray, right: Sequence[np.ndarray]) -> list[dict[str, float]]:
    """What a threshold on the cosine means, over all Q × G pairs of unit vectors; thresholds STEP apart, rising.

    Of the pairs at or above ``threshold`` a share ``precision`` is right; it keeps a share ``recall`` of the right
    pairs and a share ``false_positive_rate`` of the wrong ones. Precision holds for a gallery of this size only; the
    two rates carry over: with r right answers among M pictures it is recall r / (recall r + false_positive_rate (M - r)).
    The first threshold keeps every right pair, the last one at least one pair. Memory as in :func:`retrieve`.
    """
    threshold_T = np.arange(-round(1 / STEP), round(1 / STEP) + 1) * STEP
    kept_T, hit_T = np.zeros(len(threshold_T), np.int64), np.zeros(len(threshold_T), np.int64)
    for start, score_BG in _blocks(query_QD, gallery_GD):
        for q, score_G in enumerate(score_BG, start):
            kept_T += _reaching(score_G, threshold_T)
            hit_T += _reaching(score_G[right[q]], threshold_T)
    rights = sum(len(items) for items in right)
    wrongs = len(query_QD) * len(gallery_GD) - rights
    return [
        {
            "threshold": round(float(threshold), 6),
            "precision": float(hits / kept),
            "recall": float(hits / rights),
            "false_positive_rate": float((kept - hits) / max(wrongs, 1)),
        }
        for threshold, kept, hits, next_hits in zip(threshold_T, kept_T, hit_T, [*hit_T[1:], 0], strict=True)
        if kept and next_hits < rights
    ]


def _blocks(query_QD: np.ndarray, gallery_GD: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The first query and the scores (B, G) of each block of queries."""
    size = max(1, SCORES // len(gallery_GD))
    for start in range(0, len(query_QD), size):
        yield start, query_QD[start : start + size] @ gallery_GD.T


def _reach(score_G: np.ndarray, score_R: np.ndarray) -> np.ndarray | list[int]:
    """How many scores are at or above those of each right answer, (R,)."""
    if len(score_R) > FEW:
        return _reaching(score_G, score_R)
    return [int(np.count_nonzero(score_G >= score)) for score in score_R]


def _retrieval(score_N: np.ndarray, reach_N: np.ndarray, count_Q: np.ndarray) -> Retrieval:
    """The retrieval from the N right answers of all queries, query after query: scores falling, and how many scores reach each.

    All queries at once: a few small arrays per query would cost more than its scores.
    """
    first_Q = np.cumsum(count_Q) - count_Q
    query_N = np.repeat(np.arange(len(count_Q)), count_Q)
    number_N = np.arange(len(score_N)) - first_Q[query_N] + 1
    ends_tie_N = np.append((score_N[1:] != score_N[:-1]) | (query_N[1:] != query_N[:-1]), True)
    tied_N = np.flatnonzero(ends_tie_N)[np.cumsum(ends_tie_N) - ends_tie_N]  # the last of those that score alike
    place_N = reach_N - number_N[tied_N] + number_N
    ideal = np.cumsum(_discounts(np.arange(1, 11)))
    return Retrieval(
        rank=place_N[first_Q],
        precision=np.add.reduceat(number_N / place_N, first_Q) / count_Q,
        gain=np.add.reduceat(_discounts(place_N), first_Q) / ideal[np.minimum(count_Q, 10) - 1],
    )


def _reaching(score_N: np.ndarray, bound_M: np.ndarray) -> np.ndarray:
    """How many scores are at or above each bound, int64 (M,)."""
    return len(score_N) - np.searchsorted(np.sort(score_N), bound_M.astype(score_N.dtype))


def _discounts(place_R: np.ndarray) -> np.ndarray:
    """What a right answer at each place is worth in nDCG@10."""
    return np.where(place_R <= 10, 1 / np.log2(1 + place_R), 0)
