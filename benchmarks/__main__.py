"""``python -m benchmarks [--quick] [--full] [--only NAME …]``: run sections and write ``RESULTS.md``; others keep their results."""

import argparse
import importlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks import results
from benchmarks.harness import PEERS, SCRATCH

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
    "panel",
    "forecasting",
    "forecast_serving",
    "gpu",
)
FULL = ("budget", "serving_large")
"""Too long for every run."""

NOT_QUICK = ("growth",)
"""Not run by ``--quick``: at small sizes the result means nothing."""

BUILT = {"transfer": PEERS / "versitygw"}
"""What Go builds for a section; ``make bench`` does it where Go is, and goes without the section where it is not."""

RESULTS = Path(__file__).parent / "results.json"


def main(words: Sequence[str] | None = None) -> None:
    """Run the chosen sections, and print each row when it is measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one repeat: does it work, not how fast is it")
    parser.add_argument("--full", action="store_true", help="also the rows that take many minutes")
    parser.add_argument("--only", nargs="+", choices=(*SECTIONS, *FULL), help="these rows alone")
    chosen = parser.parse_args(words)
    for path in SCRATCH.glob("*"):
        if path.name.startswith("photos-"):  # made by no code that is measured
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    measured = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    command = f"python -m benchmarks{' --quick' if chosen.quick else ''}"
    usual = [name for name in SECTIONS if not (chosen.quick and name in NOT_QUICK)]
    for name in tqdm(chosen.only or (*usual, *(FULL if chosen.full else ())), "benchmarks"):
        if name in BUILT and not BUILT[name].exists():
            tqdm.write(f"{name} is left out: there is no {BUILT[name].name}, which `make bench` builds where Go is installed")
            continue
        measured[name] = _section(name, chosen.quick, f"{command}{' --full' if name in FULL else ''}")
        RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
    (Path(__file__).parent / "RESULTS.md").write_text(results.page(measured, _descriptions()))


def _section(name: str, quick: bool, command: str) -> dict[str, object]:
    start, rows = time.monotonic(), []
    for row in importlib.import_module(f"benchmarks.{name}").rows(quick):
        tqdm.write(results.line(row))
        rows.append(vars(row))
    return {"rows": rows, "command": command, "machine": results.machine(), "seconds": round(time.monotonic() - start)}


def _descriptions() -> Mapping[str, str]:
    """The docstring of each section's module."""
    return {name: importlib.import_module(f"benchmarks.{name}").__doc__ or "" for name in (*SECTIONS, *FULL)}


if __name__ == "__main__":
    main()
