"""Changes that must not matter: what the loss term ``invariance`` compares training pictures and texts with.

Always the same for the same picture or text, so that a locked tower embeds each once.
"""

import zlib

from PIL import Image

from trainworks import sampling
from trainworks.photostock.evaluation.perturbations import PICTURES, TEXTS


def picture(id: str, whole: Image.Image) -> Image.Image:
    """The picture *id* blurred, and with noise, each as strongly as the check of that name may; the id says how strongly."""
    rng = sampling.chance(0, 0, f"change of {id}")
    for change in (PICTURES["blur"], PICTURES["noise"]):
        whole = change.apply(whole, change.strengths[int(rng.integers(len(change.strengths)))])
    return whole


def text(whole: str) -> str:
    """*whole* with a typo."""
    return TEXTS["typos"].apply(whole, zlib.crc32(whole.encode()))
