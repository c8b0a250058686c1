"""Where the right answers of queries stand, pure NumPy. Shapes: Q queries, G gallery items, D embedding size, R right answers of a query.

A query may have several right answers. Recall, rank and reciprocal rank are about the best ranked of them,
mAP and nDCG about all. A tie counts against the model: among equal scores the wrong items come first, so
one that answers everything alike is at the bottom, not at the top.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SCORES = 2**24
"""Scores held at once (64 MiB of float32): queries go through in blocks of SCORES // G, at least one."""

FEW = 16
"""Up to so many right answers of a query are ranked by counting, more by one sort of the query's scores."""


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

    def means(self) -> dict[str, float]:
        """Each metric: the mean of its values."""
        return {name: float(value_Q.mean()) for name, value_Q in self.values().items()}


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
    for start, score_BG in blocks(query_QD, gallery_GD):
        for q, score_G in enumerate(score_BG, start):
            score_R = np.sort(score_G[right[q]])[::-1]
            scores.append(score_R)
            reaches.append(_reach(score_G, score_R))
    return _retrieval(np.concatenate(scores), np.concatenate(reaches), count_Q)


def top(query_QD: np.ndarray, gallery_GD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The *k* best gallery items of each query, best first: indices int64 (Q, k) and scores (Q, k)."""
    index, score = [], []
    for _, score_BG in blocks(query_QD, gallery_GD):
        some_Bk = np.sort(np.argpartition(-score_BG, min(k, len(gallery_GD)) - 1, axis=1)[:, :k], axis=1)
        order_Bk = np.argsort(-np.take_along_axis(score_BG, some_Bk, 1), axis=1, kind="stable")
        best_Bk = np.take_along_axis(some_Bk, order_Bk, 1)
        index.append(best_Bk)
        score.append(np.take_along_axis(score_BG, best_Bk, 1))
    return np.concatenate(index), np.concatenate(score)


def blocks(query_QD: np.ndarray, gallery_GD: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The first query and the scores (B, G) of each block of queries."""
    size = max(1, SCORES // len(gallery_GD))
    for start in range(0, len(query_QD), size):
        yield start, query_QD[start : start + size] @ gallery_GD.T


def _reach(score_G: np.ndarray, score_R: np.ndarray) -> np.ndarray | list[int]:
    """How many scores are at or above those of each right answer, (R,)."""
    if len(score_R) > FEW:
        return reaching(score_G, score_R)
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


def reaching(score_N: np.ndarray, bound_M: np.ndarray) -> np.ndarray:
    """How many scores are at or above each bound, int64 (M,)."""
    return len(score_N) - np.searchsorted(np.sort(score_N), bound_M.astype(score_N.dtype))


def _discounts(place_R: np.ndarray) -> np.ndarray:
    """What a right answer at each place is worth in nDCG@10."""
    return np.where(place_R <= 10, 1 / np.log2(1 + place_R), 0)
