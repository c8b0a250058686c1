"""Order and chance as pure functions of (seed, epoch, item): a run that stops can go on exactly where it was."""

import zlib

import numpy as np


def order(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which *epoch* visits *n* items, int64 (n,)."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def chance(seed: int, epoch: int, item: str) -> np.random.Generator:
    """The source of every random choice about *item* in *epoch*, whatever came before it."""
    return np.random.default_rng([seed, epoch, zlib.crc32(item.encode())])
