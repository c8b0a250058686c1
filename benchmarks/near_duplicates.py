"""Near duplicates among perceptual hashes: our block join, faiss's exhaustive binary index, and a loop over imagehash's objects.

Fair because all three find exactly the pairs within 4 bits of 64, on the same hashes and one thread: uniform ones, in which every tenth
is a near copy of another; "2 % identical" gives one hash in fifty to pictures that are all alike, as flat grounds are. Ours goes on to
join pairs into clusters and finds the one picture that stays for each of the others. The exhaustive peers cost the same per query
whatever the query, so they are timed on as many as the row says and scaled to all; that faiss finds the same clusters is checked on the
smallest set in full.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Facts, Row, alternate, cached_folder, child, median, ratios, timed, version
from trainworks.photostock.curation.near_duplicates import RADIUS, clusters, leaders

CHECKED = 20_000


def rows(quick: bool) -> Iterator[Row]:
    """160k and 640k hashes, spread and with 2 % identical."""
    repeats, queries, looped = (1, 200, 2) if quick else (3, 500, 5)
    peers = f"{version('faiss-cpu')} IndexBinaryFlat.range_search"
    single: dict[str, list[Facts]] = {}
    for identical, kind in ((0.0, "spread"), (0.02, "2 % identical")):
        for n in (160_000,) if quick and identical else (160_000, 640_000):
            path = str(hashes(n, identical))
            ours, faiss = alternate(
                repeats, partial(child, block_join, path=path), partial(child, faiss_flat, peer=True, path=path, queries=queries)
            )
            single[f"{n}{kind}"] = ours
            yield Row(
                f"{n // 1000}k hashes, {kind}",
                f"{peers}, {queries} queries, scaled",
                ratios(faiss, ours),
                ">= 20",
                ours=f"{median(ours):.2f} s",
                theirs=f"{median(faiss):.0f} s",
            )
    path = str(hashes(160_000, 0.0))
    (looped_runs,) = alternate(1, partial(child, imagehash_loop, peer=True, path=path, queries=looped))
    yield Row(
        "160k hashes, spread",
        f"{version('imagehash')} loop, {looped} queries, scaled",
        [looped_runs[0]["cpu"] / median(single["160000spread"])],
        ">= 20",
        ours=f"{median(single['160000spread']):.2f} s",
        theirs=f"{looped_runs[0]['cpu']:.0f} s",
    )
    yield Row(
        "4 × the hashes: time",
        "160k",
        ratios(single["640000spread"], single["160000spread"]),
        "<= 6",
        ours=f"{median(single['640000spread']):.2f} s",
        theirs=f"{median(single['160000spread']):.2f} s",
    )
    path = str(hashes(CHECKED, 0.02))
    same = child(agreement, peer=True, path=path)
    yield Row(
        f"recall of all pairs, {CHECKED // 1000}k hashes, 2 % identical",
        peers,
        [same["recall"]],
        ">= 1",
        of="pairs",
        ours=f"{same['clusters']} clusters",
        theirs=f"{same['components']} components of {same['pairs']} pairs",
    )


def hashes(n: int, identical: float) -> Path:
    """Uniform hashes, uint64 (n,): every tenth is another with up to 4 bits turned, a share *identical* is one hash."""

    def make(out: Path) -> None:
        rng = np.random.default_rng(n)
        drawn = rng.integers(0, 2**64, n, np.uint64)
        copies = np.arange(0, n, 10)
        drawn[copies] = drawn[rng.integers(0, n, len(copies))]
        for _ in range(RADIUS):
            drawn[copies] ^= np.uint64(1) << rng.integers(0, 64, len(copies)).astype(np.uint64)
        drawn[rng.permutation(n)[: round(identical * n)]] = 0x0123456789ABCDEF
        np.save(out / "hashes.npy", drawn)

    return cached_folder(f"hashes-{n}-{identical}", make) / "hashes.npy"


def block_join(path: str) -> Facts:
    """Ours."""
    values = np.load(path)
    return timed(lambda: leaders(values, clusters(values, RADIUS), np.arange(len(values)), RADIUS))[0]


def faiss_flat(path: str, queries: int) -> Facts:
    """The peer, for *queries* of n, scaled to n."""
    index, hashes = _index(path)
    spent, _ = timed(lambda: index.range_search(hashes[:queries], RADIUS + 1))
    return {name: value * len(hashes) / queries for name, value in spent.items()}


def imagehash_loop(path: str, queries: int) -> Facts:
    """What imagehash's README shows: objects subtracted from one another, for *queries* of n, scaled to half of all pairs."""
    from imagehash import ImageHash

    hashes = [ImageHash(bits.reshape(8, 8)) for bits in np.unpackbits(np.load(path).view(np.uint8).reshape(-1, 8), axis=1).astype(bool)]
    spent, _ = timed(lambda: [sum(one - other <= RADIUS for other in hashes) for one in hashes[:queries]])
    return {name: value * len(hashes) / queries / 2 for name, value in spent.items()}


def agreement(path: str) -> Facts:
    """The share of faiss's pairs that lie in one of our clusters, and the number of clusters by either."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    index, hashes = _index(path)
    limits, _, neighbour = index.range_search(hashes, RADIUS + 1)
    cluster = clusters(np.load(path), RADIUS)
    query = np.repeat(np.arange(len(hashes)), np.diff(limits.astype(np.int64)))
    pairs = coo_array((np.ones(len(neighbour)), (query, neighbour)), (len(hashes), len(hashes)))
    components, _ = connected_components(pairs, directed=False)
    return {
        "recall": float((cluster[query] == cluster[neighbour]).mean()),
        "pairs": int((query < neighbour).sum()),
        "clusters": len(np.unique(cluster)),
        "components": components,
    }


def _index(path: str) -> tuple[Any, np.ndarray]:
    import faiss

    faiss.omp_set_num_threads(1)
    hashes = np.load(path).view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryFlat(64)
    index.add(hashes)
    return index, hashes
