"""Fan charts: what real series sold, what was expected of the periods that are forecast, and what then happened."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from trainworks.report.page import INK, LINE, MUTED, SERIES, inline
from trainworks.supermegaretail.evaluation.rows import Rows
from trainworks.supermegaretail.evaluation.slices import is_promoted, places
from trainworks.supermegaretail.panel.panel import Panel, State

PAST = 30
"""Periods shown before those that are forecast."""

BANDS = ((0, 5), (1, 3))
"""Quantiles, by their place, that a band lies between: nearly all of what may happen, and the middle half."""


@dataclass(frozen=True)
class Fan:
    """One chart, with its title and why it is shown."""

    title: str
    why: str
    chart: Markup


def fans(panel: Panel, rows: Rows, origin: int) -> list[Fan]:
    """A chart of the series that is worth it most for each of `_reasons`, none twice; *rows* are the forecasts from *origin*."""
    series, _, target = places(rows, panel)
    shown: dict[int, str] = {}
    for why, worth in _reasons(panel, rows, series, target):
        best = [number for number in np.argsort(-worth, kind="stable").tolist() if worth[number] > 0 and number not in shown]
        shown |= dict.fromkeys(best[:1], why)
    result = []
    for number, why in shown.items():
        title = name_of(panel, number)
        mask = series == number
        result.append(Fan(title, why, _chart(panel, number, origin, target[mask], rows.take(mask), title)))
    return result


def name_of(panel: Panel, number: int) -> str:
    """A series' keys, and what kind of product it is."""
    kinds = [name for name in ("category",) if name in panel.series.column_names and name not in panel.keys]
    return " · ".join(str(panel.series[name][number].as_py()) for name in (*panel.keys, *kinds))


def _reasons(panel: Panel, rows: Rows, series: np.ndarray, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Why a series may be shown, with how much it is worth showing for that, (S,): above 0 if at all."""
    count = len(panel.series)

    def total(values: np.ndarray) -> np.ndarray:
        return np.nan_to_num(np.bincount(series, values * rows.worth, count))

    sold = total(rows.actual)
    yield "sells most", sold
    if "promotion" in panel.covariates:
        promoted = is_promoted(panel)
        changes = promoted[:, : panel.known].mean(1) < 0.5
        yield "on offer in the periods that are forecast", total(promoted[series, target] * rows.actual) * changes
    yield "was out of stock", (panel.state[:, -PAST:] == State.OUT_OF_STOCK).sum(1) * (sold > 0)
    order = np.argsort(np.argsort(-sold, kind="stable"), kind="stable")
    yield "a typical series", (sold > 0) / (1 + np.abs(order - (sold > 0).sum() // 2))
    yield "was missed by most", total(np.abs(rows.actual - rows.mean))
    yield "sells second most", sold


def _chart(panel: Panel, number: int, origin: int, target: np.ndarray, rows: Rows, title: str) -> Markup:
    first = max(0, origin + 1 - PAST)
    past = np.arange(first, origin + 1)
    words = f"{title}: units sold in each {panel.period}, with what was expected of the last {len(target)} and what was then sold."
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": words, "font.size": 8.5, "text.color": INK, "axes.edgecolor": LINE}):
        figure = Figure(figsize=(4.3, 2.5), layout="constrained")
        axes = figure.subplots()
        starts = panel.starts.astype("O")
        if "promotion" in panel.covariates:
            half = timedelta(days=int((panel.starts[1] - panel.starts[0]).astype(int)) / 2)
            for k in np.flatnonzero(is_promoted(panel)[number, first : target.max() + 1]) + first:
                axes.axvspan(starts[k] - half, starts[k] + half, color=LINE, linewidth=0, zorder=0)
        axes.plot(starts[past], panel.demand[number, past], color=INK, linewidth=1.1, label="sold")
        for place, (low, high) in enumerate(BANDS):
            ends = rows.quantiles[:, low], rows.quantiles[:, high]
            label = ("1.5 to 99 %", "25 to 75 %")[place]
            axes.fill_between(starts[target], *ends, color=SERIES[0], alpha=(0.16, 0.3)[place], linewidth=0, label=label)
        axes.plot(starts[target], rows.mean, color=SERIES[0], linewidth=1.3, label="expected")
        axes.plot(starts[target], rows.actual, "o", color=INK, markersize=3.2, label="then sold")
        out = past[panel.state[number, past] == State.OUT_OF_STOCK]
        if len(out):
            axes.plot(starts[out], np.zeros(len(out)), "x", color=SERIES[1], markersize=4.5, label="out of stock", clip_on=False)
        axes.axvline(starts[origin], color=MUTED, linewidth=0.8, linestyle=":")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0, colors=MUTED)
        axes.xaxis.set_major_locator(days := AutoDateLocator(maxticks=6))
        axes.xaxis.set_major_formatter(ConciseDateFormatter(days))
        axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(-0.02, 1.0), handlelength=1.6, borderaxespad=0.2)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata=dict.fromkeys(["Creator", "Date", "Format", "Type"]))
    return inline(drawn.getvalue(), words)
