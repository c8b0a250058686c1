"""Retrieval metrics, pure NumPy. Shapes: Q queries, G gallery items, D embedding size.

A gallery item is a right answer to a query when their labels are equal, so a caption that several
pictures share has several right answers and a query is answered by any of them.
"""

import numpy as np

BLOCK = 1024


def ranks(query_QD: np.ndarray, gallery_GD: np.ndarray, query_label_Q: np.ndarray, gallery_label_G: np.ndarray) -> np.ndarray:
    """The rank of each query's best right answer among the gallery, int64 (Q,); 1 is best.

    The rank is 1 + the number of wrong items that score at least as high: a tie counts against
    the model, so one that answers everything alike is at the bottom, not at the top. Memory is
    BLOCK × G scores whatever Q.

    Raises:
        ValueError: a query has no right answer in the gallery.
    """
    found = np.empty(len(query_QD), np.int64)
    for start in range(0, len(query_QD), BLOCK):
        rows = slice(start, start + BLOCK)
        score_BG = query_QD[rows] @ gallery_GD.T
        right_BG = query_label_Q[rows, None] == gallery_label_G[None, :]
        if not right_BG.any(1).all():
            raise ValueError("a query has no right answer in the gallery")
        best_B = np.where(right_BG, score_BG, -np.inf).max(1)
        found[rows] = 1 + ((score_BG >= best_B[:, None]) & ~right_BG).sum(1)
    return found


def top(query_QD: np.ndarray, gallery_GD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The *k* best gallery items of each query, best first: indices int64 (Q, k) and scores (Q, k)."""
    index, score = [], []
    for start in range(0, len(query_QD), BLOCK):
        score_BG = query_QD[start : start + BLOCK] @ gallery_GD.T
        some_Bk = np.sort(np.argpartition(-score_BG, min(k, len(gallery_GD)) - 1, axis=1)[:, :k], axis=1)
        order_Bk = np.argsort(-np.take_along_axis(score_BG, some_Bk, 1), axis=1, kind="stable")
        best_Bk = np.take_along_axis(some_Bk, order_Bk, 1)
        index.append(best_Bk)
        score.append(np.take_along_axis(score_BG, best_Bk, 1))
    return np.concatenate(index), np.concatenate(score)


def summary(rank_Q: np.ndarray) -> dict[str, float]:
    """Recall at 1, 5 and 10 (the share of queries whose rank is at most that), median rank, number of queries.

    >>> summary(np.array([1, 3, 7, 20]))
    {'R@1': 0.25, 'R@5': 0.5, 'R@10': 0.75, 'median_rank': 5.0, 'queries': 4}
    """
    recalls = {f"R@{k}": float((rank_Q <= k).mean()) for k in (1, 5, 10)}
    return {**recalls, "median_rank": float(np.median(rank_Q)), "queries": len(rank_Q)}


def chance(gallery: int) -> dict[str, float]:
    """Recall of answers drawn at random from a *gallery* with one right answer."""
    return {f"R@{k}": min(1.0, k / gallery) for k in (1, 5, 10)}
