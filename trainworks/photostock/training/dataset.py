"""The curated dataset as training reads it: batches of pictures and texts, pairs and gallery in a fixed order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tokenizers import Tokenizer
from torch import Tensor, from_numpy

from trainworks import sampling
from trainworks.errors import DataError
from trainworks.photostock.augmentation.augment_image import Augmentation
from trainworks.photostock.augmentation.augment_text import TextAugmentation
from trainworks.photostock.preprocessing.text import Prompt
from trainworks.photostock.training import changes
from trainworks.photostock.training.knobs import Pairs, TrainConfig
from trainworks.training.ranks import ALONE, Rank

Encode = Callable[[Sequence[str]], Tensor]
"""Texts to the text tower's input: token ids int64 (n, context), or float32 (n, F) features if it is locked."""


class Tags(NamedTuple):
    """Single tags of a batch: the text tower's input for T of them, and which picture has which, bool (B, T).

    Of several ranks, each has ⌈T/ranks⌉ texts: one after the other they are the T tags, and then again the first.
    """

    text: Tensor
    has: Tensor


class Changed(NamedTuple):
    """The pictures and texts of a batch after a change that must not matter, in the form and order that they have there."""

    image: Tensor
    text: Tensor


class Batch(NamedTuple):
    """B pairs: uint8 pixels (B, size, size, 3) or float32 features (B, F); texts as ``Encode`` gives them; int64 (B,) that numbers
    equal texts. Of several ranks, each has its part of images and texts, and the numbers of all."""

    image: Tensor
    text: Tensor
    caption: Tensor
    tags: Tags | None = None
    changed: Changed | None = None


def tokens(tokenizer: Tokenizer) -> Encode:
    """Texts to the token ids of *tokenizer*."""
    return lambda texts: from_numpy(np.array([encoding.ids for encoding in tokenizer.encode_batch(list(texts))], np.int64))


def from_features(texts: list[str], features: np.ndarray) -> Encode:
    """An ``Encode`` that takes each text's row of *features*, which are those of *texts* in this order."""
    row_of = {text: row for row, text in enumerate(texts)}
    return lambda batch_texts: from_numpy(features[[row_of[text] for text in batch_texts]])


def batch(images: np.ndarray, texts: Sequence[str], encode: Encode, rank: Rank = ALONE) -> Batch:
    """One batch of *images* (pixels or features), of which *rank* has its part, and all *texts*."""
    caption = np.unique(texts, return_inverse=True)[1].astype(np.int64)
    return Batch(from_numpy(np.require(images, requirements=["C", "W"])), encode(texts[rank.part(len(texts))]), from_numpy(caption))


class Gallery:
    """Held-out pictures with their captions, in order, in batches of at most *size*."""

    def __init__(self, rows: pd.DataFrame, images: np.ndarray, encode: Encode, size: int):
        self.captions, self.images, self.encode, self.size = list(rows["caption"]), images, encode, size

    def __len__(self) -> int:
        return -(-len(self.captions) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.captions), self.size):
            rows = slice(start, start + self.size)
            yield batch(self.images[rows], self.captions[rows], self.encode)


def require_a_batch(pictures: int, batch_size: int) -> None:
    """Refuse to train on fewer *pictures* than a batch takes.

    Raises:
        DataError: with a size that they fill.
    """
    if pictures < batch_size:
        raise DataError(
            f"{pictures} training pictures are fewer than --batch_size = {batch_size}: lower it, such as to "
            f"--batch_size {2 ** (pictures.bit_length() - 1)}, or bring more pictures"
        )


