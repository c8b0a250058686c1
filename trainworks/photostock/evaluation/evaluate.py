"""How good the encoders that ship are: retrieval over the test gallery, against the untouched backbone and the last release."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trainworks.errors import IntegrityError
from trainworks.photostock.curation import index
from trainworks.photostock.evaluation import found, metrics, mistakes, ranking, subgroups, trained_on
from trainworks.photostock.evaluation.queries import Queries, distinct, kinds_of_query
from trainworks.photostock.monitoring import profile
from trainworks.photostock.search import Encoders
from trainworks.release import pairs, stored
from trainworks.release.scores import Gain, Score, Scores

log = logging.getLogger(__name__)

SHOWN = 8
"""Pictures kept per answer, for the report."""

SHOWN_TEXTS = 5
"""Captions kept per picture, for the report."""

INT8_LOSS, INT8_SIZE = 0.005, 0.5
"""R@10 an 8-bit encoder may lose, and share of the fp32 file it may have, and still ship."""

RAN = ("config", "commit", "data", "packages", "created")
"""Facts of the release's manifest that the report shows this run beside."""

WAYS = ("text_to_image", "image_to_text")

UNITS = {"R@1": "share", "R@5": "share", "R@10": "share", "MRR": ""}
"""The metrics that runs are compared by, with their units as a score has them."""

OBJECTIVE = "text to image R@10"
"""The score that comparisons and sweeps turn on; queries are captions."""


def evaluate(
    encoders: Path, baseline: Path, dataset: Path, shards: list[Path], release: str, out: Path, searches: Sequence[str] = ()
) -> None:
    """Write what the ONNX files of *encoders* and *baseline* reach on the test split: metrics, cases, answers and profile.

    *release* is the version to compare with, a folder or ``s3://`` URI, or ``""``; one that cannot be loaded is told as
    ``unreadable``. Pictures, preprocessing, prompt and tokens go through the serving module, as in production. Each set of
    numbers is that of ``metrics.summary``; ``paired`` and ``over_release`` are those of ``metrics.paired``: fine-tuned less
    untouched, and fine-tuned less release. A category is a tag that enough test pictures bear; it is new if no training
    picture of the release bore it. ``scores`` and ``objective`` are what other runs are compared by, in the hall's form.
    What *searches* of a log find is kept too, for people to judge: nobody knows their right answers.
    """
    rows = index.rows(dataset, "test")
    pictures = [picture for _, picture in sorted(index.pictures(rows, shards))]
    queries = kinds_of_query(rows)
    asked = queries | ({"search": Queries(list(searches), [])} if searches else {})
    models = {name: _answers(str(folder), pictures, asked) for name, folder in (("finetuned", encoders), ("baseline", baseline))}
    last, released_on = _last_release(release, models, pictures, asked)
    by_kind = {kind: {name: answers.retrieve(kind) for name, answers in models.items()} for kind in queries}
    captions = {name: answers.retrieve_captions() for name, answers in models.items()}
    if released_on:
        last["overlap"] = trained_on.overlap(rows["id"], released_on)
    kinds = {kind: _compared(both, queries[kind].texts) for kind, both in by_kind.items()}
    whole = dict(zip(WAYS, (kinds["caption"], _compared(captions, rows["id"])), strict=True))
    measured: dict[str, Any] = {
        **_scores(whole, kinds).entries(),
        "gallery": {"pictures": len(rows), "captions": rows["caption"].nunique()},
        "chance": metrics.chance(len(rows)),
        **{part: {way: both[part] for way, both in whole.items()} for part in whole["text_to_image"] if part != "queries"},
        "queries": kinds,
        "slices": _slices(rows, dataset, by_kind["caption"], released_on),
        "categories": _categories(rows, dataset, by_kind["caption"], released_on),
        "calibration": metrics.calibration(models["finetuned"].texts["caption"], models["finetuned"].images, queries["caption"].right),
        "errors": {name: models[name].mistakes(rows) for name in ("finetuned", "baseline")},
        "int8": _int8(encoders, models["finetuned"], _answers(str(encoders), pictures, {"caption": queries["caption"]}, int8=True)),
    }
    if last:
        measured["release"] = measured.get("release", {}) | last
    (out / "metrics.json").write_text(json.dumps(measured, indent=1) + "\n")
    asked_once = distinct(rows["caption"])
    is_found = by_kind["caption"]["finetuned"].rank[asked_once] <= 10
    cases = dict(zip(map(trained_on.hashed, rows["id"].iloc[asked_once]), is_found.astype(int).tolist(), strict=True))
    (out / pairs.FILE).write_text(json.dumps({"score": OBJECTIVE, "cases": cases}) + "\n")
    words = {kind: of.texts for kind, of in asked.items()}
    profile.write(
        out, profile.profile(rows, index.rows(dataset, "train"), shards, models["finetuned"].images, models["finetuned"].texts, words)
    )
    sides = (
        found.Model(models[name].images, models[name].texts, {kind: of[name].rank for kind, of in by_kind.items()})
        for name in ("finetuned", "release" if "release" in models else "baseline")
    )
    pq.write_table(found.table(words, rows["id"].tolist(), *sides), out / found.FILE, compression="zstd")
    answers = models["finetuned"].shown(rows, by_kind["caption"]["finetuned"].rank, captions["finetuned"].rank)
    pq.write_table(answers, out / "answers.parquet", compression="zstd")


