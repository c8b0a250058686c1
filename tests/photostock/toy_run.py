"""The folders of a whole run, drawn in code: what a report is made from."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from trainworks.photostock.training import samples
from trainworks.storage import manifest

ToyRun = dict[str, Any]


def drawn(number: int) -> bytes:
    """A small picture, different for each number, as a shard stores it."""
    image = Image.new("RGB", (200, 150), "white")
    ImageDraw.Draw(image).ellipse((10, 10, 60 + 5 * number, 60 + 4 * number), fill=(9 * number % 256, 120, 200))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def a_sample(number: int, text: str) -> samples.Sample:
    """A training picture in one colour, as the model saw it."""
    return samples.Sample(f"p{number:03d}", text, np.full((224, 224, 3), (60 * number, 90, 200), np.uint8))


def write(folder: Path, **contents: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def a_run(folder: Path, titles: list[str], draw: Callable[[int], bytes] = drawn) -> ToyRun:
    """A whole run on pictures called *titles*, by the names of its folders, with two shards, verdict and facts; four samples are kept."""
    ids = [f"p{i:03d}" for i in range(len(titles))]
    half = len(ids) // 2
    shards, index = [], []
    for number, members in enumerate((range(half), range(half, len(ids)))):
        shard = folder / f"shard{number}"
        shard.mkdir(parents=True)
        kept = [{"id": ids[i], "title": titles[i], "pixels": draw(i), "phash": i} for i in members]
        rows = [{**row, "contributor": f"painter {number}", "licence": "Public Domain"} for row in [*kept, *([] if number else LOST)]]
        columns = [("title", pa.string()), ("contributor", pa.string()), ("licence", pa.string()), ("phash", pa.uint64())]
        pq.write_table(pa.Table.from_pylist(rows, pa.schema([("id", pa.string()), *columns])), shard / "rows.parquet")
        pq.write_table(pa.Table.from_pylist(rows, pa.schema([("id", pa.string()), ("pixels", pa.binary())])), shard / "pixels.parquet")
        manifest.write(shard)
        shards.append(shard)
        facts = {"shard": manifest.digest(shard), "split": "test", "contributor": f"painter {number}", "licence": "Public Domain"}
        index += [{"id": ids[i], "row": row, "title": titles[i], "cluster": i, **facts} for row, i in enumerate(members)]
    dataset = folder / "dataset"
    write(dataset, card=CARD)
    pq.write_table(pa.Table.from_pylist(index), dataset / "index.parquet")
    pq.write_table(pa.Table.from_pylist(REJECTED), dataset / "rejected.parquet")
    manifest.write(dataset)
    write(folder / "checkpoint", history=HISTORY, groups=GROUPS)
    samples.write([a_sample(i, f"{titles[i]} as met") for i in range(4)], folder / "checkpoint")
    write(folder / "encoders", inference=INFERENCE, parity={"image_encoder": {"max_abs": 2.98e-7, "batches": [1, 2, 3, 8]}})
    write(folder / "metrics", metrics=METRICS)
    write(folder / "behaviour", behaviour=BEHAVIOUR)
    for name in ("picture", "changed"):
        Image.new("RGB", (112, 84), "red").save(folder / "behaviour" / f"flip-1-{name}.webp")
    answers = []
    for i, id in enumerate(ids):
        rank = (1, 2, 1, 5, 31, 1, 9, 87)[i % 8]
        others = [ids[(i + k) % len(ids)] for k in range(1, 9)]
        found = [*others[: rank - 1], id, *others[rank - 1 :]][:8] if rank <= 8 else others
        texts = [titles[(i + k) % len(ids)] for k in range(1, 6)]
        said = {"text_rank": rank, "texts": [*texts[: rank - 1], titles[i], *texts[rank - 1 :]][:5], "text_scores": [0.1] * 5}
        to_image = {"id": id, "query": titles[i], "rank": rank, "found": found, "scores": [0.1] * 8, "right": [f == id for f in found]}
        answers.append(to_image | said)
    pq.write_table(pa.Table.from_pylist(answers), folder / "metrics" / "answers.parquet")
    return {
        **{name: folder / name for name in ("dataset", "checkpoint", "encoders", "metrics", "behaviour")},
        "shards": shards,
        "verdict": VERDICT,
        "ran": RAN,
    }


CARD = {
    "read": 1600,
    "kept": {"train": 1003, "val": 100, "test": 100},
    "stages": [
        {"stage": "acquire", "read": 1600, "kept": 1595, "rejected": {"missing file": 3, "duplicate id": 2}},
        {"stage": "prepare", "read": 1595, "kept": 1595, "rejected": {}},
        {"stage": "curate", "read": 1595, "kept": 1203, "rejected": {"near duplicate": 341, "contributor cap": 51}},
    ],
    "repairs": {"HASH tag removed": 411, "title from file name": 77},
    "licences": {"Public Domain": 1201, "": 2},
    "contributors": {"read": 214, "kept": 198, "largest": [["johnny_automatic", 300], ["Gerald_G", 41], ["nicubunu", 38]]},
    "clusters": {"pictures": 1595, "clusters": 1254, "largest": 23},
    "captions": {"distinct": 1190, "shared_by_several": 7, "texts_per_picture": 2.9},
}
REJECTED = [
    {"id": "x1", "stage": "acquire", "reason": "missing file", "detail": "animals/ghost.png"},
    {"id": "x2", "stage": "curate", "reason": "near duplicate", "detail": "of p003"},
]
LOST = [
    {"id": "x1", "title": "ghost", "pixels": None, "phash": 0},
    {"id": "x2", "title": "nearly picture number 3", "pixels": drawn(3), "phash": 0b1111},
]
"""What the first shard still holds of the rows that were rejected; the hash of picture 3 is 0b11."""
HISTORY = [
    {
        "epoch": e,
        "step": 16 * e,
        "train_loss": t,
        "learning_rate": 1e-3,
        "val_loss": v,
        "val_R@1": a,
        "val_R@5": b,
        "val_R@10": c,
        "best": e == 4,
    }
    for e, (t, v, a, b, c) in enumerate(
        [
            (None, 4.61, 0.01, 0.05, 0.11),
            (3.92, 3.71, 0.04, 0.16, 0.25),
            (3.2, 3.38, 0.07, 0.22, 0.33),
            (2.71, 3.24, 0.08, 0.26, 0.37),
            (2.3, 3.2, 0.1, 0.28, 0.41),
            (1.98, 3.24, 0.1, 0.27, 0.39),
            (1.7, 3.31, 0.09, 0.27, 0.38),
        ]
    )
]
GROUPS = [
    {"group": "image.head", "parameters": 327936, "factor": 1.0, "learning_rate": 1e-3, "thaw": 1, "lora": 0},
    {"group": "image", "parameters": 3413024, "factor": 0.1, "learning_rate": 1e-4, "thaw": 2, "lora": 4},
    {"group": "text", "parameters": 22565376, "factor": 0.0, "learning_rate": 0.0, "thaw": 1, "lora": 0},
]
INFERENCE = {
    "schema": 1,
    "prompt": "{title}. {description} {tags}",
    "image": "shortest(128) > center_crop(128)",
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
    "context_length": 64,
    "embedding_size": 256,
    "distance": "cosine",
    "temperature": 0.05,
}


def recalls(*values: float) -> dict[str, Any]:
    """Recalls, median rank and number of queries; of a model's, also the other metrics and intervals of 0.2."""
    found: dict[str, Any] = dict(zip(("R@1", "R@5", "R@10", "median_rank", "queries"), values, strict=False))
    if "queries" not in found:
        return found
    metrics = {"R@1": found["R@1"], "R@10": found["R@10"], "MRR": 0.204, "mAP": 0.207, "nDCG@10": 0.25}
    return {**found, **metrics, "interval": {name: [value - 0.1, value + 0.1] for name, value in metrics.items()}}


