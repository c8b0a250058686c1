"""The ``average`` little language: which weights are kept, those of an epoch or an average that forgets less."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from trainworks.errors import LanguageError
from trainworks.grammar import calls

if TYPE_CHECKING:
    from torch import Tensor

SHARES = tuple(k / 10 for k in range(1, 11))
"""Shares of the fine-tuned weights that WiSE-FT tries."""


class Average(NamedTuple):
    """``ema`` is the decay per step of the exponential moving average, 0 for none; ``wise`` whether to interpolate at the end."""

    ema: float
    wise: bool


def parse(text: str) -> Average:
    """Read ``ema(0.99) > wise``, either alone, or nothing.

    ``ema(x)``  validation and checkpoints see an exponential moving average of the weights, which keeps x of itself every step
    ``wise``    at the end, weights between the untouched and the fine-tuned ones, in the share of best validation recall
                (WiSE-FT, Wortsman et al. 2021, arXiv 2109.01903, equation 1)

    Raises:
        LanguageError: an unknown step, a wrong argument, or wise before ema.
    """
    ema, wise = 0.0, False
    for call in calls("average", text, ("ema", "wise")) if text.strip() else ():
        if call.name == "wise":
            if call.args or wise:
                raise LanguageError("average", text, call.position, "wise comes once and takes no argument")
            wise = True
        elif wise or ema:
            raise LanguageError("average", text, call.position, "ema comes once, and before wise")
        elif len(call.args) != 1 or isinstance(call.args[0], str) or not 0 < call.args[0] < 1:
            raise LanguageError("average", text, call.position, f"ema takes one decay between 0 and 1 such as 0.99, got {call.args}")
        else:
            ema = call.args[0]
    return Average(ema, wise)


def interpolate(
    start: Mapping[str, "Tensor"], end: Mapping[str, "Tensor"], recall: Callable[[Mapping[str, "Tensor"]], float]
) -> tuple[dict[str, "Tensor"], list[dict[str, float]]]:
    """Between two sets of weights, those of the best *recall*, and a row ``share``, ``val_recall`` for every share tried.

    θ(share) = (1 − share) · θ_start + share · θ_end; of equal recalls the smallest share wins, since it forgets least.
    """
    rows = [{"share": share, "val_recall": recall(mixed(start, end, share))} for share in SHARES]
    best = max(rows, key=lambda row: (row["val_recall"], -row["share"]))
    return mixed(start, end, best["share"]), rows


def mixed(start: Mapping[str, "Tensor"], end: Mapping[str, "Tensor"], share: float) -> dict[str, "Tensor"]:
    """(1 − *share*) · *start* + *share* · *end*; counters are those of *end*."""
    return {name: start[name].lerp(value, share) if value.is_floating_point() and name in start else value for name, value in end.items()}
