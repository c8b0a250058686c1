"""Has what comes in changed? Each quantity of new data against its reference, and a threshold for how far it may lie from it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainworks.profile import Values, counts, shift
from trainworks.report.terminal import table

LEAST = 30
"""Rows below which no distribution is to be seen."""

THRESHOLD = 0.25
"""Shift from which on data has drifted. Of a PSI it is Siddiqi's; of embeddings, as a share of their variance, half a standard
deviation squared: a medium effect (J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988)."""

Measured = dict[str, Any]
"""One quantity: its name as ``measure``, ``reference`` and ``now`` in words, the ``shift`` between them, its ``threshold``, and
whether it is ``ok``."""


def compare(name: str, reference: Mapping[str, Any], values: Values, only_falls: bool = False) -> Measured:
    """The *values* of the quantity *name* against its ``profile.reference``.

    The threshold is THRESHOLD or, if that is more, the most that halves of the reference differ from each other, and more in a
    smaller sample. A quantity that *only_falls* is numbers such as scores, which drift only when their median is less.
    """
    size = (1 + reference["n"] / len(values)) / 4  # variance of n against m rows, in those of two halves of n
    threshold = max(THRESHOLD, reference["noise"] * max(1.0, size))
    away = shift(reference, values)
    before, now = _words(reference, values)
    ok = away <= threshold or (only_falls and float(np.median(np.asarray(values))) >= reference["median"])
    return {"measure": name, "reference": before, "now": now, "shift": away, "threshold": threshold, "ok": ok}


def inform(name: str, reference: str, now: str) -> Measured:
    """A quantity that informs only: it has no threshold, and is always ok."""
    return {"measure": name, "reference": reference, "now": now, "shift": None, "threshold": None, "ok": True}


def in_words(measures: Sequence[Measured], compared: str) -> str:
    """*measures* as lines of text; the last says how much was *compared*, such as ``240 rows``, and what has drifted."""
    head = ("measure", "reference", "now", "shift", "threshold", "")
    rows = [
        [*(row[name] for name in ("measure", "reference", "now")), *(_short(row[name]) for name in ("shift", "threshold")), _mark(row)]
        for row in measures
    ]
    drifted = [row["measure"] for row in measures if not row["ok"]]
    end = f"drifted: {'; '.join(drifted)}" if drifted else "no drift"
    return f"{table(head, rows)}\n\n{compared}: {end}"


def _words(reference: Mapping[str, Any], values: Values) -> tuple[str | None, str | None]:
    """The reference and *values* in short: a median, or the share of what was most frequent."""
    if "median" in reference:
        return f"{reference['median']:.3g}", f"{np.median(np.asarray(values)):.3g}"
    if "names" in reference:
        before, now = (np.asarray(count)[0] / max(np.sum(count), 1) for count in (reference["counts"], counts(reference, values)))
        return f"{reference['names'][0]} {100 * before:.0f} %", f"{100 * now:.0f} %"
    return None, None


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _mark(row: Measured) -> str:
    return "" if row["threshold"] is None else "ok" if row["ok"] else "drifted"
