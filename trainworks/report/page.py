"""One page that explains a run: tables, charts and numbers in words, for any pipeline.

A page is a single HTML file without external resources or scripts; the same content gives the
same bytes. A room's template extends ``report/page.html`` and takes its macros from there.

What draws is imported where it is used: words for a terminal need none of it, and a service has none.
"""

import functools
import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import trainworks

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_LONGEST = 240
INK, MUTED, LINE = "#010101", "#020202", "#030303"
SERIES = ["#040404", "#050505", "#060606", "#070707", "#080808", "#090909"]
_LINES = [("-", "o"), ("--", "s"), (":", "^")]
_THREE_A_ROW = 12
"""Characters of the longest name of which three fit side by side: a legend that is wider makes the chart narrow."""
MARKED = 24
"""About as many steps of a line have a marker, or half as many: more would run into one."""
# matplotlib knows no style sheets: it draws in these stand-ins, which then become the page's colours, light or dark.
_NAMES = ["ink", "muted", "line", "first", "second", "third", "fourth", "fifth", "sixth"]
_COLOURS = dict(zip([INK, MUTED, LINE, *SERIES], _NAMES, strict=True))


class Quantity(str):
    """A number already put into words, such as ``3.2 s``; tables align it as a number."""


@dataclass(frozen=True)
class Mark:
    """A yes or no that is told by sign and word as well as by colour."""

    good: bool
    word: str

    def __str__(self) -> str:
        return f"{'✓' if self.good else '✗'} {self.word}"


@dataclass(frozen=True)
class Table:
    """A table: *title* says what it shows, the first cell of each row is the row's header.

    A cell is text, a number, ``None`` (a dash), a ``Quantity`` or a ``Mark``. *strong* are the
    indices of the rows set in bold.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    strong: Collection[int] = ()


@dataclass(frozen=True)
class Bars:
    """Shares between 0 and 1 as horizontal bars: per group one bar for each of at most three series.

    *colours* are the numbers of the series' colours, so that what one means stays the same where a series is missing.
    """

    title: str
    series: Sequence[str]
    groups: Mapping[str, Sequence[float]]
    colours: Sequence[int] = (1, 2, 3)


def render(template: str, **content: object) -> str:
    """The page of *template*, a path below this package, with everything in *content* HTML-escaped.

    Raises:
        jinja2.UndefinedError: the template names something that *content* lacks.
    """
    return _environment(*trainworks.__path__).get_template(template).render(**content)


@functools.cache  # templates are compiled once: a page that is served is made anew for each request
def _environment(*folders: str) -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(cell=cell, kind=_kind, short=short, percent=percent, per_hundred=per_hundred, dollars=dollars)
    return environment


def cell(value: object) -> str:
    """A table's cell in words: ``1234`` → ``1,234``, ``0.12345`` → ``0.1235``, ``None`` → ``–``."""
    match value:
        case None:
            return "–"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
    return short(str(value))


