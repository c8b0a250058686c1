"""Retrieval metrics: ours against the matrix product that no exact method can avoid, and torchmetrics.

The limit is one float32 product of queries and gallery, in our own blocks and with its result thrown away; one thread. Ours then ranks
every right answer and computes R@k, MRR, mAP and nDCG of all queries with it. torchmetrics gets the scores for nothing and computes
R@10 alone, by its class for it; it goes query by query, so it is timed on some queries and scaled. Both find the same R@10.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.harness import Facts, Row, alternate, child, median, peak, ratios, timed, version
from trainworks.photostock.evaluation import ranking

DIM = 384


def rows(quick: bool) -> Iterator[Row]:
    """5k and 20k queries against as many pictures."""
    for n in (5_000,) if quick else (5_000, 20_000):
        ours, limit = alternate(1 if quick else 3, partial(child, rank, n=n), partial(child, product, n=n))
        yield Row(
            f"{n // 1000}k × {n // 1000}k, {DIM} dimensions",
            "one blocked GEMM",
            ratios(ours, limit),
            "<= 1.5",
            ours=f"{median(ours):.2f} s",
            theirs=f"{median(limit):.2f} s",
            note=f"R@10 {median(ours, 'recall'):.4f}",
        )
        yield Row(
            f"{n // 1000}k × {n // 1000}k: peak memory beside embeddings",
            "the whole score matrix",
            [(median(ours, "peak") - median(ours, "before")) / (4 * n * n)],
            "<= 0.2" if n > 5_000 else "",
            of="memory",
            ours=f"{(median(ours, 'peak') - median(ours, 'before')) / 2**20:.0f} MiB",
            theirs=f"{4 * n * n / 2**20:.0f} MiB",
        )
        if n == 5_000:
            (peer,) = alternate(1, partial(child, torchmetrics, peer=True, n=n, queries=500))
            yield Row(
                f"{n // 1000}k × {n // 1000}k, R@10 alone",
                f"{version('torchmetrics')} RetrievalRecall, 500 queries, scaled",
                [peer[0]["cpu"] / median(ours)],
                "",
                ours=f"{median(ours):.2f} s",
                theirs=f"{peer[0]['cpu']:.1f} s",
                note=f"R@10 {peer[0]['recall']:.3f} on those",
            )


def embeddings(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 (n, DIM) of queries and gallery; the i-th of each are alike, so that R@10 is neither 0 nor 1."""
    rng = np.random.default_rng(n)
    gallery = rng.standard_normal((n, DIM), np.float32)
    query = gallery + 6 * rng.standard_normal((n, DIM), np.float32)
    return query / np.linalg.norm(query, axis=1, keepdims=True), gallery / np.linalg.norm(gallery, axis=1, keepdims=True)


def rank(n: int) -> Facts:
    """Ours."""
    query, gallery = embeddings(n)
    labels = np.arange(n)
    before = peak()
    spent, ranks = timed(lambda: ranking.ranks(query, gallery, labels, labels))
    return {**spent, "before": before, "recall": float((ranks.rank <= 10).mean())}


def product(n: int) -> Facts:
    """The limit."""
    query, gallery = embeddings(n)
    block = max(1, ranking.SCORES // n)
    return timed(lambda: [(query[start : start + block] @ gallery.T).shape for start in range(0, n, block)])[0]


def torchmetrics(n: int, queries: int) -> Facts:
    """The peer, given the scores of *queries* of n, scaled to n."""
    import torch
    from torchmetrics.retrieval import RetrievalRecall

    query, gallery = embeddings(n)
    scores = torch.from_numpy(query[:queries] @ gallery.T)
    index = torch.arange(queries).repeat_interleave(n)
    target = torch.zeros(queries, n, dtype=torch.bool)
    target[torch.arange(queries), torch.arange(queries)] = True
    spent, recall = timed(lambda: RetrievalRecall(top_k=10)(scores.flatten(), target.flatten(), index))
    return {"cpu": spent["cpu"] * n / queries, "wall": spent["wall"] * n / queries, "recall": float(recall)}
