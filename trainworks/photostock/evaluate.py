"""How good the encoders that ship are: retrieval over the test gallery, against the untouched backbone."""

import json
import logging
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
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

    Pictures, preprocessing, prompt and tokens go through the serving module, as in production. Each set of numbers
    is that of ``metrics.summary``, each ``paired`` one that of ``metrics.paired``: fine-tuned less untouched.
    """
    rows = data.index(dataset, "test")
    pictures = [picture for _, picture in sorted(data.pictures(rows, shards))]
    queries = kinds_of_query(rows)
    finetuned, untouched = _answers(encoders, pictures, queries), _answers(baseline, pictures, queries)
    after, before = ({kind: answers.retrieve(kind) for kind in queries} for answers in (finetuned, untouched))
    after_text, before_text = finetuned.retrieve_captions(), untouched.retrieve_captions()
    found = {
        "gallery": {"pictures": len(rows), "captions": rows["caption"].nunique()},
        "chance": metrics.chance(len(rows)),
        "finetuned": {"text_to_image": metrics.summary(after["caption"]), "image_to_text": metrics.summary(after_text)},
        "baseline": {"text_to_image": metrics.summary(before["caption"]), "image_to_text": metrics.summary(before_text)},
        "paired": {
            "text_to_image": metrics.paired(after["caption"], before["caption"]),
            "image_to_text": metrics.paired(after_text, before_text),
        },
        "queries": {kind: _compared(after[kind], before[kind]) for kind in queries},
        "slices": {
            name: {group: _compared(after["caption"].take(chosen), before["caption"].take(chosen)) for group, chosen in groups.items()}
            for name, groups in slices(rows, dataset).items()
        },
        "calibration": metrics.calibration(finetuned.texts["caption"], finetuned.images, queries["caption"].right),
        "int8": _int8(encoders, finetuned, _answers(encoders, pictures, {"caption": queries["caption"]}, int8=True)),
    }
    (out / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")
    pq.write_table(finetuned.shown(rows, after["caption"].rank), out / "answers.parquet", compression="zstd")


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


@dataclass(frozen=True)
class Queries:
    """Texts of one kind, and for each the positions of all pictures that are right answers."""

    texts: list[str]
    right: list[np.ndarray]


def kinds_of_query(rows: pd.DataFrame) -> dict[str, Queries]:
    """Each kind of query that the test pictures *rows* have: each picture's own texts, and tags as people type them."""
    texts = {"caption": rows["caption"], "title": rows["title"], "tags": rows["tags"].map(", ".join)}
    if "description" in rows:
        texts["description"] = rows["description"].fillna("")
    kinds = {kind: _same_text(found) for kind, found in texts.items()}
    kinds |= {"single tag": _tagged(rows, 1), "two tags": _tagged(rows, 2)}
    return {kind: queries for kind, queries in kinds.items() if queries.texts}


def _same_text(texts: pd.Series) -> Queries:
    """A query for every picture with a text; pictures with the same text are equally right."""
    labels = np.unique(texts, return_inverse=True)[1]
    asked = np.flatnonzero(texts != "")
    return Queries(texts.iloc[asked].tolist(), metrics.same_label(labels[asked], labels))


def _tagged(rows: pd.DataFrame, count: int) -> Queries:
    """The distinct combinations of *count* tags, one drawn from each picture; every picture with all of them is right.

    The draw is a hash of id and tag: neither frequent nor early tags are preferred, and other rows do not change it.
    """
    bearers: dict[str, set[int]] = defaultdict(set)
    drawn: set[tuple[str, ...]] = set()
    for position, (id, tags) in enumerate(zip(rows["id"], rows["tags"], strict=True)):
        folded = {tag.casefold() for tag in tags}
        for tag in folded:
            bearers[tag].add(position)
        lot = sorted((zlib.crc32(f"{id} {tag}".encode()), tag) for tag in folded)
        if len(lot) >= count:
            drawn.add(tuple(sorted(tag for _, tag in lot[:count])))
    asked = sorted(drawn)
    return Queries([" ".join(tags) for tags in asked], [np.array(sorted(set.intersection(*(bearers[t] for t in tags)))) for tags in asked])


