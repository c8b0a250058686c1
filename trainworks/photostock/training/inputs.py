"""What fine-tuning reads: pairs and gallery as pixels and token ids, or as the features of a tower that never learns."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from trainworks import code, sampling
from trainworks.photostock.curation import index
from trainworks.photostock.model import towers, tune
from trainworks.photostock.preprocessing import pixels
from trainworks.photostock.training import changes, locked, samples
from trainworks.photostock.training.dataset import Encode, Gallery, PairLoader, from_features, require_a_batch, tokens
from trainworks.photostock.training.knobs import Precision, TrainConfig
from trainworks.photostock.training.loss_terms import terms
from trainworks.photostock.training.pixel_array import pixel_array
from trainworks.storage import manifest, store
from trainworks.training.ranks import ALONE, Rank

SPLITS = ("train", "val")
CHANGED = "changed"
"""The pictures of ``train`` once more, each after a change that must not matter."""

FEATURES = (locked.__name__, pixel_array.__module__, changes.__name__)
"""What makes the features that are kept."""


class Inputs:
    """The training ``pairs`` and the validation ``gallery`` of a dataset.

    Features of a locked tower are kept among the stage outputs, under what they are made from: the next experiment on the
    same tower does not make them again. Pictures lie in *scratch*: ranks that are given the same only map them.
    """

    def __init__(
        self,
        model: towers.Towers,
        untouched: Path,
        dataset: Path,
        shards: list[Path],
        config: TrainConfig,
        scratch: Path,
        rank: Rank = ALONE,
    ):
        self.model, self.shards, self.config, self.scratch = model, shards, config, scratch
        self.tower_key = [manifest.digest(untouched), config.precision.value, torch.__version__, code.digest(*FEATURES)]
        self.image_key = [manifest.digest(dataset), config.image]
        self.preprocessing = pixels.Preprocessing(config.image)
        self.rows = {split: index.rows(dataset, split) for split in SPLITS}
        require_a_batch(len(self.rows["train"]), config.batch_size)  # before features are made of them for minutes
        with_tags, with_changes = (term in terms(config.loss) for term in ("tags", "invariance"))
        if with_changes:
            self.rows[CHANGED] = self.rows["train"]
        images, encode = self._images(), self._encode(with_tags, with_changes)
        pairs = self.rows["train"], images["train"], encode, index.prompt(dataset)
        self.pairs = PairLoader(*pairs, config, with_tags, rank, images.get(CHANGED))
        self.gallery = Gallery(self.rows["val"], images["val"], encode, config.batch_size)

    def samples(self) -> list[samples.Sample]:
        """Some training pairs as they enter the model in the first epoch, the pictures as pixels."""
        chosen = sampling.order(len(self.rows["train"]), self.config.seed, epoch=1)[: samples.COUNT]
        rows = self.rows["train"].iloc[chosen].reset_index(drop=True)
        pictures = self._pixels(rows, "samples")
        pairs = [self.pairs.pair(k, 1, pictures[n]) for n, k in enumerate(chosen)]
        return [samples.Sample(name, text, image) for name, (image, text) in zip(rows["id"], pairs, strict=True)]

    def _images(self) -> dict[str, np.ndarray]:
        if self.config.augment_image.strip() or not self._is_locked("image"):
            return {split: self._pixels(rows, split) for split, rows in self.rows.items()}
        return {split: self._kept("image", [*self.image_key, split], partial(self._image_features, split)) for split in self.rows}

    def _image_features(self, split: str) -> np.ndarray:
        return locked.image_features(self.model, self._pixels(self.rows[split], split), self._autocast())

    def _encode(self, with_tags: bool, with_changes: bool) -> Encode:
        augment = self.config.augment_text.strip()
        if augment not in ("", "sample_field") or not self._is_locked("text"):
            return tokens(self.model.tokenizer)
        train = self.rows["train"]
        texts = {*train["caption"]}
        if augment:
            texts.update(text for record_texts in train["texts"] for text in record_texts)
        if with_changes:
            texts.update([changes.text(text) for text in texts])
        if with_tags:
            texts.update(tag for tags in train["tags"] for tag in tags)
        texts.update(self.rows["val"]["caption"])
        ordered = sorted(texts, key=lambda text: (len(text), text))  # of like length, so that little padding is computed
        return from_features(ordered, self._kept("text", ordered, lambda: locked.text_features(self.model, ordered, self._autocast())))

    def _is_locked(self, tower: str) -> bool:
        model = self.model.model
        return locked.has_separate_head(model, tower) and tune.is_frozen(model, self.config.tune, tower)

    def _pixels(self, rows: pd.DataFrame, name: str) -> np.ndarray:
        change = {"change": changes.picture} if name == CHANGED else {}
        return pixel_array(rows, self.shards, self.preprocessing, self.scratch / f"{name}.pixels", **change)

    def _kept(self, tower: str, inputs: list[str], make: Callable[[], np.ndarray]) -> np.ndarray:
        """The features of *inputs* by the untouched *tower*, made unless they are among the stage outputs."""
        key = hashlib.sha256(json.dumps([self.tower_key, inputs]).encode()).hexdigest()[:20]
        folder = store.remember("features", f"{key}-{tower}", lambda out: np.save(out / "features.npy", make()))
        return np.load(folder / "features.npy", mmap_mode="r")

    def _autocast(self) -> torch.autocast:
        return torch.autocast(locked.device().type, torch.bfloat16, enabled=self.config.precision is Precision.BF16)
