"""Fine-tuning end to end, against ``open_clip_train.main`` with its defaults.

Fair because both start from the same checkpoint and train the same parameters on the same stored pictures and captions, in batches of
64, for as many epochs, in the same precision (bf16 autocast) and on two threads, data loading, validation after every epoch and
checkpoints included; Python's imports are left out on both sides. The peer augments by its default crop; ours does too where the image
tower learns. Where it does not, ours runs each picture through it once and keeps the features, which is what makes it fast and rules
augmentation out: R@10 stands beside it.

The second part is one optimiser step by our own ``Finetuner`` on one batch of 64 captions and pictures: plain fp32 and padded texts,
then lever by lever. The loss difference is that of the first step, from the same weights.
"""

import json
import statistics
from collections.abc import Iterator
from functools import partial
from math import ceil, floor
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.harness import SCRATCH, Facts, Row, alternate, cached_folder, child, median, ratios, timed, version

GALLERY, BATCH = 100, 64
HEADS = "logit_scale=1, *.head=1, *=0"
CASES: dict[str, dict[str, Any]] = {
    "lite0-minilm, heads": {
        "backbone": "lite0-minilm",
        "weights": "pretrained",
        "size": 96,
        "tune": HEADS,
        "augment_image": "",
        "locked": ["--lock-image", "--lock-text"],
    },
    "ViT-S-32-alt, all": {
        "backbone": "ViT-S-32-alt",
        "weights": "random",
        "size": 128,
        "tune": "*=1",
        "augment_image": "random_resized_crop(0.9, 1.0)",
        "locked": [],
    },
    "lite0-minilm, budget": {
        "backbone": "lite0-minilm",
        "weights": "pretrained",
        "size": 224,
        "tune": HEADS,
        "augment_image": "",
        "locked": [],
    },
}
COMPARED = ("lite0-minilm, heads", "ViT-S-32-alt, all")
LEVERS = {
    "texts in buckets": {"trimmed": True},
    "texts in buckets, bf16": {"trimmed": True, "bf16": True},
    "texts in buckets, bf16, fused AdamW": {"trimmed": True, "bf16": True, "fused": True},
}


def rows(quick: bool) -> Iterator[Row]:
    """Fine-tuning side by side, then the step."""
    shards, dataset = data.prepared("sample", 128, GALLERY)
    files = str(cached_folder("sample-csv", lambda out: write_csv(shards, dataset, out)))
    inputs: dict[str, Any] = {"shards": [str(shard) for shard in shards], "dataset": str(dataset)}
    for name in COMPARED[:1] if quick else COMPARED:
        case = CASES[name]
        epochs = 1 if quick or case["backbone"] != "lite0-minilm" else 4
        start = str(started(case["backbone"], case["weights"], case["size"]))
        arguments: dict[str, Any] = {"case": name, "start": start, "epochs": epochs}
        ours, peer = alternate(
            2 if epochs > 1 else 1,  # minutes each
            partial(child, finetuned, threads=2, **arguments, **inputs),
            partial(child, open_clip_train, peer=True, threads=2, **arguments, files=files),
        )
        batches = ours[0]["pictures"] / BATCH  # the last one is filled up by ours and dropped by the peer
        mine = [run["cpu"] / (BATCH * epochs * ceil(batches)) for run in ours]
        theirs = [run["cpu"] / (BATCH * epochs * floor(batches)) for run in peer]
        yield Row(
            f"fine-tuning {name}, {epochs} epochs of {ours[0]['pictures']}",
            f"open_clip_train.main, {version('open_clip_torch')}",
            [their_seconds / our_seconds for our_seconds, their_seconds in zip(mine, theirs, strict=True)],
            ">= 3" if case["locked"] else ">= 2",
            ours=f"{1 / statistics.median(mine):.1f} samples/s",
            theirs=f"{1 / statistics.median(theirs):.1f} samples/s",
            note=f"validation R@10 {100 * median(ours, 'recall'):.0f} %, peer {100 * median(peer, 'recall'):.0f} %",
        )
    if not quick:
        yield from _steps(inputs)


