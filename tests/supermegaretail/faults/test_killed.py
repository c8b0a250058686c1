"""A backtest and a fit that were killed and run again make the very model of those that were not, and make nothing twice."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.supermegaretail.models.priced_panel import draw_priced
from trainworks.storage import manifest, store

PROGRAM = Path(__file__).with_name("toy_stages.py")
KILLED = -9
DEATHS = 10


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Run ``toy_stages`` in an artifact root of that name; gives the root, and how it ended."""
    base = tmp_path_factory.mktemp("killed")
    (base / "panel").mkdir()
    draw_priced().take(np.arange(0, 30, 3)).save(base / "panel")
    manifest.write(base / "panel")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, PROGRAM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def stages(name: str, die=None) -> tuple[Path, int]:
            root = base / name
            root.mkdir(exist_ok=True)
            print(json.dumps({"panel": str(base / "panel"), "root": str(root), "die": die}), file=process.stdin, flush=True)
            return root, int(process.stdout.readline())

        yield stages
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(stages) -> tuple[dict, int, float]:
    """The files of the model by their digests, how many changes of files it took, and seconds, where nobody killed it."""
    stages("first")  # imports
    began = time.monotonic()
    root, status = stages("whole")
    assert status == 0
    return model(root), json.loads((root / "end.json").read_text())["files"], time.monotonic() - began


def model(root: Path) -> dict:
    """Its files by their digests."""
    return manifest.read(Path(json.loads((root / "end.json").read_text())["model"]))["files"]


def finished(root: Path) -> dict[Path, int]:
    """Every whole output below *root*, with the inode of its manifest, which another making would not have."""
    return {path.parent: path.stat().st_ino for path in root.glob("stages/*/[!.]*/manifest.json") if store.is_whole(path.parent)}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["file", "time"])
def test_after_kill_9_finished_parts_stay_and_the_model_is_the_same(stages, whole, what):
    """Ten at a random change of a file, ten at a random moment: in a chain of deaths until the model is there, and then in the next."""
    files, changes, seconds = whole
    rng = np.random.default_rng(7)
    deaths, chain, kept = 0, 0, 0
    while deaths < DEATHS:
        chain += 1
        status, before = KILLED, {}
        while status == KILLED:
            when = int(rng.integers(1, changes // 2)) if what == "file" else float(rng.uniform(0, seconds / 2))
            root, status = stages(f"{what}-{chain}", [what, when] if deaths < DEATHS else None)
            deaths += status == KILLED
            after = finished(root)
            assert before.items() <= after.items(), "made again"
            before, kept = after, kept + len(before)
        assert status == 0 and model(root) == files
    assert deaths == DEATHS and kept > DEATHS