def slices(rows: pd.DataFrame, dataset: Path) -> dict[str, dict[str, np.ndarray]]:
    """What the test pictures are told apart by → group → mask over *rows*; the groups cover all rows, none is empty.

    A contributor's size is the number of pictures that the dataset, all splits together, has of them.
    """
    sizes = pq.read_table(dataset / "index.parquet", columns=["contributor"]).to_pandas()["contributor"].value_counts()
    contributor = rows["contributor"].fillna("")
    size = np.where(contributor == "", 0, contributor.map(sizes).fillna(0))
    return {
        "caption length": _bins([len(caption.split()) for caption in rows["caption"]], (0, 5, 10, 20), "words"),
        "contributor size": {**_bins(size, (1, 6, 21, 101), "pictures"), **_present({"unknown": size == 0})},
    }


def _bins(values: Iterable[float], edges: Sequence[int], unit: str) -> dict[str, np.ndarray]:
    """The *values* from one edge up to the next, by name; ``5–9 words``, and the last is open: ``20+ words``."""
    value_N = np.asarray(values)
    bins = {f"{low}–{high - 1} {unit}": (low <= value_N) & (value_N < high) for low, high in pairwise(edges)}
    return _present({**bins, f"{edges[-1]}+ {unit}": value_N >= edges[-1]})


def _present(groups: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: chosen for name, chosen in groups.items() if chosen.any()}


def _compared(after: metrics.Retrieval, before: metrics.Retrieval) -> dict:
    return {
        "queries": len(after.rank),
        "finetuned": metrics.summary(after),
        "baseline": metrics.summary(before),
        "paired": metrics.paired(after, before),
    }


@dataclass(frozen=True)
class _Answers:
    """What a pair of encoders answers: images (n, D), and texts of each kind of query (q, D)."""

    images: np.ndarray
    texts: dict[str, np.ndarray]
    queries: dict[str, Queries]

    def retrieve(self, kind: str) -> metrics.Retrieval:
        """Pictures by one kind of query."""
        return metrics.retrieve(self.texts[kind], self.images, self.queries[kind].right)

    def retrieve_captions(self) -> metrics.Retrieval:
        """The distinct captions by picture."""
        _, first, labels = np.unique(self.queries["caption"].texts, return_index=True, return_inverse=True)
        return metrics.ranks(self.images, self.texts["caption"][first], labels, np.arange(len(first)))

    def shown(self, rows: pd.DataFrame, rank: np.ndarray) -> pa.Table:
        """The first answers to each caption, with the right ones marked."""
        ids, captions = rows["id"].to_numpy(), rows["caption"].to_numpy()
        best, score = metrics.top(self.texts["caption"], self.images, SHOWN)
        return pa.table(
            {
                "id": ids,
                "query": captions,
                "rank": rank.astype(np.int32),
                "found": ids[best].tolist(),
                "scores": score.astype(float).tolist(),
                "right": (captions[best] == captions[:, None]).tolist(),
            }
        )


def _answers(folder: Path, pictures: list[bytes], queries: dict[str, Queries], int8: bool = False) -> _Answers:
    encoders = Encoders.load(folder, int8=int8)
    log.info("%d pictures and their texts through %s", len(pictures), folder.name)
    distinct = {text: k for k, text in enumerate(dict.fromkeys(text for kind in queries.values() for text in kind.texts))}
    embedded = encoders.texts(list(distinct))
    texts = {kind: embedded[[distinct[text] for text in found.texts]] for kind, found in queries.items()}
    return _Answers(encoders.images(pictures), texts, queries)


def _int8(folder: Path, fp32: _Answers, int8: _Answers) -> dict[str, dict]:
    """Each tower's 8-bit encoder, the other tower in fp32: what it costs, what it saves, whether it ships."""
    full = _recall(fp32)
    mixed = {"image_encoder": replace(fp32, images=int8.images), "text_encoder": replace(fp32, texts=int8.texts)}
    found = {}
    for name, answers in mixed.items():
        recall = _recall(answers)
        size, fp32_size = ((folder / f"{name}{suffix}").stat().st_size for suffix in (".int8.onnx", ".onnx"))
        found[name] = {
            "R@10": recall,
            "loss": full - recall,
            "bytes": size,
            "fp32_bytes": fp32_size,
            "ships": full - recall <= INT8_LOSS and size <= INT8_SIZE * fp32_size,
        }
    return found


def _recall(answers: _Answers) -> float:
    """R@10 by caption."""
    return float((answers.retrieve("caption").rank <= 10).mean())
