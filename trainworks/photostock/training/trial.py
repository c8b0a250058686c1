"""What a sweep needs to know of PhotoStock: which knobs it may vary, and what a trial and its winner reached."""

import json
from collections.abc import Collection
from pathlib import Path

from trainworks.photostock.curation import subsample
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.report.page import percent
from trainworks.sweep.trials import Objective

OBJECTIVE = Objective("validation recall", "higher", "share")

EMBEDDING_KNOBS = ("backbone", "weights", "image", "seed")
"""Knobs that change what the untouched tower makes of a picture."""


def check(varied: Collection[str], data: DataConfig) -> None:
    """Refuse to vary what would change the pictures that trials are compared on.

    Raises:
        ValueError: curation needs embeddings, and the knobs *varied* change them.
    """
    changed = [name for name in EMBEDDING_KNOBS if name in varied]
    if changed and subsample.needs_embeddings(data.subsample):
        raise ValueError(
            f"--subsample = {data.subsample!r}: keeps pictures by the untouched backbone's embeddings, so trials of "
            f"different {' or '.join(changed)} would be measured on different pictures; "
            f"take {' and '.join(changed)} out of the space or that step out"
        )


def validation(checkpoint: Path) -> float:
    """The validation recall, 0 to 1, of the weights in *checkpoint*: what early stopping watches."""
    history = json.loads((checkpoint / "history.json").read_text())
    mixture = checkpoint / "mixture.json"
    rows = json.loads(mixture.read_text()) if mixture.exists() else [row for row in history if row["best"]]
    return max(row["val_recall"] for row in rows)


def tested(metrics: Path) -> tuple[float, str]:
    """Text-to-image R@10 by caption on the test gallery, 0 to 1; and the same in words, beside the untouched backbone's."""
    measured = json.loads((metrics / "metrics.json").read_text())
    after, before = (measured[model]["text_to_image"]["R@10"] for model in ("finetuned", "baseline"))
    return after, f"test R@10 {percent(after)} (untouched {percent(before)})"