class PairLoader:
    """The training pairs of one epoch after another, in full batches.

    Order, choice of text and augmentation are pure functions of (seed, epoch, id); each picture
    is paired with one text, drawn anew every epoch. The last batch is filled up from the start of the same order, so
    that no picture is left out and InfoNCE always sees as many negatives. With *with_tags* every picture that has tags
    also draws one of them. With *changed*, the *images* after a change, every pair also comes changed, and augmented alike.
    ``given`` counts the batches of all epochs: a new loader that starts from it goes on with the next.
    Each *rank* gets its part of every batch, of ``batch_size`` pairs together.

    Raises:
        DataError: fewer training pictures than one batch holds.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        images: np.ndarray,
        encode: Encode,
        prompt: Prompt,
        config: TrainConfig,
        with_tags: bool = False,
        rank: Rank = ALONE,
        changed: np.ndarray | None = None,
    ):
        require_a_batch(len(rows), config.batch_size)
        self.ids: list[str] = list(rows["id"])
        self.records: list[dict[str, Any]] = rows.to_dict("records")  # type: ignore[assignment]
        if config.pairs is Pairs.SHUFFLED:
            order = sampling.order(len(rows), config.seed, epoch=0)
            self.records = [self.records[row] for row in order]
        self.images, self.encode, self.config, self.with_tags, self.rank, self.changed = images, encode, config, with_tags, rank, changed
        self.augment_image, self.augment_text = Augmentation(config.augment_image), TextAugmentation(config.augment_text, prompt)
        self.given = 0

    def __len__(self) -> int:
        return -(-len(self.ids) // self.config.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epochs_done, first_batch = divmod(self.given, len(self))
        epoch = epochs_done + 1
        for members in self._members(epoch)[first_batch:]:
            self.given += 1
            own = self.rank.part(len(members))
            rngs = [self._rng(row, epoch) for row in members]
            texts = [self._text(row, rng) for row, rng in zip(members, rngs, strict=True)]
            images = [self.augment_image.apply(self.images[row], rng) for row, rng in zip(members[own], rngs[own], strict=True)]
            tags = self._tags(members, epoch) if self.with_tags else None
            changed = None if self.changed is None else self._changed(members[own], texts[own], epoch, self.changed)
            yield batch(np.stack(images), texts, self.encode, self.rank)._replace(tags=tags, changed=changed)

    def state_dict(self) -> dict[str, int]:
        """The position of the loader: the number of batches it has given."""
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from the position of *state*."""
        self.given = state["given"]

    def ids_of(self, step: int) -> list[str]:
        """The pictures of the batch that follows *step* others, counted over all epochs."""
        epochs_done, batch_number = divmod(step, len(self))
        return [self.ids[row] for row in self._members(epochs_done + 1)[batch_number]]

    def _members(self, epoch: int) -> np.ndarray:
        """Positions of an *epoch*'s pictures, int64 (batches, batch_size)."""
        size = self.config.batch_size
        return np.resize(sampling.order(len(self.ids), self.config.seed, epoch), len(self) * size).reshape(-1, size)

    def pair(self, row: int, epoch: int, image: np.ndarray) -> tuple[np.ndarray, str]:
        """The picture of *row*, given as *image*, and its text as they enter the model in *epoch*."""
        rng = self._rng(row, epoch)
        text = self._text(row, rng)
        return self.augment_image.apply(image, rng), text

    def _rng(self, row: int, epoch: int) -> np.random.Generator:
        return sampling.chance(self.config.seed, epoch, self.ids[row])

    def _text(self, row: int, rng: np.random.Generator) -> str:
        return self.augment_text.draw(self.records[row], rng)

    def _changed(self, members: np.ndarray, texts: list[str], epoch: int, images: np.ndarray) -> Changed:
        augmented = np.stack([self.pair(row, epoch, images[row])[0] for row in members])
        return Changed(from_numpy(augmented), self.encode([changes.text(text) for text in texts]))

    def _tags(self, members: np.ndarray, epoch: int) -> Tags | None:
        tags_of_member = [list(self.records[row]["tags"]) for row in members]
        drawn = set()
        for row, tags in zip(members, tags_of_member, strict=True):
            if tags:
                rng = sampling.chance(self.config.seed, epoch, f"tag of {self.ids[row]}")
                drawn.add(tags[rng.integers(len(tags))])
        if not drawn:
            return None
        texts = sorted(drawn)
        has = np.array([[tag in tags for tag in texts] for tags in tags_of_member])
        share = -(-len(texts) // self.rank.of)
        own = [texts[k % len(texts)] for k in range(self.rank.number * share, (self.rank.number + 1) * share)]
        return Tags(self.encode(own), from_numpy(has))