def a_gain(*values: float) -> dict[str, Any]:
    """Differences of R@1, R@10 and MRR, each in an interval of 0.16."""
    return {k: {"difference": d, "interval": [d - 0.08, d + 0.08]} for k, d in zip(("R@1", "R@10", "MRR"), values, strict=True)}


def compared(queries: int, before: float, after: float, **more: Any) -> dict[str, Any]:
    """A group of queries with its R@10 before and after."""
    measured = {name: {"R@10": value} for name, value in (("finetuned", after), ("baseline", before))}
    return {"queries": queries, **measured, "paired": a_gain(0.1, after - before, 0.1), **more}


def mistaken(most: int, skewness: float) -> dict[str, Any]:
    """A hub that *most* queries find, and a pair of pictures that take each other's place."""
    hubs = [{"id": "p005", "queries": most, "right": 1}, {"id": "p007", "queries": 12, "right": 0}]
    return {
        "hubs": {"first": 10, "mean": 10.0, "skewness": skewness, "never": 3, "worst": hubs},
        "pairs": {"number": 9, "worst": [{"ids": ["p002", "p006"], "lead": 0.04}]},
    }


METRICS = {
    "errors": {"finetuned": mistaken(31, 1.42), "baseline": mistaken(77, 3.9)},
    "gallery": {"pictures": 100, "captions": 100},
    "chance": recalls(0.01, 0.05, 0.1),
    "finetuned": {"text_to_image": recalls(0.12, 0.27, 0.384, 17.5, 100), "image_to_text": recalls(0.11, 0.25, 0.371, 19, 100)},
    "baseline": {"text_to_image": recalls(0.02, 0.06, 0.117, 47, 100), "image_to_text": recalls(0.01, 0.07, 0.109, 48.5, 100)},
    "paired": {"text_to_image": a_gain(0.1, 0.267, 0.081), "image_to_text": a_gain(0.1, 0.262, -0.012)},
    "queries": {kind: compared(97, 0.113, 0.384 - d) for kind, d in (("caption", 0.0), ("title", 0.03), ("tags", 0.052))},
    "slices": {"caption length": {"0–4 words": compared(60, 0.1, 0.4), "5–9 words": compared(40, 0.142, 0.36)}},
    "categories": {"animal": compared(9, 0.222, 0.333, trained_on=31), "flag": compared(11, 0.091, 0.727, trained_on=28)},
    "calibration": [
        {"threshold": t / 100, "precision": 0.01 + t / 200, "recall": 1 - t / 100, "false_positive_rate": (1 - t / 100) ** 2}
        for t in range(0, 90, 3)
    ],
    "int8": {
        "image_encoder": {"R@10": 0.379, "loss": 0.005, "bytes": 4_712_000, "fp32_bytes": 18_104_000, "ships": True},
        "text_encoder": {"R@10": 0.301, "loss": 0.083, "bytes": 22_900_000, "fp32_bytes": 90_400_000, "ships": False},
    },
}


