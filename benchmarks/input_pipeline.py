"""Input pipeline: stored JPEGs of 256 pixels to normalised batches at 224, same augmentation, against open_clip over webdataset.

The peer is what ``open_clip_train`` builds: a tar of the same JPEGs and captions through webdataset, decoded by Pillow, open_clip's
training transform (``RandomResizedCrop(224, scale=(0.9, 1.0))``, tensor, normalise), its tokenizer, batches of 32. Ours crops from its
array of decoded 224-pixel squares by ``random_resized_crop(0.9, 1.0)``, tokenises, stacks bytes and normalises by the line of code that
training uses; one worker and one thread each. The array is made once per training; the second row adds that to twelve epochs, the
default. Ours resizes bilinearly, the peer bicubically.
"""

import tarfile
import tempfile
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.harness import Facts, Row, alternate, cached_folder, child, median, ratios, timed, version

ARCHITECTURE = "ViT-S-32-alt"
BATCH, EPOCHS = 32, 12
STORED, SIZE = 256, 224


def rows(quick: bool) -> Iterator[Row]:
    """Images per core-second."""
    shards, dataset = data.prepared(str(data.photos(64)), STORED, gallery=10)
    tar = cached_folder("photos.tar", lambda out: write_tar(shards, dataset, out)) / "photos.tar"
    inputs: dict[str, Any] = {"shards": [str(shard) for shard in shards], "dataset": str(dataset)}
    ours, peer = alternate(1 if quick else 2, partial(child, loader, **inputs), lambda: child(open_clip, peer=True, tar=str(tar)))
    with_array = [{"cpu": run["each"] + run["making"] / EPOCHS} for run in ours]
    without_array = [{"cpu": run["each"]} for run in ours]
    for work, mine, target in (
        ("a batch, array made", without_array, ">= 4"),
        (f"the same, with 1/{EPOCHS} of making the array", with_array, ""),
    ):
        yield Row(
            work,
            f"{version('open_clip_torch')} transform over {version('webdataset')}",
            ratios(peer, mine),
            target,
            ours=f"{1 / median(mine):.0f} images/s",
            theirs=f"{1 / median(peer):.0f} images/s",
        )


def write_tar(shards: list[Path], dataset: Path, out: Path) -> None:
    """The training pictures and captions of *dataset* as webdataset has them, EPOCHS times."""
    from trainworks.photostock.curation import index

    rows = index.rows(dataset, "train")
    pictures = sorted(index.pictures(rows, shards))
    with tarfile.open(out / "photos.tar", "w") as file:
        for epoch in range(EPOCHS):
            for position, picture in pictures:
                for ending, content in (("jpg", picture), ("txt", rows["caption"][position].encode())):
                    entry = tarfile.TarInfo(f"{epoch:02d}{position:04d}.{ending}")
                    entry.size = len(content)
                    file.addfile(entry, BytesIO(content))


def loader(shards: list[str], dataset: str) -> Facts:
    """Ours: ``making`` the array, and ``each`` picture of EPOCHS epochs, in CPU seconds per picture."""
    import torch

    from trainworks.photostock.curation import index
    from trainworks.photostock.model.towers import normalise
    from trainworks.photostock.model.vocabulary import open_clip_tokenizer
    from trainworks.photostock.preprocessing.pixels import Preprocessing
    from trainworks.photostock.training.dataset import PairLoader, tokens
    from trainworks.photostock.training.knobs import TrainConfig
    from trainworks.photostock.training.pixel_array import pixel_array

    torch.set_num_threads(1)
    folder, config = Path(dataset), TrainConfig(augment_image="random_resized_crop(0.9, 1.0)", augment_text="", batch_size=BATCH)
    rows = index.rows(folder, "train")
    encode = tokens(open_clip_tokenizer(ARCHITECTURE)[0])
    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.25)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pixels"
        making, array = timed(lambda: pixel_array(rows, data.paths(shards), Preprocessing(f"shortest({SIZE}) > center_crop({SIZE})"), path))
        pairs = PairLoader(rows, array, encode, index.prompt(folder), config)

        batches = (batch for _ in range(EPOCHS) for batch in pairs)

        spent, count = timed(lambda: sum(len(normalise(batch.image, mean, std)) for batch in batches))
    return {"cpu": spent["cpu"] / count, "each": spent["cpu"] / count, "making": making["cpu"] / len(rows)}


def open_clip(tar: str) -> Facts:
    """The peer, per picture."""
    import open_clip
    import torch
    import webdataset

    torch.set_num_threads(1)
    transform = open_clip.image_transform(SIZE, is_train=True, mean=(0.5,) * 3, std=(0.25,) * 3)
    tokenizer = open_clip.get_tokenizer(ARCHITECTURE)
    batches = (
        webdataset.WebDataset(tar, shardshuffle=False)
        .shuffle(100)
        .decode("pilrgb")
        .rename(image="jpg;png;jpeg;webp", text="txt")
        .map_dict(image=transform, text=lambda text: tokenizer(text)[0])
        .to_tuple("image", "text")
        .batched(BATCH)
    )
    spent, count = timed(lambda: sum(len(images) for images, _ in batches))
    return {name: value / count for name, value in spent.items()}
