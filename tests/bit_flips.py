"""Files with one bit that is another."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

FLIPS = 200


def flipped(path: Path) -> Iterator[int]:
    """*path* with one random bit flipped, 200 times; then it is as it was."""
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for bit in rng.integers(8 * len(whole), size=FLIPS):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << int(bit % 8)
        path.write_bytes(damaged)
        yield int(bit)
    path.write_bytes(whole)
