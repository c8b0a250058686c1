"""The reference profile: what a bundle remembers of its data and scores, so that new data can be compared with them.

Quantities come in three kinds: embeddings, float (n, D) · numbers, float (n,) · categories, a list of names for each of n rows.
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainworks.photostock.preparation.shards import read_rows
from trainworks.storage import manifest

FILE = "profile.json"
SCHEMA = 1

NAMES = 20
"""Categories told apart, the most frequent ones; all others are one."""

ANSWERED_BY = 100
"""Most pictures that the best answer to a query is taken from: more pictures give better answers, so both sides have as many."""

GAP = 1e-5
"""Numbers nearer to each other are not told apart: cosines differ by less between batches and after rounding."""

HALVES = 20
"""Ways in which a reference is parted into two, to see how far it differs from itself."""

QUERIES = ("title", "single tag", "two tags")
"""Kinds of query that stand for what people type, until there is a log of it."""

Values = np.ndarray | list[list[str]]


def profile(
    test: pd.DataFrame, train: pd.DataFrame, shards: Sequence[Path], images: np.ndarray, texts: Mapping[str, np.ndarray], asked: Mapping
) -> dict[str, Any]:
    """What ``profile.json`` holds: embeddings and scores of the held-out pictures, metadata of the training pictures.

    Scores of training pictures would flatter: the model has learnt those pairs by heart.

    Args:
        test, train: rows of ``index.parquet``.
        images: embeddings of the *test* pictures, float (n, D).
        texts: kind of query → embeddings, float (q, D); ``caption`` has one for every test picture.
        asked: kind of query → its texts, q strings.
    """
    makers, owner = test["contributor"].fillna("").tolist(), train["contributor"].fillna("").tolist()
    center = {"picture": images.mean(0), "caption": texts["caption"].mean(0)}
    found = {**of_pictures(images, texts["caption"], center), "shorter side, pixels": _shorter_sides(test, shards)}
    measures = {name: reference(values, makers) for name, values in found.items()}
    measures |= {name: reference(values, owner) for name, values in of_rows(train.to_dict("records"), train["caption"]).items()}
    kinds = [kind for kind in QUERIES if kind in texts]
    queries: dict[str, Any] = {}
    if kinds:
        words, embedded = [text for kind in kinds for text in asked[kind]], np.concatenate([texts[kind] for kind in kinds])
        of = of_queries(words, embedded, embedded.mean(0), images[:ANSWERED_BY])
        queries = {name: reference(values, words) for name, values in of.items()}
        best = queries["best answer, cosine"]
        best["noise"] = max(best["noise"], _noise_of_answers(embedded, images[:ANSWERED_BY], makers[:ANSWERED_BY]))
    return {
        "schema": SCHEMA,
        "answered_by": min(ANSWERED_BY, len(images)),
        "measures": measures,
        "queries": queries,
        "contributors": contributors(owner),
    }


def write(folder: Path, told: Mapping[str, Any]) -> None:
    """Write ``profile.json`` to *folder*."""
    (folder / FILE).write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")


def of_pictures(images: np.ndarray, captions: np.ndarray, center: Mapping[str, Any]) -> dict[str, Values]:
    """Quantities of pictures and their captions, both (n, D) and of unit length; *center* has the reference's mean of each, (D,)."""
    pairs = {"picture": images, "caption": captions}
    return {
        **{f"{name} embedding": embedded for name, embedded in pairs.items()},
        **{f"{name}, cosine to the mean": _cosine(embedded, np.asarray(center[name])) for name, embedded in pairs.items()},
        "picture and its caption, cosine": (images * captions).sum(1),
    }


def of_queries(words: Sequence[str], embedded: np.ndarray, center: np.ndarray, pictures: np.ndarray) -> dict[str, Values]:
    """Quantities of q queries: embeddings (q, D), and the cosine of the best answer among *pictures*, (p, D)."""
    return {
        "query embedding": embedded,
        "query, cosine to the mean": _cosine(embedded, center),
        "words of a query": np.array([len(text.split()) for text in words], float),
        "best answer, cosine": (embedded @ pictures.T).max(1),
    }


def of_rows(rows: Sequence[Mapping[Any, Any]], captions: Iterable[str]) -> dict[str, Values]:
    """Quantities of the metadata of *rows* with these *captions*."""
    fields = ("title", "description", "tags", "contributor", "licence")
    return {
        "words of a caption": np.array([len(caption.split()) for caption in captions], float),
        "tags": [sorted({tag.casefold() for tag in row["tags"]}) or ["none"] for row in rows],
        "fields present": [[" + ".join(name for name in fields if row[name] is not None and len(row[name])) or "none"] for row in rows],
    }


def contributors(names: Sequence[str]) -> dict[str, Any]:
    """How many contributors there are, the shares of the largest, and of pictures without one."""
    counts = Counter(name for name in names if name)
    shares = [round(count / len(names), 4) for _, count in counts.most_common(NAMES)]
    return {"number": len(counts), "shares": shares, "unknown": round(sum(not name for name in names) / max(len(names), 1), 4)}


def reference(values: Values, groups: Sequence[str]) -> dict[str, Any]:
    """What is remembered of *values*, and as ``noise`` the largest `shift` between two halves of them.

    Halves part *groups*, such as contributors, whose pictures look alike: rows drawn one by one would differ less than two
    catalogues of the same kind do. Rows of few groups, and those whose group is ``""``, are parted one by one.
    """
    told = _told(values)
    shifts = (shift(_told(_taken(values, side)), _taken(values, ~side)) for side in _halves(groups))
    return {**told, "noise": float(f"{max(shifts, default=0.0):.4g}")}


