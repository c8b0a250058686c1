"""The model card of PhotoStock's bundle, made of the numbers in ``metrics.json`` and nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainworks.release.model_card import behaviour, bullets, card, percent, table

NAME = "PhotoStock encoders"

RECALLS = ("R@1", "R@5", "R@10")
_WAYS = {"text_to_image": "text to image", "image_to_text": "image to text"}

_EXAMPLE = """```python
from trainworks.photostock.search import Encoders

encoders = Encoders.load("path/of/this/folder")
scores = encoders.texts(["red bicycle"]) @ encoders.images(["a.jpg", "b.png"]).T
```"""


def model_card(
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    inference: Mapping[str, Any],
    verdict: Mapping[str, Any],
    facts: Mapping[str, Any],
    names: list[str],
) -> str:
    """``README.md`` of a bundle: YAML front matter with a model index, then Markdown for people.

    Args:
        metrics, data, inference, verdict: ``metrics.json``, the data card, ``inference.json``, the verdict of the gates.
        facts: those of the manifest.
        names: the ONNX files that ship.
    """
    about = (
        "An image and a text encoder that put pictures and texts into one space of "
        f"{inference['embedding_size']} dimensions: the nearer two embeddings (cosine), the better text and picture agree."
    )
    sections = {
        "Intended use": [
            "Ranking the pictures of a stock-photo catalogue for a text, texts for a picture, and pictures for a picture. It is not made "
            "to identify people, or to decide anything about them."
        ],
        "How to load it": [
            "`pip install '.[serve]'` in a checkout of its code installs onnxruntime, numpy, pillow and tokenizers; torch is not needed.",
            _EXAMPLE,
            f"Pictures are prepared by `{inference['image']}`, records become texts by the prompt `{inference['prompt']}`; "
            f"texts are cut after {inference['context_length']} tokens. The ONNX files are {', '.join(f'`{name}`' for name in names)}.",
        ],
        "Training data": _data(data),
        "Evaluation": _evaluation(metrics),
        "Behaviour": behaviour(metrics.get("behaviour", {})),
        "Limits": [_limits(metrics["gallery"]["pictures"])],
    }
    return card(NAME, about, _front_matter(metrics), sections, verdict, facts)


def _front_matter(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the hub reads. The language of a catalogue is not known, and its weights' licence is that of backbone and pictures."""
    dataset = {"type": "catalogue", "name": f"held-out contributors, {metrics['gallery']['pictures']} pictures", "split": "test"}
    results = [
        {
            "task": {"type": "image-text-retrieval", "name": words},
            "dataset": dataset,
            "metrics": [
                {"type": "recall", "name": f"{name}, {words}", "value": round(float(metrics["finetuned"][way][name]), 4)}
                for name in RECALLS
            ],
        }
        for way, words in _WAYS.items()
    ]
    return {
        "license": "other",
        "license_name": "backbone-and-pictures",
        "license_link": "README.md",
        "library_name": "onnx",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["clip", "image-text-retrieval", "image-search", "onnxruntime"],
        "metrics": ["recall"],
        "model-index": [{"name": NAME, "results": results}],
    }


def _data(data: Mapping[str, Any]) -> Iterator[str]:
    kept = data["kept"]
    yield (
        f"{data['read']:,} records were read; {kept['train']:,} trained the model, {kept['val']:,} chose the checkpoint and "
        f"{kept['test']:,} are the test pictures. Near-duplicates never lie on both sides of the split. "
        f"{data['contributors']['kept']:,} contributors are in it."
    )
    yield table(["Licence of the pictures", "Kept"], [(name or "not stated", f"{n:,}") for name, n in data["licences"].items()])
    if lost := [(stage["stage"], reason, f"{n:,}") for stage in data.get("stages", ()) for reason, n in stage["rejected"].items()]:
        yield "Not used; *excluded* are pictures whose contributors opted out, which were never read:"
        yield table(["Stage", "Reason", "Records"], lost)
    yield "The weights also carry the licence of the backbone they started from."


def _evaluation(metrics: Mapping[str, Any]) -> Iterator[str]:
    gallery = metrics["gallery"]
    yield (
        f"Recall on {gallery['pictures']:,} test pictures with {gallery['captions']:,} distinct captions, measured on the fp32 ONNX files, "
        "with 95 % intervals. *Before* is the same backbone without fine-tuning."
    )
    rows = [(words, metrics["finetuned"][way], metrics["baseline"][way]) for way, words in _WAYS.items()]
    rows += [(f"text to image, {kind} as query", models["finetuned"], models["baseline"]) for kind, models in metrics["queries"].items()]
    lines = [
        (name, f"{after['queries']:,}", *(_measured(after, k) for k in RECALLS), *(percent(before[k]) for k in RECALLS))
        for name, after, before in rows
    ]
    lines.append(("chance", "", *(percent(metrics["chance"][k]) for k in RECALLS), "", "", ""))
    yield table(["", "Queries", *RECALLS, *(f"{k} before" for k in RECALLS)], lines)


def _limits(pictures: int) -> str:
    return bullets(
        [
            f"The gallery had {pictures:,} pictures; among more of them, recall is lower.",
            "The queries were the catalogue's own texts, in its languages; people search in other words.",
            "It has the leanings of its backbone and of its contributors; see the data card in `report.html`.",
            "It fits pictures like those it was measured on: `python -m trainworks photostock drift` says whether others are.",
        ]
    )


def _measured(summary: Mapping[str, Any], metric: str) -> str:
    return percent(summary[metric], summary.get("interval", {}).get(metric, ()))
