"""A bundle of a pipeline that nobody runs, for tests of what the hall does with bundles."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainworks.release import bundle, gates
from trainworks.release.scores import Score, Scores

FACTS: dict[str, Any] = {
    "pipeline": "toy",
    "config": {},
    "commit": "c0ffee",
    "data": "d",
    "packages": {},
    "seed": 1,
    "seconds": {},
    "verdict": {"passed": True, "gates": []},
}


def metrics(accuracy: float = 0.5, **more: Any) -> str:
    """A ``metrics.json`` with one score; *more* entries are the room's own."""
    score = Score("accuracy", accuracy, (max(0.0, accuracy - 0.1), accuracy + 0.1), "higher", "share")
    return json.dumps(Scores("accuracy", (score,)).entries() | more)


def verdict(accuracy: float) -> dict[str, Any]:
    """Of one gate, which asks for an accuracy of 0.4."""
    return gates.verdict([gates.Gate("accuracy", accuracy, 0.4, "accuracy")])


def write(folder: Path, texts: Mapping[str, str], files: Mapping[str, Path] | None = None, **facts: Any) -> Path:
    """A bundle of *texts* and *files* with the toy metrics and FACTS, unless *texts* and *facts* say otherwise."""
    bundle.write(folder, files or {}, {"metrics.json": metrics()} | dict(texts), FACTS | facts)
    return folder
