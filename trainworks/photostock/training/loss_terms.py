"""The ``loss`` little language: what training minimises, as a weighted sum such as ``clip + 0.5*siglip + 0.2*distill``.

Parsed without torch, so that a mistake shows before a GPU is requested; :mod:`trainworks.photostock.training.losses` has the formulas.
"""

import math
import re

from trainworks.errors import LanguageError
from trainworks.grammar import require

TERMS = ("clip", "siglip", "distill", "tags", "invariance")

_NOT_ALONE = {"distill": "only holds the model where it is", "invariance": "is least where everything is embedded the same"}

_TERM = re.compile(r"\s*(?:(\d+(?:\.\d+)?(?:e-?\d+)?)\s*\*\s*)?([A-Za-z_]\w*)\s*")


def terms(text: str) -> dict[str, float]:
    """Parse ``clip + 0.5*siglip`` into ``{"clip": 1.0, "siglip": 0.5}``, in the order of *text*.

    Raises:
        LanguageError: an unknown or repeated term, a weight that is not above 0, or ``distill`` or ``invariance`` alone:
            the one has its minimum where training starts, the other where everything is embedded the same.
    """
    weights: dict[str, float] = {}
    position = 0
    while True:
        match = _TERM.match(text, position)
        if not match:
            raise LanguageError(
                "loss", text, position, f"expected a term such as clip or 0.5*siglip, found {text[position : position + 12]!r}"
            )
        name, weight = match[2], float(match[1] or 1)
        require("loss", text, match.start(2), name, TERMS)
        if name in weights:
            raise LanguageError("loss", text, match.start(2), f"{name!r} stands here a second time; give it one weight")
        if not 0 < weight < math.inf:
            raise LanguageError("loss", text, match.start(1), f"expected a finite weight above 0, found {match[1]}")
        weights[name] = weight
        position = match.end()
        if position == len(text):
            break
        if text[position] != "+":
            raise LanguageError(
                "loss", text, position, f"expected '+' between two terms, as in clip + 0.5*siglip, found {text[position]!r}"
            )
        position += 1
    for name, why in _NOT_ALONE.items():
        if list(weights) == [name]:
            raise LanguageError("loss", text, text.index(name), f"{name} {why}: add clip, siglip or tags")
    return weights
