"""Runs side by side, from the manifests of their bundles: the knobs that differ, what was reached, what it cost.

A bundle may hold ``metrics.json`` (``finetuned`` → what was measured → the numbers of it, with their ``interval``, and
``paired`` → the same → differences from the untouched model) and ``history.json`` (a row of numbers per epoch).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from trainworks.errors import IntegrityError
from trainworks.intervals import wilson
from trainworks.release import gates, stored
from trainworks.release.stored import StoredBundle
from trainworks.report.page import Table, cell, curves, megabytes, render, seconds

METRICS = ("R@1", "R@10", "MRR")
GAIN = "R@10"
"""The metric whose paired difference from the untouched model is shown."""

METRICS_FILE, HISTORY_FILE = "metrics.json", "history.json"
_WIDEST = 28
"""Characters of a column on the terminal; longer cells go on in the next line."""


@dataclass(frozen=True)
class Run:
    """What one bundle says of the run that made it; *history* is empty where the bundle has none."""

    place: str
    facts: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """The name of the bundle's folder: the version, in a release."""
        return self.place.rstrip("/").rpartition("/")[2]


def runs(places: Iterable[str]) -> list[Run]:
    """The runs behind *places*: bundles, or releases (all their versions), in local folders or on ``s3://``.

    Only the small files are read, each checked against the manifest.

    Raises:
        IntegrityError: a place is no bundle and no release, or one of these files is missing or damaged.
        ValueError: no place at all.
    """
    found = [_run(bundle) for place in places for bundle in stored.versions(place)]
    if not found:
        raise ValueError("nothing to compare: name at least one bundle or release folder")
    return found


def table(runs: Sequence[Run]) -> Table:
    """A column for each run; a row for each knob, commit or data that differs, for each metric, and for the cost.

    A metric is followed by its 95 % interval; where an older bundle states none, a recall has Wilson's.
    """
    rows: list[list[object]] = [
        *_differing("knob", [run.facts["config"] for run in runs]),
        *_differing("", [{name: str(run.facts.get(name))[:12] for name in ("commit", "data")} for run in runs]),
        *_measured(runs),
        ["gates", *(gates.in_short(run.facts.get("verdict", {})) for run in runs)],
        ["encoders", *(megabytes(sum(_onnx_sizes(run))) for run in runs)],
    ]
    times = [sum(run.facts["seconds"].values()) if "seconds" in run.facts else None for run in runs]
    if any(time is not None for time in times):
        rows.append(["time, all stages", *(None if time is None else seconds(time) for time in times)])
    head = ["", *(f"run {number}" for number in range(1, len(runs) + 1))]
    return Table("What differs, and what came of it", head, [[cell(value) for value in row] for row in rows])


def warnings(runs: Sequence[Run]) -> list[str]:
    """Reasons not to take the numbers of *runs* for comparable, in words."""
    if len({run.facts.get("data") for run in runs}) > 1:
        return ["Not all runs were measured on the same data: their metrics cannot be compared one to one."]
    return []


def terminal(runs: Sequence[Run]) -> str:
    """The comparison as lines of text."""
    shown = table(runs)
    cells = [[wrap(cell(value), _WIDEST) or [""] for value in row] for row in (shown.head, *shown.rows)]
    lines = [line for row in cells for line in zip_longest(*row, fillvalue="")]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    names = [f"run {number}  {run.name}  ({run.place})" for number, run in enumerate(runs, 1)]
    body = ["  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*names, "", *body, *("\n" + warning for warning in warnings(runs))])


def page(runs: Sequence[Run]) -> str:
    """The comparison as one self-contained HTML page, with the learning curves of the runs that have a history."""
    return render(
        "release/compare.html",
        runs=Table(
            "The runs",
            ["Run", "Version", "Made", "Commit", "Place"],
            [
                [f"run {number}", run.name, str(run.facts.get("created")), str(run.facts.get("commit"))[:12], run.place]
                for number, run in enumerate(runs, 1)
            ],
        ),
        comparison=table(runs),
        warnings=warnings(runs),
        charts=list(_charts(runs)),
        without=[f"run {number}" for number, run in enumerate(runs, 1) if not run.history],
    )


def _differing(kind: str, settings: Sequence[dict[str, Any]]) -> Iterator[list[object]]:
    """A row for each setting that is not the same in all runs; one that a run does not know is a dash."""
    for name in sorted({name for known in settings for name in known}):
        values = [known.get(name) for known in settings]
        if any(value != values[0] for value in values):
            yield [f"{kind} {name}".strip(), *(f"{value:g}" if isinstance(value, float) else value for value in values)]


def _measured(runs: Sequence[Run]) -> Iterator[list[object]]:
    """The rows of the metrics, in the order in which they were measured."""
    for what in dict.fromkeys(what for run in runs for what in run.metrics.get("finetuned", {})):
        words = what.replace("_", " ")
        found = [run.metrics.get("finetuned", {}).get(what, {}) for run in runs]
        for metric in METRICS:
            if any(metric in numbers for numbers in found):
                yield [f"{words} {metric}", *(_with_interval(numbers, metric) for numbers in found)]
        gains = [run.metrics.get("paired", {}).get(what, {}).get(GAIN) for run in runs]
        if any(gains):
            yield [
                f"{words} {GAIN}, gain",
                *(_signed(gain) if gain else None for gain in gains),
            ]


def _signed(gain: dict[str, Any]) -> str:
    low, high = gain["interval"]
    return f"{gain['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"


def _with_interval(numbers: dict[str, Any], metric: str) -> str | None:
    if metric not in numbers:
        return None
    bounds = numbers.get("interval", {}).get(metric)
    if not bounds and metric.startswith("R@"):
        bounds = wilson(numbers[metric], numbers["queries"])
    return f"{numbers[metric]:.3f}" + (f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else "")


def _onnx_sizes(run: Run) -> Iterator[int]:
    return (entry["size"] for name, entry in run.facts["files"].items() if name.endswith(".onnx"))


def _charts(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """The name and the chart of each number that the histories follow, a line for each run."""
    told = {number: run.history for number, run in enumerate(runs, 1) if run.history}
    epochs = sorted({row["epoch"] for history in told.values() for row in history})
    columns = dict.fromkeys(name for history in told.values() for row in history for name in row if name not in ("epoch", "step"))
    for column in columns:
        series = {}
        for number, history in told.items():
            values = {row["epoch"]: row.get(column) for row in history}
            series[f"run {number}"] = [value if _is_number(value := values.get(epoch)) else None for epoch in epochs]
        if any(value is not None for values in series.values() for value in values):
            yield column, curves(f"{column} of each run over the epochs", epochs, series, step_name="epoch")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _run(bundle: StoredBundle) -> Run:
    facts = bundle.facts
    if not isinstance(facts.get("config"), dict):
        raise IntegrityError(f"{bundle.uri}: its manifest is not that of a bundle (it needs config and files); package the run again")
    return Run(bundle.uri, facts, bundle.json(METRICS_FILE) or {}, bundle.json(HISTORY_FILE) or [])
