"""What a ranking is worth, with intervals: metrics, differences and thresholds, pure NumPy.

Shapes: Q queries, G gallery items, D embedding size, T thresholds.
"""

from collections.abc import Sequence

import numpy as np

from trainworks.intervals import paired as paired_interval
from trainworks.intervals import wilson
from trainworks.photostock.evaluation.ranking import Retrieval, blocks, reaching

STEP = 0.01
"""Distance of two thresholds of the calibration, in cosine."""


def summary(retrieval: Retrieval) -> dict:
    """Each metric, the median rank, the number of queries, and where each metric lies with 95 % confidence.

    R@k is the share of queries with a right answer among the first k, MRR the mean of 1 / rank, mAP the mean
    average precision. The intervals are Wilson's.

    >>> four = summary(Retrieval(np.array([1, 3, 7, 20]), precision=np.ones(4), gain=np.ones(4)))
    >>> four["R@1"], four["R@5"], four["R@10"], four["median_rank"], four["queries"]
    (0.25, 0.5, 0.75, 5.0, 4)
    """
    means, queries = retrieval.means(), len(retrieval.rank)
    intervals = {name: list(wilson(mean, queries)) for name, mean in means.items()}
    return {**means, "median_rank": float(np.median(retrieval.rank)), "queries": queries, "interval": intervals}


def paired(retrieval: Retrieval, reference: Retrieval) -> dict[str, dict]:
    """How much better *retrieval* is than *reference* on the same queries: each metric's difference and its 95 % interval.

    Each query is compared with itself, so that hard and easy queries do not blur the difference; see ``intervals.paired``.

    Raises:
        ValueError: they do not have equally many queries.
    """
    if len(retrieval.rank) != len(reference.rank):
        raise ValueError(f"a paired difference needs the same queries, got {len(retrieval.rank)} and {len(reference.rank)}")
    before = reference.values()
    gains = {name: value_Q - before[name] for name, value_Q in retrieval.values().items()}
    intervals = paired_interval(np.stack(list(gains.values()), 1))
    return {name: {"difference": float(g.mean()), "interval": i} for (name, g), i in zip(gains.items(), intervals, strict=True)}


def chance(gallery: int) -> dict[str, float]:
    """Recall of answers drawn at random from a *gallery* with one right answer."""
    return {f"R@{k}": min(1.0, k / gallery) for k in (1, 5, 10)}


def calibration(query_QD: np.ndarray, gallery_GD: np.ndarray, right: Sequence[np.ndarray]) -> list[dict[str, float]]:
    """What a threshold on the cosine means, over all Q × G pairs of unit vectors; thresholds STEP apart, rising.

    Of the pairs at or above ``threshold`` a share ``precision`` is right; it keeps a share ``recall`` of the right
    pairs and a share ``false_positive_rate`` of the wrong ones. Precision holds for a gallery of this size only; the
    two rates carry over: with r right answers among M pictures it is recall r / (recall r + false_positive_rate (M - r)).
    The first threshold keeps every right pair, the last one at least one pair. Memory as in :func:`ranking.retrieve`.
    """
    threshold_T = np.arange(-round(1 / STEP), round(1 / STEP) + 1) * STEP
    kept_T, hit_T = np.zeros(len(threshold_T), np.int64), np.zeros(len(threshold_T), np.int64)
    for start, score_BG in blocks(query_QD, gallery_GD):
        for q, score_G in enumerate(score_BG, start):
            kept_T += reaching(score_G, threshold_T)
            hit_T += reaching(score_G[right[q]], threshold_T)
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