def shift(told: Mapping[str, Any], values: Values) -> float:
    """How far *values* lie from what is *told* of the reference: 0 if nothing has changed.

    Embeddings: the Fréchet distance d² of two Gaussians with diagonal covariance, ‖μ − μ'‖² + Σ (σ − σ')² (Dowson and Landau,
    J. Multivariate Analysis 12, 1982), over the reference's total variance Σ σ². Numbers and categories: `psi`.
    """
    if "mean" in told:
        mean, std = np.asarray(told["mean"]), np.asarray(told["std"])
        found = np.asarray(values)
        return float((((found.mean(0) - mean) ** 2).sum() + ((found.std(0) - std) ** 2).sum()) / max((std**2).sum(), 1e-12))
    return psi(np.asarray(told["counts"]), counts(told, values))


def psi(expected_B: np.ndarray, found_B: np.ndarray) -> float:
    """Population stability index of two histograms over the same B bins: Σ (q − p) ln(q / p), with their shares p and q.

    N. Siddiqi, "Credit Risk Scorecards", 2006: below 0.1 little has changed, above 0.25 much. Half an item is added to every
    bin (Krichevsky and Trofimov, 1981), so that an empty one does not make it infinite.
    """
    p, q = ((count + 0.5) / (count.sum() + 0.5 * len(count)) for count in (expected_B, found_B))
    return float(((q - p) * np.log(q / p)).sum())


def counts(told: Mapping[str, Any], values: Values) -> np.ndarray:
    """How many of *values* fall into each bin of the reference, int64 (B,)."""
    if "edges" in told:
        return np.bincount(np.searchsorted(told["edges"], np.asarray(values)), minlength=len(told["edges"]) + 1)
    number = {name: k for k, name in enumerate(told["names"])}
    other = len(number)
    return np.bincount([number.get(name, other) for row in values for name in row], minlength=other + 1)


def _told(values: Values) -> dict[str, Any]:
    """Of embeddings mean and spread; of numbers the deciles, with a bin for what lies outside; of categories the most frequent."""
    told: dict[str, Any] = {"n": len(values)}
    if isinstance(values, list):
        told["names"] = [name for name, _ in Counter(name for row in values for name in row).most_common(NAMES)]
    elif values.ndim == 2:
        return told | {"mean": _rounded(values.mean(0)), "std": _rounded(values.std(0))}
    else:
        values = values.astype(float)
        told["median"] = float(np.median(values))
        told["edges"] = _edges(np.sort(values))
    return told | {"counts": counts(told, values).tolist()}


def _noise_of_answers(queries: np.ndarray, pictures: np.ndarray, makers: Sequence[str]) -> float:
    """The largest `shift` of the best answers when the same queries look through two halves of the pictures."""
    score_QP = queries @ pictures.T
    shifts = (shift(_told(score_QP[:, side].max(1)), score_QP[:, ~side].max(1)) for side in _halves(makers))
    return float(f"{max(shifts, default=0.0):.4g}")


def _edges(sorted_N: np.ndarray) -> list[float]:
    """The bounds of bins with about a tenth of the numbers each, and of what lies outside; each in the middle of a gap between two
    numbers, for a bound that is itself the cosine of a frequent text would part its own repetitions by the last bits of a float."""
    gaps = np.flatnonzero(np.diff(sorted_N) > GAP)
    ends = np.arange(1, 10) / 10 * len(sorted_N) - 1
    nearest = np.unique(gaps[np.abs(gaps[:, None] - ends).argmin(0)]) if len(gaps) else gaps
    return [sorted_N[0] - GAP, *((sorted_N[nearest] + sorted_N[nearest + 1]) / 2).tolist(), sorted_N[-1] + GAP]


def _halves(groups: Sequence[str]) -> Iterator[np.ndarray]:
    """Masks over the rows, which part them by group; a part with less than a quarter of the rows is none."""
    if len(set(groups)) < NAMES:
        groups = [""] * len(groups)
    labels = [name or f"row {number}" for number, name in enumerate(groups)]
    for lot in range(HALVES):
        side = np.array([zlib.crc32(f"{lot} {name}".encode()) >> 16 & 1 for name in labels], bool)
        if 0.25 <= side.mean() <= 0.75:
            yield side


def _taken(values: Values, side: np.ndarray) -> Values:
    return [row for row, chosen in zip(values, side, strict=True) if chosen] if isinstance(values, list) else values[side]


def _cosine(embedded: np.ndarray, center: np.ndarray) -> np.ndarray:
    return embedded @ (center / max(float(np.linalg.norm(center)), 1e-12))


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _shorter_sides(rows: pd.DataFrame, shards: Sequence[Path]) -> np.ndarray:
    """The shorter side of each original picture in pixels, float (n,)."""
    where = {manifest.digest(shard): shard for shard in shards}
    sides = np.empty(len(rows))
    for digest, members in rows.groupby("shard"):
        known = read_rows(where[str(digest)], ["width", "height"])
        pairs = np.stack([known[name].to_numpy() for name in ("width", "height")])
        sides[members.index] = pairs[:, members["row"].to_numpy()].min(0)
    return sides