def short(text: str, longest: int = _LONGEST) -> str:
    """*text*, cut with an ellipsis if it has more than *longest* characters: a page must not grow with a foreign title."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def percent(share: float) -> Quantity:
    """``0.123`` → ``12.3 %``."""
    return Quantity(f"{100 * share:.1f} %")


def per_hundred(share: float) -> str:
    """How many of 100, whole but for less than one: ``0.336`` → ``34``, ``0.002`` → ``0.2``."""
    return f"{100 * share:.0f}" if share >= 0.01 or share == 0 else f"{100 * share:.1g}"


def seconds(time: float) -> Quantity:
    """``3.21`` → ``3.2 s``, ``3725`` → ``1 h 2 min``."""
    if time < 60:
        return Quantity(f"{time:.1f} s")
    minutes, rest = divmod(round(time), 60)
    return Quantity(f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min")


def dollars(amount: float) -> Quantity:
    """``1.234`` → ``$1.23``; less than a cent says so."""
    return Quantity(f"${amount:,.2f}" if amount >= 0.01 or amount == 0 else "under $0.01")


def megabytes(size: int) -> Quantity:
    """Bytes → ``4.7 MB`` (of 10^6 bytes)."""
    return Quantity(f"{size / 1e6:.1f} MB")


def curves(
    alt: str,
    steps: Sequence[float] | Sequence[date],
    series: Mapping[str, Sequence[float | None]],
    *,
    step_name: str,
    shares: bool = False,
    mark: tuple[float | date, str] | None = None,
) -> "Markup":
    """A line chart as inline SVG: *series* over *steps*, numbers or dates that rise; ``None`` where there is no value.

    Up to 18 series look different. The page's style must define a colour for each of up to six (``--first`` … ``--sixth``;
    ``page.html`` has three). *alt* is what a reader who cannot see it is told; *mark* is a step with the words that name it;
    *shares* are values between 0 and 1, shown in per cent.
    """
    import matplotlib as mpl
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": alt,
            "font.size": 8.5,
            "text.color": INK,
            "axes.edgecolor": LINE,
            "axes.labelcolor": MUTED,
            "xtick.labelcolor": MUTED,
            "ytick.labelcolor": MUTED,
        }
    ):
        figure = Figure(figsize=(4.3, 2.7), layout="constrained")
        axes = figure.subplots()
        places = [_place(step) for step in steps]
        for k, (name, values) in enumerate(series.items()):
            colour, (line, marker) = SERIES[k % len(SERIES)], _LINES[(k + k // len(SERIES)) % len(_LINES)]
            heights = [math.nan if value is None else value for value in values]
            (curve,) = axes.plot(places, heights, color=colour, linestyle=line, marker=marker, markersize=3, linewidth=1.4, label=name)
            curve.set_markevery(1 + len(places) // MARKED)
        axes.margins(y=0.14)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.tick_params(length=0)
        axes.set_xlabel(step_name)
        if isinstance(steps[0], date):
            axes.xaxis.set_major_locator(days := AutoDateLocator())
            axes.xaxis.set_major_formatter(ConciseDateFormatter(days))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=all(place == int(place) for place in places)))
        if all(value is None or value >= 0 for values in series.values() for value in values):
            axes.set_ylim(bottom=0)
        if shares:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        if mark:
            place = _place(mark[0])
            axes.axvline(place, color=MUTED, linewidth=0.8, zorder=0.5)
            late = 2 * place > places[0] + places[-1]
            axes.annotate(
                mark[1],
                (place, 1),
                xycoords=axes.get_xaxis_transform(),
                xytext=(-4 if late else 4, 0),
                textcoords="offset points",
                ha="right" if late else "left",
                va="top",
                color=MUTED,
            )
        columns = 3 if max(map(len, series)) <= _THREE_A_ROW else 2
        axes.legend(frameon=False, ncols=columns, loc="lower left", bbox_to_anchor=(-0.02, 1.0), handlelength=2.6, borderaxespad=0.2)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata=dict.fromkeys(["Creator", "Date", "Format", "Type"]))
    return inline(drawn.getvalue(), alt)


def _place(step: float | date) -> float:
    """Where matplotlib draws *step*."""
    from matplotlib.dates import date2num

    return float(date2num(step)) if isinstance(step, date) else step


def inline(svg: str, alt: str) -> "Markup":
    """Matplotlib's SVG file as an element of the page: its colours, its fonts, no ids that could clash."""
    from markupsafe import Markup, escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box, "matplotlib always writes a viewBox"
    svg = re.sub(r"<svg[^>]*>", f'<svg role="img" aria-label="{escape(alt)}" {box[0]}>', svg, count=1)
    for stand_in, name in _COLOURS.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    return Markup(re.sub(r"\s*\n\s*", "\n", svg))


def _kind(value: object) -> str:
    """The style class of a cell."""
    if isinstance(value, Mark):
        return "good" if value.good else "bad"
    return "number" if value is None or isinstance(value, int | float | Quantity) else "text"
