"""Runs side by side, from the small files of their bundles: the knobs that differ, what was reached, what it cost.

What was reached are the scores in ``metrics.json`` (`trainworks.release.scores`), whatever the pipeline. A bundle may also hold
``history.json``: rows of numbers, one per epoch or step, whose columns become learning curves.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from trainworks.errors import IntegrityError
from trainworks.release import gates, pairs, scores, stored
from trainworks.release.scores import Score, Scores
from trainworks.release.stored import StoredBundle
from trainworks.report.page import Table, cell, curves, megabytes, render, seconds

if TYPE_CHECKING:
    from markupsafe import Markup

HISTORY_FILE = "history.json"
AXES = ("epoch", "step")
"""Columns of a history that curves can be drawn over."""

_WIDEST = 28
"""Characters of a column on the terminal; longer cells go on in the next line."""


@dataclass(frozen=True)
class Run:
    """What one *bundle* says of the run that made it.

    *scores* are None in a bundle that was made before bundles had them, *history* is empty and *cases* are None where
    there are none.
    """

    bundle: StoredBundle
    scores: Scores | None
    history: list[dict[str, Any]]
    cases: dict[str, Any] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the bundle's manifest says."""
        return self.bundle.facts


def runs(places: Iterable[str]) -> list[Run]:
    """The runs behind *places*: bundles, or releases (all their versions), in local folders or on ``s3://``.

    Only the small files are read, each checked against the manifest.

    Raises:
        IntegrityError: a place is no bundle and no release, or one of these files is missing, damaged or malformed.
        ValueError: no place at all.
    """
    every_run = [_run(bundle) for place in places for bundle in stored.versions(place)]
    if not every_run:
        raise ValueError("nothing to compare: name at least one bundle or release folder")
    return every_run


def table(runs: Sequence[Run]) -> Table:
    """A column for each run; a row for each knob, commit, data or pipeline that differs, for each score and gain, and for the cost.

    Each number is followed by its 95 % interval; ``★`` marks the best of a row, where the runs can be compared.
    """
    origins = [
        {"pipeline": run.facts.get("pipeline"), **{name: str(run.facts.get(name))[:12] for name in ("commit", "data")}} for run in runs
    ]
    before: list[list[object]] = [*_differing("knob", [run.facts["config"] for run in runs]), *_differing("", origins)]
    reached = list(_reached(runs))
    after: list[list[object]] = [
        ["gates", *(gates.in_short(run.facts.get("verdict", {})) for run in runs)],
        ["ONNX files", *(megabytes(sum(_onnx_sizes(run))) for run in runs)],
    ]
    times = [sum(run.facts["seconds"].values()) if "seconds" in run.facts else None for run in runs]
    if any(time is not None for time in times):
        after.append(["time, all stages", *(None if time is None else seconds(time) for time in times)])
    head = ["", *(f"run {number}" for number in range(1, len(runs) + 1))]
    rows = [[cell(value) for value in row] for row in (*before, *reached, *after)]
    return Table("What differs, and what came of it", head, rows)


def verdict(runs: Sequence[Run]) -> list[str]:
    """Of each run but the first, in words: is it better than the first by the objective, case by case, and is that sure?"""
    words = []
    for number, run in enumerate(runs[1:], 2):
        if not (runs[0].scores and run.scores and _label(runs[0].scores.main) == _label(run.scores.main)):
            continue
        score, said = run.scores.main, f"run {number} against run 1"
        paired = pairs.difference(score, runs[0].cases, run.cases)
        if paired is None:
            words.append(f"{said}: nothing can be said case by case, for they share no cases.")
            continue
        value, (low, high), count = paired
        sure = "no sure difference"
        if low > 0 or high < 0:
            sure = f"surely {'better' if (low > 0) == (score.better == 'higher') else 'worse'}"
        if count < pairs.FEWEST:
            sure = f"too few cases to decide, at least {pairs.FEWEST} are needed"
        words.append(f"{said}: {score.name} {within(value, (low, high), score.unit, difference=True)} on {count:,} shared cases: {sure}.")
    return words


def warnings(runs: Sequence[Run]) -> list[str]:
    """Reasons not to take the numbers of *runs* for comparable or complete, in words."""
    words = []
    if len(pipelines := sorted({run.facts["pipeline"] for run in runs if "pipeline" in run.facts})) > 1:
        words.append(f"These are runs of several pipelines ({', '.join(pipelines)}): their scores cannot be compared one to one.")
    if len({run.facts.get("data") for run in runs}) > 1:
        words.append("Not all runs were measured on the same data: their scores cannot be compared one to one.")
    if older := [f"run {number}" for number, run in enumerate(runs, 1) if run.scores is None]:
        words.append(f"No scores of {', '.join(older)}: made before bundles had scores; package the run again to compare what it reached.")
    return words


