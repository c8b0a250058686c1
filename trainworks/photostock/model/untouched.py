"""The backbone as it comes: where fine-tuning starts, and what it must beat."""

from pathlib import Path

from trainworks.photostock.model import towers
from trainworks.photostock.preprocessing.pixels import Preprocessing


def untouched(backbone: str, weights: str, image: str, seed: int, out: Path) -> None:
    """Write the towers of *backbone* with its *weights* to *out*, built for the square that the preprocessing *image* ends in.

    Raises:
        WeightsError: as ``towers.load``.
    """
    towers.save(towers.load(backbone, weights, Preprocessing(image).size, seed), out)
