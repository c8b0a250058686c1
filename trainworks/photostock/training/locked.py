"""A locked tower encodes each input once: its features before the head are kept, and only the head trains on them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainworks.photostock.model import trim
from trainworks.photostock.model.towers import Towers, normalise
from trainworks.progress import Bar

BATCH = 64

_HEADS = {"image": ("visual.head", "visual.proj"), "text": ("text.proj", "text.text_projection", "text_projection")}


def device() -> torch.device:
    """The device on which features are made: the one on which Lightning trains, a GPU if the machine has one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_separate_head(model: Any, tower: str) -> bool:
    """Whether the last projection of the *tower* (image or text) can be taken off; the attention pooling of a ResNet cannot."""
    return _head(model, tower) is not None


def project(model: Any, tower: str, features_BF: Tensor) -> Tensor:
    """The *tower*'s embeddings (B, D), L2-normalised, of its features before the head."""
    owner, name = _head(model, tower)  # type: ignore[misc]
    head = getattr(owner, name)
    return nn.functional.normalize(features_BF @ head if isinstance(head, nn.Parameter) else head(features_BF), dim=-1)


def image_features(towers: Towers, pixels: np.ndarray, autocast: torch.autocast) -> np.ndarray:
    """float32 (n, F) of uint8 *pixels* (n, size, size, 3), in their order."""
    mean, std = (torch.tensor(value, device=device()) for value in (towers.mean, towers.std))

    def encode(rows: slice) -> Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(pixels[rows])).to(device())
        return towers.model.encode_image(normalise(batch, mean, std))

    return _features(towers.model, "image", encode, len(pixels), autocast)


def text_features(towers: Towers, texts: list[str], autocast: torch.autocast) -> np.ndarray:
    """float32 (n, F) of *texts*, in their order."""

    def encode(rows: slice) -> Tensor:
        ids = torch.tensor([encoding.ids for encoding in towers.tokenizer.encode_batch(texts[rows])])
        return trim.encode_text(towers.model, ids.to(device()), normalize=False)

    return _features(towers.model, "text", encode, len(texts), autocast)


@torch.no_grad()
def _features(model: Any, tower: str, encode: Callable[[slice], Tensor], n: int, autocast: torch.autocast) -> np.ndarray:
    training = model.training
    model.eval().to(device())
    with _without_head(model, tower), autocast:
        starts = Bar(range(0, n, BATCH), f"{tower} features")
        batches = [encode(slice(start, start + BATCH)).float().cpu().numpy() for start in starts]
    model.train(training).cpu()
    return np.concatenate(batches)


@contextmanager
def _without_head(model: Any, tower: str) -> Iterator[None]:
    owner, name = _head(model, tower)  # type: ignore[misc]
    head = getattr(owner, name)
    setattr(owner, name, None if isinstance(head, nn.Parameter) else nn.Identity())
    try:
        yield
    finally:
        setattr(owner, name, head)


def _head(model: Any, tower: str) -> tuple[Any, str] | None:
    """The module that owns the head of *tower*, and the attribute's name; None where the tower has no head of its own."""
    for path in _HEADS[tower]:
        *parents, name = path.split(".")
        owner = model
        for parent in parents:
            owner = getattr(owner, parent, None)
        if getattr(owner, name, None) is not None:
            return owner, name
    return None