def terminal(runs: Sequence[Run]) -> str:
    """The comparison as lines of text."""
    shown = table(runs)
    cells = [[wrap(cell(value), _WIDEST) or [""] for value in row] for row in (shown.head, *shown.rows)]
    lines = [line for row in cells for line in zip_longest(*row, fillvalue="")]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    names = [f"run {number}  {run.bundle.version}  ({run.bundle.uri})" for number, run in enumerate(runs, 1)]
    body = ["  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*names, *("\n" + words for words in verdict(runs)), "", *body, *("\n" + warning for warning in warnings(runs))])


def page(runs: Sequence[Run]) -> str:
    """The comparison as one self-contained HTML page, with the learning curves of the runs that have a history."""
    rows = [
        [
            *(f"run {number}", run.facts.get("pipeline"), run.bundle.version, str(run.facts.get("created"))),
            *(str(run.facts.get("commit"))[:12], run.bundle.uri),
        ]
        for number, run in enumerate(runs, 1)
    ]
    return render(
        "release/compare.html",
        runs=Table("The runs", ["Run", "Pipeline", "Version", "Made", "Commit", "Place"], rows),
        comparison=table(runs),
        verdict=verdict(runs),
        warnings=warnings(runs),
        charts=list(_charts(runs)),
        without=[f"run {number}" for number, run in enumerate(runs, 1) if not run.history],
    )


def digits(value: float, sign: str = "") -> str:
    """*value* with three decimals, or with three significant digits where those would all be zero."""
    return f"{value:{sign},.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:{sign}.3g}"


def _differing(kind: str, settings: Sequence[dict[str, Any]]) -> Iterator[list[object]]:
    """A row for each setting that is not the same in all runs; one that a run does not know is a dash."""
    for name in sorted({name for known in settings for name in known}):
        values = [known.get(name) for known in settings]
        if any(value != values[0] for value in values):
            yield [f"{kind} {name}".strip(), *(f"{value:g}" if isinstance(value, float) else value for value in values)]


def _reached(runs: Sequence[Run]) -> Iterator[list[object]]:
    """A row for each score, the objective first, and another for the gain of a score over all cases."""
    labelled = [{_label(score): score for score in run.scores.all} if run.scores else {} for run in runs]
    objectives = [_label(run.scores.main) for run in runs if run.scores]
    comparable = not warnings([run for run in runs if run.scores])
    for label in dict.fromkeys([*objectives, *(label for known in labelled for label in known)]):
        row = [known.get(label) for known in labelled]
        yield [label, *_values(row, comparable)]
        gained = [(score.gain, score.unit) if score and score.gain and not score.group else None for score in row]
        for over in dict.fromkeys(known[0].over for known in gained if known):
            cells = [known if known and known[0].over == over else None for known in gained]
            yield [f"{label}, gain over {over}", *(within(c[0].value, c[0].interval, c[1], difference=True) if c else None for c in cells)]


def _label(score: Score) -> str:
    """What a score is of, its unit and, where less is more, the direction: what differs in none of these can be compared."""
    label = f"{score.name}, {score.group}" if score.group else score.name
    notes = [score.unit] if score.unit not in ("", "share") else []
    if score.better == "lower":
        notes.append("lower is better")
    return f"{label} ({', '.join(notes)})" if notes else label


def _values(row: Sequence[Score | None], comparable: bool) -> Iterator[str | None]:
    """The cells of scores with one label; the best has a star if others were worse."""
    known = [score for score in row if score]
    best = (max if known[0].better == "higher" else min)(score.value for score in known)
    starred = comparable and any(score.value != best for score in known)
    for score in row:
        if score is None:
            yield None
        else:
            yield within(score.value, score.interval, score.unit) + (" ★" if starred and score.value == best else "")


def within(value: float, interval: tuple[float, float], unit: str, difference: bool = False) -> str:
    """``52.0 % (42.3 to 61.5)``: *value* with its *interval*; a *difference* of shares in points, ``+8.0 points (+0.9 to +15.1)``."""
    sign, share = "+" if difference else "", unit == "share"
    numbers = [f"{100 * number:{sign}.1f}" if share else digits(number, sign) for number in (value, *interval)]
    named = f"{numbers[0]} {'points' if difference else '%'}" if share else numbers[0]
    return f"{named} ({numbers[1]} to {numbers[2]})".replace("-", "−")


def _onnx_sizes(run: Run) -> Iterator[int]:
    return (entry["size"] for name, entry in run.facts["files"].items() if name.endswith(".onnx"))


def _charts(runs: Sequence[Run]) -> "Iterator[tuple[str, Markup]]":
    """The name and the chart of each column of numbers in the histories, a line for each run."""
    histories = {f"run {number}": run.history for number, run in enumerate(runs, 1) if run.history}
    axis = _axis(histories.values())
    placed = {name: {row.get(axis, number): row for number, row in enumerate(rows)} for name, rows in histories.items()}
    places = sorted({place for rows in placed.values() for place in rows})
    for column in dict.fromkeys(column for rows in histories.values() for row in rows for column in row if column not in AXES):
        series = {name: [_number(rows.get(place, {}).get(column)) for place in places] for name, rows in placed.items()}
        if any(value is not None for values in series.values() for value in values):
            yield column, curves(f"{column} of each run over its {axis}s", places, series, step_name=axis)


def _axis(histories: Collection[Sequence[dict[str, Any]]]) -> str:
    """The first of AXES that tells the rows of every history apart; else they are counted."""
    for name in AXES:
        if all(len({row.get(name) for row in rows} - {None}) == len(rows) for rows in histories):
            return name
    return "row"


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _run(bundle: StoredBundle) -> Run:
    if not isinstance(bundle.facts.get("config"), dict):
        raise IntegrityError(f"{bundle.uri}: its manifest is not that of a bundle (it needs config and files); package the run again")
    metrics = bundle.json(scores.FILE) or {}
    try:
        reached = scores.of(metrics)
    except ValueError as error:
        raise IntegrityError(f"{bundle.uri}: {error}; package the run again") from error
    return Run(bundle, reached, bundle.json(HISTORY_FILE) or [], bundle.json(pairs.FILE))
