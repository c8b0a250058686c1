"""The bundle of PhotoStock: the encoders that ship, what they reached, and a model card."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trainworks import bundle, gates, manifest
from trainworks.photostock import trained_on

ENCODERS = ("image_encoder", "text_encoder")

POINTS = 17
"""Points of the calibration that inference.json carries: enough to read a threshold from."""

PACKAGES = (
    "torch",
    "open_clip_torch",
    "pytorch-lightning",
    "transformers",
    "onnx",
    "onnxruntime",
    "tokenizers",
    "numpy",
    "pillow",
    "flytekit",
)
"""Packages whose version can change a number of the report."""


def package(encoders: Path, metrics: Path, report: Path, dataset: Path, checkpoint: Path, out: Path) -> None:
    """Write the bundle of one run to the empty folder *out*; an int8 encoder goes in if ``metrics.json`` says it ships.

    The others are the folders of those stages. ``inference.json`` gains what a threshold on the cosine means, and
    ``trained_on.json`` tells the next run which tags and pictures this model knows.
    """
    found, card, inference, verdict, ran = (
        json.loads(path.read_text())
        for path in (
            metrics / "metrics.json",
            dataset / "card.json",
            encoders / "inference.json",
            report / "verdict.json",
            report / "ran.json",
        )
    )
    facts = {
        "config": ran["knobs"],
        "commit": bundle.git_commit(),
        "data": manifest.digest(dataset),
        "packages": bundle.versions(PACKAGES),
        "seed": ran["seed"],
        "seconds": {stage["stage"]: stage["seconds"] for stage in ran["stages"]},
        "verdict": verdict,
    }
    names = [f"{name}.onnx" for name in ENCODERS]
    names += [f"{name}.int8.onnx" for name in ENCODERS if found["int8"].get(name, {}).get("ships")]
    files = {name: encoders / name for name in (*names, "tokenizer.json")}
    files |= {"metrics.json": metrics / "metrics.json", "report.html": report / "report.html", "history.json": checkpoint / "history.json"}
    trained = pq.read_table(dataset / "index.parquet", columns=["id", "tags"], filters=[("split", "=", "train")])
    texts = {
        "README.md": _model_card(found, card, inference, verdict, facts, names),
        "inference.json": json.dumps(inference | {"calibration": _calibration(found)}, indent=1) + "\n",
        trained_on.FILE: json.dumps(trained_on.summary(trained["id"].to_pylist(), trained["tags"].to_pylist()), ensure_ascii=False) + "\n",
    }
    bundle.write(out, files, texts, facts)


def _calibration(metrics: dict) -> dict[str, Any]:
    """At most POINTS of the measured thresholds, evenly spaced from the lowest to the highest, and the gallery they hold for."""
    points = metrics["calibration"]
    count = min(POINTS, len(points))
    chosen = [points[i * (len(points) - 1) // max(1, count - 1)] for i in range(count)]
    rounded = [{name: float(f"{value:.4g}") for name, value in point.items()} for point in chosen]
    return {"gallery": metrics["gallery"]["pictures"], "points": rounded}


def _model_card(metrics: dict, card: dict, inference: dict, verdict: dict, facts: Mapping[str, Any], names: list[str]) -> str:
    gallery, kept = metrics["gallery"], card["kept"]
    sections = [
        "# PhotoStock encoders",
        "An image and a text encoder that put pictures and texts into one space of "
        f"{inference['embedding_size']} dimensions: the nearer two embeddings (cosine), the better text and picture agree.",
        f"**Gates:** {gates.why(verdict)}.",
        "## Loading it",
        "`pip install 'trainworks[serve]'` installs onnxruntime, numpy, pillow and tokenizers; torch is not needed.",
        _EXAMPLE,
        f"Pictures are prepared by `{inference['image']}`, records become texts by the prompt `{inference['prompt']}`; "
        f"texts are cut after {inference['context_length']} tokens. The ONNX files are {', '.join(f'`{name}`' for name in names)}.",
        "## What it reached",
        f"Recall on {gallery['pictures']:,} test pictures with {gallery['captions']:,} distinct captions, measured on the fp32 ONNX files. "
        "*Before* is the same backbone without fine-tuning.",
        _recalls(metrics),
        "## Data",
        f"{card['read']:,} records were read; {kept['train']:,} trained the model, {kept['val']:,} chose the checkpoint and "
        f"{kept['test']:,} are the test pictures. Near-duplicates never lie on both sides of the split. "
        f"{card['contributors']['kept']:,} contributors are in it.",
        _table(["Licence of the pictures", "Kept"], [(name or "not stated", f"{n:,}") for name, n in card["licences"].items()]),
        "The weights also carry the licence of the backbone they started from.",
        "## Limits",
        _limits(gallery["pictures"]),
        "## Where it comes from",
        f"Commit `{facts['commit']}`, data `{facts['data']}`, seed {facts['seed']}. "
        "`manifest.json` has every knob, every package version and the SHA-256 of every file; `report.html` shows the run.",
    ]
    return "\n\n".join(sections) + "\n"


_EXAMPLE = """```python
from trainworks.photostock.search import Encoders

encoders = Encoders.load("path/of/this/folder")
scores = encoders.texts(["red bicycle"]) @ encoders.images(["a.jpg", "b.png"]).T
```"""


def _recalls(metrics: dict) -> str:
    rows = []
    for name, way in (("text to image", "text_to_image"), ("image to text", "image_to_text")):
        rows.append((name, metrics["finetuned"][way], metrics["baseline"][way]))
    for kind, found in metrics["queries"].items():
        rows.append((f"text to image, {kind} as query", found["finetuned"], found["baseline"]))
    recalls = ("R@1", "R@5", "R@10")
    lines = [
        (name, f"{after['queries']:,}", *(_percent(after[k]) for k in recalls), *(_percent(before[k]) for k in recalls))
        for name, after, before in rows
    ]
    lines.append(("chance", "", *(_percent(metrics["chance"][k]) for k in recalls), "", "", ""))
    return _table(["", "Queries", *recalls, *(f"{k} before" for k in recalls)], lines)


def _limits(pictures: int) -> str:
    return "\n".join(
        f"- {limit}"
        for limit in (
            f"The gallery had {pictures:,} pictures; among more of them, recall is lower.",
            "The queries were the catalogue's own texts, in its languages; people search in other words.",
            "It ranks pictures for a text. It is not made to identify people, or to decide anything about them.",
            "It has the leanings of its backbone and of its contributors; see the data card in `report.html`.",
        )
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in line) + " |" for line in lines)


def _percent(recall: float) -> str:
    return f"{100 * recall:.1f} %"