def a_check(meaning: str, rate: float | None, cases: int, *examples: dict[str, Any]) -> dict[str, Any]:
    """A behaviour check whose rate lies within 0.1 of what was found."""
    interval = {"low": None, "high": None} if rate is None else {"low": max(0.0, rate - 0.1), "high": min(1.0, rate + 0.1)}
    return {"rate": rate, **interval, "cases": cases, "mean": {}, "meaning": meaning, "examples": list(examples)}


BEHAVIOUR: dict[str, Any] = {
    "criterion": {"top": 10, "overlap": 0.5, "similarity": 0.9},
    "checks": {
        "flip": a_check(
            "share of mirrored pictures",
            0.875,
            64,
            {
                **{"id": "p001", "what": "mirrored", "overlap": 0.3, "similarity": 0.82, "title": "the <left> hand"},
                **{"picture": "flip-1-picture.webp", "changed": "flip-1-changed.webp"},
            },
        ),
        "typos": a_check(
            "share of misspelt queries",
            0.25,
            40,
            {"id": "p002", "what": "a typo", "overlap": 0.1, "similarity": 0.31, "before": "Telescope", "after": "Telescoppe"},
        ),
        "tag_order": a_check("share of shuffled tags", 1.0, 64),
        "int8_agreement": a_check("share of 8-bit queries", None, 0),
    },
}


def a_gate(name: str, value: float | None, bound: float, passed: bool) -> dict[str, Any]:
    row = {"gate": name, "value": value, "must": "at least", "bound": bound, "passed": passed, "meaning": f"{name} of R@10"}
    return row | {"waived": False, "note": ""}


VERDICT = {"passed": False, "gates": [a_gate("reach", 0.384, 0.3, True), a_gate("gain", 0.267, 0.275, False)]}
RAN: dict[str, Any] = {
    "knobs": {"stored_size": 160, "epochs": 6, "learning_rate": 0.002, "tune": "logit_scale=1, *.head=1, *=0.1"},
    "defaults": {"stored_size": 160, "epochs": 6, "learning_rate": 0.001, "tune": "logit_scale=1, *.head=1, *=0.1"},
    "stages": [
        {"stage": "prepare", "seconds": 3.21, "machine": "cpu", "cost": 0.0002, "cached": True},
        {"stage": "finetune", "seconds": 215.2, "machine": "gpu", "cost": 0.06},
    ],
    "commit": "0123abc",
    "versions": {"torch": "2.15.0", "onnxruntime": "1.32.0"},
    "seed": 1,
    "machine": "2 cores, no GPU",
    "command": "pyflyte run workflows/photostock.py photostock --learning_rate 0.002",
}
TITLES = [f"picture number {i}" for i in range(24)]