def _steps(inputs: dict[str, Any]) -> Iterator[Row]:
    case = CASES["ViT-S-32-alt, all"]
    arguments = {"start": str(started(case["backbone"], case["weights"], case["size"])), "threads": 2, **inputs}
    with_levers = [partial(child, step, **arguments, **options) for options in LEVERS.values()]
    plain, *levers = alternate(2, partial(child, step, **arguments), *with_levers)
    for (name, options), runs in zip(LEVERS.items(), levers, strict=True):
        yield Row(
            f"step of ViT-S-32-alt: {name}",
            "our plain fp32 step",
            ratios(plain, runs),
            ">= 2.2" if options == LEVERS["texts in buckets, bf16"] else "",
            ours=f"{1000 * median(runs):.0f} ms",
            theirs=f"{1000 * median(plain):.0f} ms",
            note=f"loss differs by {abs(runs[0]['loss'] - plain[0]['loss']):.1e}",
        )


def started(backbone: str, weights: str, size: int) -> Path:
    """The checkpoint both sides start from, in the folder ``ours`` and, as a ``local-dir:`` of open_clip, ``peer``."""
    return cached_folder(f"start-{backbone}-{size}", lambda out: child(start, backbone=backbone, weights=weights, size=size, out=str(out)))


def start(backbone: str, weights: str, size: int, out: str) -> Facts:
    """Write it to *out*."""
    import shutil

    import open_clip

    from trainworks.photostock.model import towers
    from trainworks.photostock.model.untouched import load
    from trainworks.storage import manifest

    (ours := Path(out) / "ours").mkdir()
    (peer := Path(out) / "peer").mkdir()
    pair = load(backbone, weights, size, seed=1)
    towers.save(pair, ours)
    manifest.write(ours)
    shutil.copyfile(ours / "weights.safetensors", peer / "open_clip_model.safetensors")
    if backbone == towers.LITE0_MINILM:
        minilm = Path(pair.model.text.config.name_or_path)
        for file in (*minilm.glob("*token*.json"), minilm / "vocab.txt", minilm / "config.json"):
            shutil.copyfile(file, peer / file.name)
        config: Any = {
            "embed_dim": towers.EMBEDDING_SIZE,
            "vision_cfg": {
                "timm_model_name": "tf_efficientnet_lite0",
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
            },
            "text_cfg": {
                "hf_model_name": str(minilm),
                "hf_model_pretrained": False,
                "hf_tokenizer_name": str(minilm),
                "hf_pooler_type": "mean_pooler",
                "hf_proj_type": "linear",
                "context_length": pair.context_length,
            },
        }
    else:
        config = open_clip.get_model_config(backbone)
    config["vision_cfg"]["image_size"] = size
    settings = {"model_cfg": config, "preprocess_cfg": {"mean": pair.mean, "std": pair.std}}
    (peer / "open_clip_config.json").write_text(json.dumps(settings))
    return {}


def write_csv(shards: list[Path], dataset: Path, out: Path) -> None:
    """The dataset as the peer reads it: the stored pictures as files, and a table of paths and captions per split."""
    from trainworks.photostock.curation import index

    for split in ("train", "val"):
        rows = index.rows(dataset, split)
        names = [f"{split}-{position:05d}.jpg" for position in range(len(rows))]
        for position, picture in index.pictures(rows, shards):
            (out / names[position]).write_bytes(picture)
        table = rows.assign(filepath=[str(SCRATCH / out.name.removeprefix(".") / name) for name in names], title=rows["caption"])
        table[["filepath", "title"]].to_csv(out / f"{split}.csv", sep="\t", index=False)


