"""Plots of a sweep, in the style of the report: what was reached against one knob."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trainworks.report.page import INK, LINE, MUTED, SERIES, inline, short
from trainworks.sweep.trials import Objective

_SHARES = PercentFormatter(1.0, decimals=0, symbol=" %")
_WIDTH, _HEIGHT, _STRIP = 4.3, 2.5, 0.42
"""Inches: of a figure, and of one choice."""

_LABEL = 56
"""Characters of a choice: what a figure is wide enough for."""


def by_number(alt: str, points: Sequence[tuple[float, float]], objective: Objective, *, name: str, log: bool) -> Markup:
    """A dot for each of *points*, the value of the knob *name* and of the objective; the former on a *log* scale or an even one."""

    def draw(axes: Axes) -> None:
        axes.scatter([chosen for chosen, _ in points], [value for _, value in points], s=16, color=SERIES[0], clip_on=False)
        if log:
            axes.set_xscale("log")
        axes.set_xlabel(name)
        if objective.is_share:
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(_SHARES)
        axes.grid(axis="y", color=LINE, linewidth=0.6)

    return _figure(alt, _HEIGHT, draw)


def by_choice(alt: str, groups: Mapping[str, Sequence[float]], objective: Objective) -> Markup:
    """A strip for each choice, with a dot for each value of the objective and a bar at their mean."""

    def draw(axes: Axes) -> None:
        for row, (choice, values) in enumerate(groups.items()):
            axes.text(0, row - 0.34, short(choice, _LABEL) or "(nothing)", transform=axes.get_yaxis_transform(), va="center")
            axes.axhline(row, color=LINE, linewidth=0.6, zorder=0)
            axes.scatter(values, [row] * len(values), s=16, color=SERIES[0], clip_on=False)
            if values:
                axes.plot([sum(values) / len(values)] * 2, [row - 0.16, row + 0.16], color=MUTED, linewidth=1.2)
        axes.set_ylim(len(groups) - 0.6, -0.7)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(objective.name)
        if objective.is_share:
            axes.set_xlim(left=0)
            axes.xaxis.set_major_formatter(_SHARES)

    return _figure(alt, 0.5 + _STRIP * len(groups), draw)


def _figure(alt: str, height: float, draw: Callable[[Axes], None]) -> Markup:
    style: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": alt, "font.size": 8.5, "text.color": INK, "axes.edgecolor": LINE}
    muted = dict.fromkeys(["axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"], MUTED)
    with mpl.rc_context(style | muted):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(which="both", length=0)
        draw(axes)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata=dict.fromkeys(["Creator", "Date", "Format", "Type"]))
    return inline(drawn.getvalue(), alt)
