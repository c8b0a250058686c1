"""Tasks for people, prepared from what two drawn models find among drawn pictures."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.photostock.toy_run import TITLES, ToyRun, a_run
from trainworks.photostock.evaluation import found, ranking
from trainworks.photostock.judging.prepare import prepare
from trainworks.storage import manifest

ASKED = {"title": TITLES, "single tag": [f"tag {i}" for i in range(9)], "search": ["<b>a & b</b>", "=SUM(A1)", "sea"]}


def a_model(seed: int) -> found.Model:
    """Embeddings drawn at random: its answers, and where the right ones stand."""
    draw = np.random.default_rng(seed)
    images = draw.normal(size=(len(TITLES), 8))
    texts = {kind: draw.normal(size=(len(queries), 8)) for kind, queries in ASKED.items()}
    right = {kind: [np.array([number]) for number in range(len(ASKED[kind]))] for kind in ("title", "single tag")}
    return found.Model(images, texts, {kind: ranking.retrieve(texts[kind], images, right[kind]).rank for kind in right})


def evaluated(folder: Path, model: int = 1, other: int = 2) -> ToyRun:
    """A run whose evaluation kept what the drawn models number *model* and *other* find."""
    run = a_run(folder, TITLES)
    ids = [f"p{i:03d}" for i in range(len(TITLES))]
    pq.write_table(found.table(ASKED, ids, a_model(model), a_model(other)), run["metrics"] / found.FILE)
    return run


def prepared(folder: Path, seed: int = 1, **models: int) -> Path:
    """The folder of tasks, as the stage leaves it."""
    run, out = evaluated(folder / "run", **models), folder / "out"
    out.mkdir()
    prepare(run["metrics"], run["dataset"], run["shards"], seed, out)
    manifest.write(out)
    return out


def content(folder: Path) -> tuple[dict, dict]:
    """``tasks.json`` and ``key.json``."""
    return json.loads((folder / "judging" / "tasks.json").read_bytes()), json.loads((folder / "key.json").read_bytes())