def finetuned(case: str, start: str, epochs: int, shards: list[str], dataset: str, **knobs: Any) -> Facts:
    """Ours: its cost, the number of training pictures and the best validation R@10, text to image."""
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["TRAINWORKS_ARTIFACTS"] = f"{scratch}/artifacts"
        from trainworks.photostock.curation import index
        from trainworks.photostock.training.knobs import Precision, TrainConfig
        from trainworks.photostock.training.train import finetune

        setting = CASES[case]
        side = setting["size"]
        settings = {
            "backbone": setting["backbone"],
            "weights": setting["weights"],
            "image": f"shortest({side}) > center_crop({side})",
            "augment_image": setting["augment_image"],
            "augment_text": "",
            "loss": "clip",
            "tune": setting["tune"],
            "average": "",
            "epochs": epochs,
            "patience": epochs,
            "batch_size": BATCH,
            "precision": Precision.BF16,
            **knobs,
        }
        (out := Path(scratch) / "out").mkdir()
        work = (
            Path(start) / "ours",
            Path(dataset),
            data.paths(shards),
            TrainConfig(**settings),
            Path(scratch) / "logs",
            out,
            Path(scratch) / "resume",
        )
        spent, _ = timed(lambda: finetune(*work))
        history = json.loads((out / "history.json").read_text())
        pictures = len(index.rows(Path(dataset), "train"))
    return {**spent, "pictures": pictures, "recall": max(row["val_R@10"] for row in history[1:])}


def open_clip_train(case: str, start: str, epochs: int, files: str, more: list[str] | None = None) -> Facts:
    """The peer's own ``main`` with its own command line."""
    import tempfile

    from open_clip_train.main import main

    setting = CASES[case]
    with tempfile.TemporaryDirectory() as scratch:
        command: list[object] = [
            "--model",
            f"local-dir:{start}/peer",
            "--train-data",
            f"{files}/train.csv",
            "--val-data",
            f"{files}/val.csv",
        ]
        command += ["--dataset-type", "csv", "--batch-size", BATCH, "--epochs", epochs, "--warmup", 3, "--lr", 1e-3, "--wd", 0.05]
        command += ["--workers", 0, "--device", "cpu", "--precision", "amp_bf16", "--force-image-size", setting["size"]]
        command += ["--logs", scratch, "--name", "run", *setting["locked"], *(more or [])]
        spent, _ = timed(lambda: main([str(word) for word in command]))
        results = [json.loads(line) for line in (Path(scratch) / "run" / "checkpoints" / "results.jsonl").read_text().splitlines()]
    return {**spent, "recall": max(row["text_to_image_R@10"] for row in results if row["epoch"] > 0)}


def step(start: str, shards: list[str], dataset: str, trimmed: bool = False, bf16: bool = False, fused: bool = False) -> Facts:
    """The second optimiser step, and the loss of the first."""
    import tempfile
    import warnings

    import torch

    from trainworks.photostock.curation import index
    from trainworks.photostock.model import towers
    from trainworks.photostock.preprocessing.pixels import Preprocessing
    from trainworks.photostock.training.dataset import batch, tokens
    from trainworks.photostock.training.finetuner import Finetuner
    from trainworks.photostock.training.knobs import TrainConfig
    from trainworks.photostock.training.pixel_array import pixel_array

    warnings.simplefilter("ignore")
    model = towers.read(Path(start) / "ours")
    rows = index.rows(Path(dataset), "train").head(BATCH)
    with tempfile.TemporaryDirectory() as scratch:
        pictures = pixel_array(
            rows, data.paths(shards), Preprocessing(f"shortest({model.size}) > center_crop({model.size})"), Path(scratch) / "pixels"
        )
        pairs = batch(pictures, rows["caption"].tolist(), tokens(model.tokenizer))
    tuner = Finetuner(model, TrainConfig(loss="clip", tune="*=1", batch_size=BATCH), steps=1000)
    if not trimmed:
        tuner.embed_texts = lambda model, text: model.encode_text(text, normalize=True)  # type: ignore[method-assign]
    optimizer = torch.optim.AdamW(tuner.optimised, betas=(0.9, 0.98), eps=1e-6, fused=fused)

    def optimiser_step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = tuner.training_step(pairs, 0)
        loss.backward()
        optimizer.step()
        return loss.item()

    first_loss = optimiser_step()
    return {**timed(optimiser_step)[0], "loss": first_loss}
