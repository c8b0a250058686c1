"""What was measured, as the tables and charts of the report."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from markupsafe import Markup

from trainworks.report.page import Mark, Quantity, Table, cell, curves, percent, seconds, short
from trainworks.supermegaretail.evaluation import losses
from trainworks.supermegaretail.evaluation.rows import Rows
from trainworks.supermegaretail.evaluation.slices import places
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.report.fans import name_of

MEASURES = {
    "pinball": "Pinball loss, units",
    "weighted": "Pinball loss × price",
    "cost": "Cost of wrong stock",
    "cost_of_stock_outs": "– of stock-outs",
    "cost_of_overstock": "– of overstock",
    "mae": "Absolute error of the median",
    "rmse": "Root mean squared error",
    "bias": "Bias, share of what was sold",
}
SAVED = ("pinball", "weighted", "cost")
WORST = 20
"""Series shown among the worst."""

MODELS = {"shipped": "this model", "baseline": "best baseline", "release": "last release"}
_LONGEST = 50

_LEGEND = 14
"""Characters of a name in a legend, of which three stand side by side."""


def everything(measured: Mapping[str, Any]) -> Table:
    """Each measure of each model with its interval, and what is saved over the best baseline."""
    models = [name for name in MODELS if "pinball" in measured.get(name, {})]
    rows: list[list[object]] = []
    for measure, words in MEASURES.items():
        saved = share(measured["gains"][f"{measure}_share"]) if measure in SAVED else None
        shown = _signed_percent if measure == "bias" else cell
        rows.append([words, *(within(measured[name][measure], shown) for name in models), saved])
    return Table("Losses and costs, a series and period", ["Measure", *(MODELS[name] for name in models), "Saved"], rows)


def by_model(scores: Sequence[Mapping[str, Any]], chosen: str) -> Table:
    """Every model that was tried, the best first: mean losses over the origins but the newest, and at the newest; CPU seconds."""
    newest = max(row["origin"] for row in scores)
    models: dict[str, list[Mapping[str, Any]]] = {}
    for row in scores:
        models.setdefault(row["model"], []).append(row)

    def mean(rows: Sequence[Mapping[str, Any]], name: str, *, test: bool) -> float | None:
        values = [row[name] for row in rows if (row["origin"] == newest) is test and row[name] is not None]
        return float(np.mean(values)) if values else None

    lines = []
    for name, rows in models.items():
        spent = [row["seconds"] for row in rows if row["seconds"] is not None]
        lines.append(
            [
                name,
                *(mean(rows, measure, test=False) for measure in ("pinball", "weighted", "mae")),
                mean(rows, "pinball", test=True),
                _signed(mean(rows, "bias", test=True)),
                seconds(sum(spent)) if spent else None,
            ]
        )
    lines.sort(key=lambda line: (line[1] is None, line[1]))
    head = ["Model", "Pinball", "× price", "MAE", "Pinball, test", "Bias, test", "CPU time"]
    return Table("Every model that was tried", head, lines, strong=[k for k, line in enumerate(lines) if line[0] == chosen])


def over_origins(scores: Sequence[Mapping[str, Any]]) -> Markup:
    """The pinball loss of the best models at each origin; the newest is the test."""
    origins = sorted({row["origin"] for row in scores})
    at = {(row["model"], row["origin"]): row["pinball"] for row in scores}
    models = list(dict.fromkeys(row["model"] for row in scores))
    models.sort(key=lambda model: np.mean([at[model, origin] for origin in origins if (model, origin) in at]))
    averages = [model for model in models[:6] if model.startswith("average(")]
    names = {model: f"average {averages.index(model) + 1}" if model in averages else short(model, _LEGEND) for model in models[:6]}
    series = {name: [at.get((model, origin)) for origin in origins] for model, name in names.items()}
    days = [date.fromisoformat(origin) for origin in origins]
    words = f"Pinball loss of {len(series)} models at {len(origins)} origins."
    return curves(words, days, series, step_name="origin", mark=(days[-1], "test"))


def parts(measured: Mapping[str, Any]) -> list[Table]:
    """A table for each parting of the forecasts: rows, losses, bias, and what is saved."""
    tables = []
    for name, groups in measured["slices"].items():
        rows = [
            [
                short(part, _LONGEST),
                of["rows"],
                of["pinball"]["value"],
                _signed(of["bias"]["value"]),
                share(of["gains"]["pinball_share"]) if of["gains"] else None,
                share(of["gains"]["cost_share"]) if of["gains"] else None,
            ]
            for part, of in groups.items()
        ]
        head = [name.capitalize(), "Rows", "Pinball", "Bias", "Loss saved", "Cost saved"]
        tables.append(Table(f"By {name}", head, rows))
    return tables


def reliability(measured: Mapping[str, Any], most: float = 0.05) -> tuple[Markup, Table]:
    """Of each quantile its level and the shares of sales below and at most it, as a chart and a table."""
    covered = list(measured["shipped"]["coverage"].values())
    levels = [100 * of["level"] for of in covered]
    series = {"right": [of["level"] for of in covered], "below": [of["below"]["value"] for of in covered]}
    series["at most"] = [of["at_most"]["value"] for of in covered]
    chart = curves(
        "The share of sales below and at most each quantile, beside its level.", levels, series, step_name="quantile, %", shares=True
    )
    rows = [
        [
            Quantity(f"{100 * of['level']:g} %"),
            within(of["below"], percent),
            within(of["at_most"], percent),
            Mark(abs(of["off"]) <= most, f"{100 * of['off']:+.1f} points".replace("-", "−") if of["off"] else "holds"),
        ]
        for of in covered
    ]
    return chart, Table("Coverage of each quantile", ["Quantile", "Sales below it", "Sales at most it", "Level lies off by"], rows)


def costs(measured: Mapping[str, Any]) -> Markup:
    """The mean cost of wrong stock over the quantile that is ordered."""
    curve = measured["costs"]
    series = {words: curve[name] for name, words in MODELS.items() if name in curve}
    level = 100 * measured["order"]["level"]
    levels = [100 * each for each in curve["levels"]]
    mark = (min(max(level, levels[0]), levels[-1]), f"implied, {level:.0f} %")
    return curves("Mean cost of wrong stock by the quantile that is ordered.", levels, series, step_name="order quantile, %", mark=mark)


def price_response(measured: Mapping[str, Any]) -> Markup | None:
    """Expected sales over the price, as ratios to those at the price as it is."""
    of = measured["response"]["price"]
    if not of:
        return None
    series = {"median series": of["median"], "lowest tenth": of["low"], "highest": of["high"]}
    steps = [100 * factor for factor in of["factors"]]
    return curves(
        "Expected sales by price, beside those at the price as it is.", steps, series, step_name="price, % of the latest", mark=(100, "now")
    )


def promotion_response(measured: Mapping[str, Any]) -> Table | None:
    """By kind of promotion, how many times as much is expected."""
    of = measured["response"]["promotion"]
    if not of:
        return None
    rows = [
        [kind, Quantity(f"× {of['median'][k]:.2f}"), Quantity(f"× {of['low'][k]:.2f} to {of['high'][k]:.2f}")]
        for k, kind in enumerate(of["kinds"])
    ]
    return Table("With a promotion beside without", ["Kind", "Median series", "80 % of the series"], rows)


def worst(rows: Rows, panel: Panel) -> Table:
    """The series that lose most, price-weighted: what they sold, what was expected, and their share of all loss."""
    loss_N = rows.worth * losses.pinball(rows.actual, rows.quantiles).mean(1)
    count = rows.series.max() + 1
    sums = {
        name: np.bincount(rows.series, values, count) for name, values in (("loss", loss_N), ("sold", rows.actual), ("mean", rows.mean))
    }
    order = np.argsort(-sums["loss"], kind="stable")[:WORST]
    position = places(rows, panel)[0][np.unique(rows.series, return_index=True)[1]]
    lines = []
    for number in order:
        lines.append(
            [
                short(name_of(panel, int(position[number])), _LONGEST),
                float(sums["sold"][number]),
                float(sums["mean"][number]),
                float(sums["loss"][number]),
                percent(sums["loss"][number] / max(sums["loss"].sum(), 1e-12)),
            ]
        )
    return Table(f"The {len(lines)} series that lose most", ["Series", "Sold", "Expected", "Loss × price", "Share of all"], lines)


def _signed_percent(share: float) -> str:
    return f"{100 * share:+.1f} %"


def _signed(share: float | None) -> Quantity | None:
    return None if share is None else Quantity(_signed_percent(share).replace("-", "−"))


def within(of: Mapping[str, Any], words: Any = cell) -> Quantity | None:
    """``1.40 (1.31 to 1.49)``; a dash where there is no number, and no bracket where it has no width: a single series has none."""
    if of["value"] is None:
        return None
    value, low, high = (words(number) for number in (of["value"], *of["interval"]))
    return Quantity((f"{value} ({low} to {high})" if low != high else value).replace("-", "−"))


def share(of: Mapping[str, Any]) -> Quantity | None:
    """``+20.0 % (+17.6 to +22.6)``; brackets as `within`."""
    if of["value"] is None:
        return None
    value, low, high = (f"{100 * number:+.1f}".replace("-", "−") for number in (of["value"], *of["interval"]))
    return Quantity(f"{value} % ({low} to {high})" if low != high else f"{value} %")
