"""Serving: encoded pictures and plain texts to embeddings, by the bundle's ONNX encoders and by open_clip in eager torch.

Fair because both sides have the same weights, start from the same stored JPEGs and texts, and end with the same unit vectors: ours
decodes, preprocesses, tokenises and calls onnxruntime; the peer does it as open_clip's README does, by its transform and tokenizer, in
``inference_mode``. One core, warm. An int8 encoder sees one input at a time by design (see ``Encoders``), so a batch of 32 is 32 calls
there. The cost of 8 bits is in R@10 by caption over all pictures of the embedded sample that curation keeps, with one tower in 8 bits: the
measure of the release's own gate, which ships an int8 encoder only where it costs at most half a point; the speed of one that would not
ship has no target.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.harness import Facts, Row, alternate, cached_folder, child, median, ratios, timed, version

INT8_LOSS = 0.005
INPUTS = 32
BATCHES = (1, 32)


def rows(quick: bool) -> Iterator[Row]:
    """The default backbone."""
    yield from compared("lite0-minilm", "pretrained", quick)


def compared(backbone: str, weights: str, quick: bool) -> Iterator[Row]:
    """Both towers, one by one and in batches, in fp32 and 8 bits; the cost of 8 bits is measured for pretrained towers only."""
    shards, dataset = data.prepared("sample", 224, gallery=20)
    inputs: dict[str, Any] = {"shards": [str(shard) for shard in shards], "dataset": str(dataset)}
    folder = str(exported(backbone, weights))
    cost = child(int8_cost, folder=folder, **inputs) if weights == "pretrained" and not quick else {}
    arguments: dict[str, Any] = {"folder": folder, **inputs}
    sides = [
        partial(child, onnx, int8=False, **arguments),
        partial(child, onnx, int8=True, **arguments),
        partial(child, eager, peer=True, **arguments),
    ]
    fp32, int8, peer = alternate(1 if quick else 2, *sides)
    for tower in ("image", "text"):
        for batch in BATCHES:
            yield _row(f"{backbone}, {tower}, batch {batch}, fp32", f"{tower} {batch}", fp32, peer, None)
            yield _row(f"{backbone}, {tower}, batch {batch}, int8", f"{tower} {batch}", int8, peer, cost.get(tower, 0.0))


def _row(work: str, fact: str, runs: list[Facts], peer: list[Facts], loss: float | None) -> Row:
    """A row of one tower and batch; *loss* is the recall that int8 costs."""
    ships = loss is None or loss <= INT8_LOSS
    note = "" if not loss else f"costs {100 * loss:.1f} points R@10{'' if ships else ', would not ship'}"
    return Row(
        work,
        f"{version('open_clip_torch')}, {version('torch')} eager",
        ratios(peer, runs, fact),
        ">= 1.8" if loss is None else ">= 3" if ships else "",
        ours=f"{1000 * median(runs, fact):.2f} ms",
        theirs=f"{1000 * median(peer, fact):.2f} ms",
        note=note,
    )


def exported(backbone: str, weights: str) -> Path:
    """Encoders and checkpoint of *backbone* at 224 pixels."""
    return cached_folder(f"encoders-{backbone}", lambda out: child(export, backbone=backbone, weights=weights, out=str(out)))


def export(backbone: str, weights: str, out: str) -> Facts:
    """Write them to *out*."""
    from trainworks.photostock.delivery import export
    from trainworks.photostock.model import towers
    from trainworks.photostock.model.untouched import load
    from trainworks.storage import manifest

    (checkpoint := Path(out) / "checkpoint").mkdir()
    towers.save(load(backbone, weights, 224, seed=1), checkpoint)
    manifest.write(checkpoint)
    (graphs := Path(out) / "graphs").mkdir()
    export.trace(checkpoint, graphs)
    (encoders := Path(out) / "encoders").mkdir()
    export.export(checkpoint, graphs, "{title}. {description} {tags}", "shortest(224) > center_crop(224)", encoders)
    manifest.write(encoders)
    return {}


def onnx(folder: str, int8: bool, shards: list[str], dataset: str) -> Facts:
    """Ours: CPU seconds per input, by tower and batch."""
    from trainworks.photostock.search import Encoders

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    encoders = Encoders.load(f"{folder}/encoders", int8=int8)
    pictures, captions = _inputs(shards, dataset, INPUTS)
    return _timed(encoders.images, pictures, "image") | _timed(encoders.texts, captions, "text")


def eager(folder: str, shards: list[str], dataset: str) -> Facts:
    """The peer: the same."""
    import io

    import open_clip
    import torch
    from open_clip.tokenizer import HFTokenizer
    from PIL import Image

    from trainworks.photostock.model import towers

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    pair = towers.read(Path(folder) / "checkpoint")
    model = pair.model.eval()
    transform = open_clip.image_transform(pair.size, is_train=False, mean=pair.mean, std=pair.std)
    if pair.backbone == towers.LITE0_MINILM:
        tokenizer = HFTokenizer(model.text.config.name_or_path, context_length=pair.context_length)
    else:
        tokenizer = open_clip.get_tokenizer(pair.backbone)
    pictures, captions = _inputs(shards, dataset, INPUTS)

    @torch.inference_mode()
    def images(files: list[bytes]) -> np.ndarray:
        pixels = torch.stack([transform(Image.open(io.BytesIO(file))) for file in files])
        return model.encode_image(pixels, normalize=True).numpy()

    @torch.inference_mode()
    def texts(captions: list[str]) -> np.ndarray:
        return model.encode_text(tokenizer(captions), normalize=True).numpy()

    return _timed(images, pictures, "image") | _timed(texts, captions, "text")


def int8_cost(folder: str, shards: list[str], dataset: str) -> Facts:
    """R@10 that each tower loses in 8 bits, the other in fp32."""
    from trainworks.photostock.evaluation import ranking
    from trainworks.photostock.search import Encoders

    pictures, captions = _inputs(shards, dataset)
    fp32, int8 = (Encoders.load(f"{folder}/encoders", int8=quantised) for quantised in (False, True))
    images, texts = fp32.images(pictures), fp32.texts(captions)
    labels = np.unique(captions, return_inverse=True)[1]

    def recall(query: np.ndarray, gallery: np.ndarray) -> float:
        return float((ranking.ranks(query, gallery, labels, labels).rank <= 10).mean())

    reference = recall(texts, images)
    return {"image": reference - recall(texts, int8.images(pictures)), "text": reference - recall(int8.texts(captions), images)}


def _in_batches(encode: Callable[[list], np.ndarray], inputs: list, batch: int) -> None:
    for start in range(0, len(inputs), batch):
        encode(inputs[start : start + batch])


def _timed(encode: Callable[[list], np.ndarray], inputs: list, tower: str) -> Facts:
    seconds = {}
    for batch in BATCHES:
        encode(inputs[:batch])
        spent, _ = timed(partial(_in_batches, encode, inputs, batch))
        seconds[f"{tower} {batch}"] = spent["cpu"] / len(inputs)
    return seconds


def _inputs(shards: list[str], dataset: str, count: int | None = None) -> tuple[list[bytes], list[str]]:
    """Stored pictures and their captions: *count* of the training split, or all of all splits."""
    from trainworks.photostock.curation import index

    pictures: list[bytes] = []
    captions: list[str] = []
    for split in ("train", "val", "test") if count is None else ("train",):
        rows = index.rows(Path(dataset), split).head(count or 10**9)
        pictures += [picture for _, picture in sorted(index.pictures(rows, data.paths(shards)))]
        captions += rows["caption"].tolist()
    return pictures, captions