Compared = Mapping[str, ranking.Retrieval]
"""Model → what it found: finetuned, baseline and, after a first release, release; all for the same queries."""


def _last_release(uri: str, models: dict[str, "_Answers"], pictures: list[bytes], queries: dict[str, Queries]) -> tuple[dict, dict | None]:
    """Add the release at *uri* to *models*; gives what is said of it, and what it was trained on, where that is known."""
    if not uri:
        return {}, None
    version = uri.rpartition("/")[2]
    try:
        bundle = stored.locate(uri)
        released_on = bundle.json(trained_on.FILE)
        models["release"] = _answers(uri, pictures, queries)
    except IntegrityError as error:
        log.warning("no comparison with the last release: %s", error)
        return {"version": version, "unreadable": str(error)}, None
    return {"version": version, "ran": {name: bundle.facts[name] for name in RAN if name in bundle.facts}}, released_on


def _scores(whole: Mapping[str, dict], kinds: Mapping[str, dict]) -> Scores:
    """Both ways in each of UNITS, and the objective by each kind of query but captions, which it is about anyway."""
    scores = [_score(f"{way.replace('_', ' ')} {metric}", metric, compared) for way, compared in whole.items() for metric in UNITS]
    scores += [_score(OBJECTIVE, "R@10", compared, f"by {kind}") for kind, compared in kinds.items() if kind != "caption"]
    return Scores(OBJECTIVE, tuple(scores))


def _score(name: str, metric: str, compared: Mapping[str, dict], group: str = "") -> Score:
    """The *metric* of what `_compared` gives."""
    after, gained = compared["finetuned"], compared["paired"][metric]
    gain = Gain("the untouched backbone", gained["difference"], tuple(gained["interval"]))
    return Score(name, after[metric], tuple(after["interval"][metric]), "higher", UNITS[metric], group, gain)


def _slices(rows: pd.DataFrame, dataset: Path, retrievals: Compared, released_on: dict | None) -> dict[str, dict[str, dict]]:
    """Recall by caption of each group of test pictures; after a release also of its new and its known categories."""
    groups = subgroups.slices(rows, dataset)
    if released_on and (novelty := subgroups.by_novelty(subgroups.categories(rows["tags"]), released_on["tags"])):
        groups = {"category": novelty, **groups}
    return {name: {group: _by_caption(rows, retrievals, mask) for group, mask in masks.items()} for name, masks in groups.items()}


def _categories(rows: pd.DataFrame, dataset: Path, retrievals: Compared, released_on: dict | None) -> dict[str, dict]:
    """Recall by caption of the pictures that bear each frequent tag, how many trained the model, and how many the release."""
    trained = trained_on.frequencies(index.rows(dataset, "train")["tags"])
    known = released_on["tags"] if released_on else trained
    return {
        tag: {
            **_by_caption(rows, retrievals, mask),
            "trained_on": trained[tag],
            **({"release_trained_on": known.get(tag, 0), "new": tag not in known} if released_on else {}),
        }
        for tag, mask in subgroups.shown(subgroups.categories(rows["tags"]), known).items()
    }


def _by_caption(rows: pd.DataFrame, retrievals: Compared, mask: np.ndarray) -> dict:
    """`_compared` by the captions of the *rows* under a *mask*."""
    return _compared({name: retrieval.take(mask) for name, retrieval in retrievals.items()}, rows["caption"][mask])


