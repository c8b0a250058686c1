"""The reference profile: what a bundle remembers of its data and scores, so that new data can be compared with them."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainworks.photostock.preparation.shards import read_rows
from trainworks.profile import Values, halves, noise, reference
from trainworks.storage import manifest

FILE = "profile.json"
SCHEMA = 1

LARGEST = 20
"""Contributors whose shares are kept, the largest ones."""

ANSWERED_BY = 100
"""Most pictures that the best answer to a query is taken from: more pictures give better answers, so both sides have as many."""

QUERIES = ("title", "single tag", "two tags")
"""Kinds of query that stand for what people type, until there is a log of it."""


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
    test_makers, train_makers = test["contributor"].fillna("").tolist(), train["contributor"].fillna("").tolist()
    center = {"picture": images.mean(0), "caption": texts["caption"].mean(0)}
    held_out = {**of_pictures(images, texts["caption"], center), "shorter side, pixels": _shorter_sides(test, shards)}
    measures = {name: reference(values, test_makers) for name, values in held_out.items()}
    measures |= {name: reference(values, train_makers) for name, values in of_rows(train.to_dict("records"), train["caption"]).items()}
    kinds = [kind for kind in QUERIES if kind in texts]
    queries: dict[str, Any] = {}
    if kinds:
        words, embedded = [text for kind in kinds for text in asked[kind]], np.concatenate([texts[kind] for kind in kinds])
        of = of_queries(words, embedded, embedded.mean(0), images[:ANSWERED_BY])
        queries = {name: reference(values, words) for name, values in of.items()}
        best = queries["best answer, cosine"]
        best["noise"] = max(best["noise"], _noise_of_answers(embedded, images[:ANSWERED_BY], test_makers[:ANSWERED_BY]))
    return {
        "schema": SCHEMA,
        "answered_by": min(ANSWERED_BY, len(images)),
        "measures": measures,
        "queries": queries,
        "contributors": contributors(train_makers),
    }


def write(folder: Path, profile: Mapping[str, Any]) -> None:
    """Write ``profile.json`` to *folder*."""
    (folder / FILE).write_text(json.dumps(profile, ensure_ascii=False) + "\n", encoding="utf-8")


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
    shares = [round(count / len(names), 4) for _, count in counts.most_common(LARGEST)]
    return {"number": len(counts), "shares": shares, "unknown": round(sum(not name for name in names) / max(len(names), 1), 4)}


def _noise_of_answers(queries: np.ndarray, pictures: np.ndarray, makers: Sequence[str]) -> float:
    """How far the best answers lie apart at most when the same queries look through two halves of the pictures."""
    score_QP = queries @ pictures.T
    return noise((score_QP[:, side].max(1), score_QP[:, ~side].max(1)) for side in halves(makers))


def _cosine(embedded: np.ndarray, center: np.ndarray) -> np.ndarray:
    return embedded @ (center / max(float(np.linalg.norm(center)), 1e-12))


def _shorter_sides(rows: pd.DataFrame, shards: Sequence[Path]) -> np.ndarray:
    """The shorter side of each original picture in pixels, float (n,)."""
    folders = {manifest.digest(shard): shard for shard in shards}
    sides = np.empty(len(rows))
    for digest, members in rows.groupby("shard"):
        stored = read_rows(folders[str(digest)], ["width", "height"])
        pairs = np.stack([stored[name].to_numpy() for name in ("width", "height")])
        sides[members.index] = pairs[:, members["row"].to_numpy()].min(0)
    return sides
