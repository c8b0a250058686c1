"""How good the encoders that ship are: retrieval over the test gallery, against the untouched backbone."""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trainworks import gates
from trainworks.photostock import dataset as data
from trainworks.photostock import metrics
from trainworks.photostock.config import GateConfig
from trainworks.photostock.search import Encoders

log = logging.getLogger(__name__)

SHOWN = 8
"""Pictures kept per answer, for the report."""

INT8_LOSS, INT8_SIZE = 0.005, 0.5
"""R@10 an 8-bit encoder may lose, and share of the fp32 file it may have, and still ship."""


def evaluate(encoders: Path, baseline: Path, dataset: Path, shards: list[Path], out: Path) -> None:
    """Write ``metrics.json`` and ``answers.parquet``: the ONNX files of *encoders* and *baseline* on the test split.

    Pictures, preprocessing, prompt and tokens go through the serving module, as in production.
    """
    rows = data.index(dataset, "test")
    pictures = [picture for _, picture in sorted(data.pictures(rows, shards))]
    queries = _queries(rows)
    finetuned, untouched = _answers(encoders, pictures, queries), _answers(baseline, pictures, queries)
    found = {
        "gallery": {"pictures": len(rows), "captions": rows["caption"].nunique()},
        "chance": metrics.chance(len(rows)),
        "finetuned": finetuned.both_ways(),
        "baseline": untouched.both_ways(),
        "queries": {kind: {"finetuned": finetuned.by_text(kind), "baseline": untouched.by_text(kind)} for kind in queries},
        "int8": _int8(encoders, finetuned, _answers(encoders, pictures, {"caption": queries["caption"]}, int8=True)),
    }
    (out / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")
    pq.write_table(finetuned.shown(rows), out / "answers.parquet", compression="zstd")


def verdict(evaluated: Path, config: GateConfig) -> dict:
    """What the gates say of the metrics in the folder *evaluated*."""
    found = json.loads((evaluated / "metrics.json").read_text())
    recall = found["finetuned"]["text_to_image"]["R@10"]
    gain = recall - found["baseline"]["text_to_image"]["R@10"]
    return gates.verdict(
        [
            gates.Gate("recall", recall, config.min_recall, "text-to-image R@10 on the test gallery"),
            gates.Gate("gain", gain, config.min_gain, "the same R@10, less that of the untouched backbone"),
        ]
    )


def _queries(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Kind of query → its texts, indexed by the position of the picture they describe."""
    tags = rows["tags"].map(", ".join)
    kinds = {"caption": rows["caption"], "title": rows["title"], "tags": tags}
    return {kind: texts[texts != ""] for kind, texts in kinds.items() if texts.any()}


@dataclass(frozen=True)
class _Answers:
    """What a pair of encoders answers: images (n, D), and texts of each kind of query (q, D)."""

    images: np.ndarray
    texts: dict[str, np.ndarray]
    queries: dict[str, pd.Series]

    def ranks(self, kind: str) -> np.ndarray:
        """Rank of the best picture of each query; pictures with the same text are equally right."""
        queries = self.queries[kind]
        labels = np.unique(queries, return_inverse=True)[1]
        of_picture = np.full(len(self.images), -1)
        of_picture[queries.index] = labels
        return metrics.ranks(self.texts[kind], self.images, labels, of_picture)

    def by_text(self, kind: str) -> dict[str, float]:
        """Retrieval of pictures by one kind of query."""
        return metrics.summary(self.ranks(kind))

    def both_ways(self) -> dict[str, dict[str, float]]:
        """Retrieval of pictures by caption, and of the distinct captions by picture."""
        _, first, labels = np.unique(self.queries["caption"], return_index=True, return_inverse=True)
        backward = metrics.ranks(self.images, self.texts["caption"][first], labels, np.arange(len(first)))
        return {"text_to_image": self.by_text("caption"), "image_to_text": metrics.summary(backward)}

    def shown(self, rows: pd.DataFrame) -> pa.Table:
        """The first answers to each caption, with the right ones marked."""
        ids, captions = rows["id"].to_numpy(), rows["caption"].to_numpy()
        best, score = metrics.top(self.texts["caption"], self.images, SHOWN)
        return pa.table(
            {
                "id": ids,
                "query": captions,
                "rank": self.ranks("caption").astype(np.int32),
                "found": ids[best].tolist(),
                "scores": score.astype(float).tolist(),
                "right": (captions[best] == captions[:, None]).tolist(),
            }
        )


def _answers(folder: Path, pictures: list[bytes], queries: dict[str, pd.Series], int8: bool = False) -> _Answers:
    encoders = Encoders.load(folder, int8=int8)
    log.info("%d pictures and their texts through %s", len(pictures), folder.name)
    return _Answers(encoders.images(pictures), {kind: encoders.texts(list(texts)) for kind, texts in queries.items()}, queries)


def _int8(folder: Path, fp32: _Answers, int8: _Answers) -> dict[str, dict]:
    """Each tower's 8-bit encoder, the other tower in fp32: what it costs, what it saves, whether it ships."""
    full = fp32.by_text("caption")["R@10"]
    mixed = {"image_encoder": replace(fp32, images=int8.images), "text_encoder": replace(fp32, texts=int8.texts)}
    found = {}
    for name, answers in mixed.items():
        recall = answers.by_text("caption")["R@10"]
        size, fp32_size = ((folder / f"{name}{suffix}").stat().st_size for suffix in (".int8.onnx", ".onnx"))
        found[name] = {
            "R@10": recall,
            "loss": full - recall,
            "bytes": size,
            "fp32_bytes": fp32_size,
            "ships": full - recall <= INT8_LOSS and size <= INT8_SIZE * fp32_size,
        }
    return found