def _compared(retrievals: Compared, asked: pd.Series | Sequence[str]) -> dict:
    """The number of queries, each model's summary, and the paired differences; of what is *asked* several times only the first counts."""
    once = distinct(asked)
    retrievals = {name: retrieval.take(once) for name, retrieval in retrievals.items()}
    after = retrievals["finetuned"]
    result = {"queries": len(after.rank), **{name: metrics.summary(retrieval) for name, retrieval in retrievals.items()}}
    result["paired"] = metrics.paired(after, retrievals["baseline"])
    if "release" in retrievals:
        result["over_release"] = metrics.paired(after, retrievals["release"])
    return result


@dataclass(frozen=True)
class _Answers:
    """What a pair of encoders answers: images (n, D), and texts of each kind of query (q, D)."""

    images: np.ndarray
    texts: dict[str, np.ndarray]
    queries: dict[str, Queries]

    def retrieve(self, kind: str) -> ranking.Retrieval:
        """Pictures by one kind of query."""
        return ranking.retrieve(self.texts[kind], self.images, self.queries[kind].right)

    def retrieve_captions(self) -> ranking.Retrieval:
        """The distinct captions by picture."""
        first, labels = self._distinct_captions()
        return ranking.ranks(self.images, self.texts["caption"][first], labels, np.arange(len(first)))

    def _distinct_captions(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each distinct caption is first, and which of them each picture has."""
        _, first, labels = np.unique(self.queries["caption"].texts, return_index=True, return_inverse=True)
        return first, labels

    def mistakes(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Hubs and confused pairs, by caption."""
        return mistakes.mistakes(self.texts["caption"], self.images, rows["caption"].tolist(), rows["id"].tolist())

    def shown(self, rows: pd.DataFrame, rank: np.ndarray, text_rank: np.ndarray) -> pa.Table:
        """The first answers to each caption, with the right ones marked, and the first of the distinct captions for each picture."""
        ids, captions = rows["id"].to_numpy(), rows["caption"].to_numpy()
        best, score = ranking.top(self.texts["caption"], self.images, SHOWN)
        first, _ = self._distinct_captions()
        said, agreement = ranking.top(self.images, self.texts["caption"][first], SHOWN_TEXTS)
        return pa.table(
            {
                "id": ids,
                "query": captions,
                "rank": rank.astype(np.int32),
                "found": ids[best].tolist(),
                "scores": score.astype(float).tolist(),
                "right": (captions[best] == captions[:, None]).tolist(),
                "text_rank": text_rank.astype(np.int32),
                "texts": captions[first][said].tolist(),
                "text_scores": agreement.astype(float).tolist(),
            }
        )


def _answers(uri: str, pictures: list[bytes], queries: dict[str, Queries], int8: bool = False) -> _Answers:
    encoders = Encoders.load(uri, int8=int8)
    log.info("%d pictures and their texts through %s", len(pictures), uri.rpartition("/")[2])
    distinct = {text: k for k, text in enumerate(dict.fromkeys(text for kind in queries.values() for text in kind.texts))}
    embedded = encoders.texts(list(distinct))
    texts = {kind: embedded[[distinct[text] for text in asked.texts]] for kind, asked in queries.items()}
    return _Answers(encoders.images(pictures), texts, queries)


def _int8(folder: Path, fp32: _Answers, int8: _Answers) -> dict[str, dict]:
    """Each tower's 8-bit encoder, the other tower in fp32: what it costs, what it saves, whether it ships."""
    full = _recall(fp32)
    mixed = {"image_encoder": replace(fp32, images=int8.images), "text_encoder": replace(fp32, texts=int8.texts)}
    towers = {}
    for name, answers in mixed.items():
        recall = _recall(answers)
        size, fp32_size = ((folder / f"{name}{suffix}").stat().st_size for suffix in (".int8.onnx", ".onnx"))
        lost, large = full - recall > INT8_LOSS, size > INT8_SIZE * fp32_size
        reasons = [f"loses more than {100 * INT8_LOSS:g} points"] * lost + [f"larger than {INT8_SIZE:g} of fp32"] * large
        towers[name] = {
            "R@10": recall,
            "loss": full - recall,
            "bytes": size,
            "fp32_bytes": fp32_size,
            "ships": not reasons,
            "why": ": " + ", ".join(reasons) if reasons else "",
        }
    return towers


def _recall(answers: _Answers) -> float:
    """R@10 by caption."""
    return float((answers.retrieve("caption").rank[distinct(answers.queries["caption"].texts)] <= 10).mean())
