"""The page a planner reads before a forecaster is shipped."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from trainworks import facts
from trainworks.config import Section
from trainworks.report import behaviour_section, ledger, run_section
from trainworks.report import verdict as gates_table
from trainworks.report.page import Table, render, short
from trainworks.storage import manifest
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.delivery.verdict import ledger as summed
from trainworks.supermegaretail.delivery.verdict import verdict
from trainworks.supermegaretail.evaluation.evaluate import FORECASTS, TABLE
from trainworks.supermegaretail.evaluation.rows import of
from trainworks.supermegaretail.facts import PACKAGES
from trainworks.supermegaretail.forecaster import FEATURES
from trainworks.supermegaretail.panel.panel import Panel, State
from trainworks.supermegaretail.report import fans, results
from trainworks.supermegaretail.run import Run

LEDGER = "ledger.json"
"""Of the panel: what was left out, and warnings."""

_NAMES = 160


def report(
    run: Run,
    lines: Sequence[Path],
    parts: Sequence[Path],
    source: str,
    sections: Sequence[Section],
    gate: GateConfig,
    out: Path,
    name: str = "",
) -> None:
    """Judge *run* by *gate*, and write ``report.html``, one self-contained page, ``verdict.json`` and ``ran.json`` into the folder *out*.

    *lines* are the folders of clean and *parts* those of the backtest; the knobs of *sections* and *gate*, the *source* and the run's
    *name* are shown.

    Raises:
        DataError: the lines of a table do not add up.
    """
    stages = {
        "clean": lines,
        "panel": [run.panel],
        "backtest": parts,
        "choose": [run.recipe],
        "fit and export": [run.forecaster],
        "evaluate": [run.metrics],
        "behave": [run.behaviour],
    }
    ran = facts.run(facts.knobs(*sections, gate, source=source), facts.defaults(*sections, gate), stages, PACKAGES, name)
    write(run, lines, verdict(run, lines, gate), ran, [type(section) for section in (*sections, gate)], out)


def write(
    run: Run, lines: Sequence[Path], verdict: Mapping[str, Any], ran: Mapping[str, Any], sections: Sequence[type[Section]], out: Path
) -> None:
    """Write the files of `report`, with a *verdict* of ``trainworks.release.gates`` and the facts *ran* of ``trainworks.facts.run``.

    The same inputs give the same bytes.

    Raises:
        DataError: as `report`.
    """
    measured, panel = _json(run.metrics / "metrics.json"), Panel.load(run.panel)
    scores = pq.read_table(run.metrics / TABLE).to_pylist()
    worth = panel.series.select(list(panel.keys)).append_column("worth", pa.array(panel.price))
    rows = of(pq.read_table(run.metrics / FORECASTS), worth)
    origin = int(np.searchsorted(panel.starts, np.datetime64(measured["origin"])))
    reliability, coverage = results.reliability(measured)
    page = render(
        "supermegaretail/report/page.html",
        verdict=verdict,
        gates=gates_table.table(verdict),
        screen=gates_table.screen(
            verdict,
            ran,
            manifest.digest(run.panel),
            _json(run.behaviour / "behaviour.json")["checks"],
            _change(measured),
            gates_table.too_small(measured["shipped"]["series"], "series"),
        ),
        measured=measured,
        saved=measured["gains"]["cost_share"],
        release=measured.get("release"),
        fans=fans.fans(panel, rows, origin),
        everything=results.everything(measured),
        models=results.by_model(scores, measured["model"]),
        over_origins=results.over_origins(scores),
        parts=results.parts(measured),
        reliability=reliability,
        coverage=coverage,
        costs=results.costs(measured),
        price=results.price_response(measured),
        promotions=results.promotion_response(measured),
        worst=results.worst(rows, panel),
        behaviour=_behaviour(run.behaviour),
        ledgers=list(_ledgers(summed(lines))),
        states=_states(panel),
        left_out=_left_out(_json(run.panel / LEDGER)),
        warnings=_json(run.panel / LEDGER)["warnings"],
        panel=panel,
        ran=run_section.section(ran, sections, manifest.digest(run.panel), measured.get("release", {}).get("ran", {})),
        features=_json(run.forecaster / FEATURES),
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(page, encoding="utf-8")
    (out / "verdict.json").write_text(json.dumps(verdict, indent=1, sort_keys=True) + "\n")
    (out / "ran.json").write_text(json.dumps(ran, indent=1, sort_keys=True) + "\n")


def _change(measured: Mapping[str, Any]) -> str:
    """Against the last release, in words: the share of its loss that is saved on the same series."""
    saved = measured.get("over_release", {}).get("pinball_share", {})
    if saved.get("value") is None:
        return "There is no earlier release to compare with."
    value, low, high = (f"{100 * share:+.1f} %".replace("-", "−") for share in (saved["value"], *saved["interval"]))
    return f"Against the last release: {value} of its loss saved ({low} to {high}, on the same series)."


def _behaviour(folder: Path) -> Markup:
    def numbers(example: Mapping[str, Any]) -> str:
        words = {
            "mean_before": "expected before",
            "mean_after": "after",
            "sold": "sold",
            "expected": "expected",
            "difference": "differs by",
        }
        return ", ".join(f"{words[name]} {example[name]:.3g}" for name in words if name in example).replace("-", "−")

    content = behaviour_section.content(folder, (), numbers)
    return Markup(render("supermegaretail/report/behaviour_section.html", **content))


def _ledgers(tables: Mapping[str, Mapping[str, Any]]):
    """A ledger for each table whose lines were counted; its sums are checked."""
    for name, counted in tables.items():
        stage = {"stage": "clean", **counted}
        made = ledger.ledger(counted["read"], [stage], {})
        yield Table(f"Lines of {name}", made.head, made.rows, strong=made.strong)


def _states(panel: Panel) -> Table:
    """What the cells of the panel are."""
    words = {
        State.SOLD: "sold",
        State.ZERO: "on sale, but nothing sold",
        State.NOT_LISTED: "not listed",
        State.CLOSED: "closed",
        State.OUT_OF_STOCK: "out of stock",
    }
    counts = np.bincount(panel.state.ravel(), minlength=len(words))
    rows = [[words[state], int(counts[state]), "demand" if state in (State.SOLD, State.ZERO) else "not looked at"] for state in words]
    return Table("Cells of the panel", ["State", "Cells", "Counts as"], rows)


def _left_out(counted: Mapping[str, Any]) -> Table | None:
    """What the panel has not, of what was clean."""
    rows: list[list[object]] = []
    for what, which in counted["left_out"].items():
        named = [f"{name}: {why}" for name, why in which.items()] if isinstance(which, dict) else which
        number = named if isinstance(named, int) else len(named)
        if number:
            rows.append([what, number, "" if isinstance(named, int) else short("; ".join(named), _NAMES)])
    return Table("Left out of the panel", ["What", "Number", "Which"], rows) if rows else None


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())
