"""``python -m benchmarks [--quick] [--full] [--only NAME …]``: runs the rows and writes ``RESULTS.md``; rows not run keep their results."""

import argparse
import importlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks import results
from benchmarks.harness import SCRATCH

SECTIONS = (
    "training",
    "input_pipeline",
    "prepare",
    "near_duplicates",
    "curate",
    "retrieval",
    "serving",
    "transfer",
    "startup",
    "growth",
    "gpu",
)
FULL = ("budget", "serving_large")
"""Too long for every run."""

UNHURRIED = ("growth",)
"""Not run quickly: small sizes would tell nothing."""

KEPT = Path(__file__).parent / "results.json"


def main(words: Sequence[str] | None = None) -> None:
    """Run the chosen sections, telling each row as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one repeat: does it work, not how fast is it")
    parser.add_argument("--full", action="store_true", help="also the rows that take many minutes")
    parser.add_argument("--only", nargs="+", choices=(*SECTIONS, *FULL), help="these rows alone")
    chosen = parser.parse_args(words)
    for made_before in SCRATCH.glob("*"):
        if not made_before.name.startswith("photos-"):  # which nothing that is measured has made
            shutil.rmtree(made_before) if made_before.is_dir() else made_before.unlink()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    command = f"python -m benchmarks{' --quick' if chosen.quick else ''}"
    usual = [name for name in SECTIONS if not (chosen.quick and name in UNHURRIED)]
    for name in tqdm(chosen.only or (*usual, *(FULL if chosen.full else ())), "benchmarks"):
        kept[name] = _section(name, chosen.quick, f"{command}{' --full' if name in FULL else ''}")
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    (Path(__file__).parent / "RESULTS.md").write_text(results.page(kept, _told()))


def _section(name: str, quick: bool, command: str) -> dict[str, object]:
    start, rows = time.monotonic(), []
    for row in importlib.import_module(f"benchmarks.{name}").rows(quick):
        tqdm.write(results.line(row))
        rows.append(vars(row))
    return {"rows": rows, "command": command, "machine": results.machine(), "seconds": round(time.monotonic() - start)}


def _told() -> Mapping[str, str]:
    """What each section says of itself."""
    return {name: importlib.import_module(f"benchmarks.{name}").__doc__ or "" for name in (*SECTIONS, *FULL)}


if __name__ == "__main__":
    main()
