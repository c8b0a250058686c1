"""How a comparison is made: each side in a process of its own, in turn (A B A B …), CPU and wall time, medians and spread."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

HOUSE = Path(__file__).parent.parent
SCRATCH = Path(__file__).parent / ".scratch"
PEERS = Path(__file__).parent / ".venv" / "bin"
"""Where the peers are installed; their environment sees the packages of ours, so that both sides use one torch and one Pillow."""

_CHILD = """
import importlib, json, sys
from benchmarks.harness import peak
module, function, arguments, answer = sys.argv[1:]
facts = getattr(importlib.import_module(module), function)(**json.loads(arguments))
facts["peak"] = peak()
open(answer, "w").write(json.dumps(facts))
"""

Facts = dict[str, Any]
"""Measurements of a run: ``cpu`` and ``wall`` in seconds, ``peak`` in bytes of resident memory, and what else the function returns."""


@dataclass(frozen=True)
class Row:
    """One line of the page. *ratios* has one number per repeat, or a single one where nothing is repeated."""

    work: str
    peer: str
    """The program, with its version, or the limit."""
    ratios: Sequence[float]
    """Peer's cost over ours (target ≥) or ours over the limit's (target ≤)."""
    target: str
    """``>= 3`` or ``<= 1.5``; empty where the row is for comparison only."""
    of: str = "CPU"
    """What the ratio is of: CPU, wall, or another unit."""
    ours: str = ""
    theirs: str = ""
    note: str = ""

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.ratio >= float(bound) if sign == ">=" else self.ratio <= float(bound)


def timed(work: Callable[[], Any]) -> tuple[Facts, Any]:
    """The cost of *work*, all threads and finished children included, and its result."""
    cpu, wall = _cpu(), time.perf_counter()
    result = work()
    return {"cpu": _cpu() - cpu, "wall": time.perf_counter() - wall}, result


def child(function: Callable[..., Facts], *, peer: bool = False, threads: int = 1, **arguments: Any) -> Facts:
    """Call *function*, of a module of this package, in a process of its own; its arguments and its answer are JSON.

    *peer* runs it where the peers are installed. Every library gets *threads* threads.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        call = [function.__module__, function.__name__, json.dumps(arguments)]
        _run([python(peer), "-W", "ignore", "-c", _CHILD, *call, str(answer)], threads)
        return json.loads(answer.read_text())


def program(command: Sequence[object], *, threads: int = 1, environment: Mapping[str, str] | None = None) -> Facts:
    """Run a program from start to end; ``cpu`` is that of its whole tree of processes."""
    spent, _ = timed(lambda: _run([str(word) for word in command], threads, environment or {}))
    return spent


def alternate(repeats: int, *sides: Callable[[], Facts]) -> list[list[Facts]]:
    """Each of *sides* in turn, *repeats* times: for every side its runs."""
    runs_of: list[list[Facts]] = [[] for _ in sides]
    for _ in tqdm(range(repeats), "repeats", delay=2, leave=False):
        for runs, side in zip(runs_of, sides, strict=True):
            runs.append(side())
    return runs_of


def ratios(over: Sequence[Facts], under: Sequence[Facts], of: str = "cpu") -> list[float]:
    """*over* / *under*, repeat by repeat."""
    return [a[of] / b[of] for a, b in zip(over, under, strict=True)]


def median(runs: Sequence[Facts], of: str = "cpu") -> float:
    """The median of one fact."""
    return statistics.median(run[of] for run in runs)


def python(peer: bool) -> str:
    """The interpreter of one side."""
    return str(PEERS / "python") if peer else sys.executable


def version(package: str) -> str:
    """*package* and its version, as the peers have it."""
    from importlib.metadata import distributions, version

    installed = distributions(name=package, path=[str(path) for path in PEERS.parent.glob("lib/python*/site-packages")])
    return f"{package} {next((distribution.version for distribution in installed), None) or version(package)}"


def cached_folder(name: str, make: Callable[[Path], object]) -> Path:
    """The folder of toy data *name* in the scratch space, made on first use."""
    folder = SCRATCH / name
    if not folder.exists():
        draft = SCRATCH / f".{name}"
        draft.mkdir(parents=True)
        make(draft)
        draft.rename(folder)
    return folder


def peak() -> int:
    """Bytes this process had in memory at most; ``ru_maxrss`` would begin with its parent's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _run(command: list[str], threads: int, environment: Mapping[str, str] | None = None) -> None:
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")}
    tokenizers = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    child = subprocess.run(
        command, cwd=HOUSE, env={**os.environ, **limits, **tokenizers, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if child.returncode:
        shown = " ".join(word for word in command if word != _CHILD)[:300]
        raise RuntimeError(f"{shown} ended with {child.returncode}:\n{child.stdout[-1500:]}\n{child.stderr[-3000:]}")


def _cpu() -> float:
    times = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in times)
