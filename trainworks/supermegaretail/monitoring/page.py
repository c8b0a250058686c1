"""The watch's page: what was promised, what came, and what to do."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from trainworks.release.stored import StoredBundle
from trainworks.report.page import Mark, Quantity, Table, curves, percent, render
from trainworks.supermegaretail.monitoring.knobs import WatchConfig

SHOWN = 12
"""The newest periods in the table; the chart has all."""


def page(alert: Mapping[str, Any], bundle: StoredBundle, knobs: WatchConfig) -> str:
    """One self-contained HTML page of what ``alert.json`` says."""
    periods = [each for each in alert["periods"] if each["gain"] is not None]
    return render(
        "supermegaretail/monitoring/page.html",
        alert=alert,
        knobs=knobs,
        baseline=(bundle.json("baseline.json") or {}).get("model"),
        chart=_chart(periods, alert["promised"]["floor"]) if len({each["start"] for each in periods}) > 1 else None,
        periods=_periods(periods),
        signs=_signs(alert),
        cells=Table("What became of the cells that were forecast", ["Cells", "Number"], list(alert["cells"].items())),
        others=Table(
            "Forecast by other releases, and left out", ["Release", "Origins"], [[k, ", ".join(v)] for k, v in alert["others"].items()]
        ),
    )


def _chart(periods: list[Mapping[str, Any]], floor: float) -> Any:
    """The gains of each period, by the release that forecast last."""
    last = {each["start"]: each for each in periods}
    starts = sorted(last)
    values = {
        "saved": [last[start]["gain"] for start in starts],
        "least promised": [floor] * len(starts),
    }
    alt = f"Share of the baseline's loss that was saved in each period, {starts[0]} to {starts[-1]}"
    return curves(alt, [date.fromisoformat(start) for start in starts], values, step_name="period", shares=True)


def _periods(periods: list[Mapping[str, Any]]) -> Table:
    head = ["Period", "Release", "Cells", "Its loss", "The baseline's", "Saved", "95 % interval", ""]
    rows = [
        [
            each["start"],
            each["release"][-12:],
            each["cells"],
            each["loss"],
            each["baseline"],
            percent(each["gain"]),
            Quantity(" to ".join(percent(end) for end in each["interval"])),
            Mark(not each["bad"], "worse than promised" if each["bad"] else "as promised"),
        ]
        for each in periods[-SHOWN:][::-1]
    ]
    return Table("Pinball loss in units, newest first", head, rows)


def _signs(alert: Mapping[str, Any]) -> Table:
    rows = [
        [
            sign["sign"],
            sign["says"],
            Mark(False, "warns" if sign["warns"] else "explains") if sign["warns"] or sign["explains"] else Mark(True, "usual"),
        ]
        for sign in alert["signs"]
    ]
    return Table("Other signs in the newest periods", ["Sign", "What is seen", ""], rows)
