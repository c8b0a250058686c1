"""Is the release that is at work still as good as it promised? Forecasts against sales: ``ok``, ``warn`` or ``retrain``.

Below the forecasts, ``watch/alert.json`` says it to machines and ``watch/report.html`` to people. The first is the watch's memory as well,
replaced as a whole: periods that were compared before, and the last retraining.
"""

import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainworks.errors import IntegrityError, ReleaseError
from trainworks.release import stored
from trainworks.storage import s3
from trainworks.supermegaretail.evaluation.losses import Costs
from trainworks.supermegaretail.monitoring import page
from trainworks.supermegaretail.monitoring.knobs import WatchConfig
from trainworks.supermegaretail.monitoring.realised import COMPARED, Realised, gain, knobs_of, promised, realised
from trainworks.supermegaretail.monitoring.signs import Sign, signs
from trainworks.supermegaretail.panel.panel import Panel

log = logging.getLogger(__name__)

OK, WARN, RETRAIN = "ok", "warn", "retrain"
RELEASED = "released"

RECENT = 4
"""The newest periods, or as many as the patience if that is more, that are compared anew each time, so that late sales are heard."""

SPREAD = 2.0
"""Standard deviations of the backtest's gains, between its periods, that a gain may lie below their mean."""

KEPT = 104
"""Periods that the memory goes back."""

ALERT, REPORT = "watch/alert.json", "watch/report.html"
SCHEMA = 1


@dataclass(frozen=True)
class Watched:
    """What it came to: the *verdict*, *why*, the *page* itself, and the places of it and of ``alert.json``."""

    verdict: str
    why: str
    page: str
    report: str
    alert: str


def watch(release: str, panel: Path, to: str, knobs: WatchConfig) -> Watched:
    """Compare what the current version of *release* forecast, below the folder *to*, with what *panel* says was sold.

    A period is bad if the gain over the baseline is surely, by the end of its interval over series, less than the backtest promised
    (`least`). As many in a row as the patience end in ``retrain``, unless the last retraining is not older than the cool-down. So does
    a model that is `_unrecovered`. What other releases forecast is left out.

    Raises:
        DataError: forecasts of another grain than the sales.
        IntegrityError: the release, or the memory, is damaged.
    """
    bundle, whole, before = stored.locate(release), Panel.load(panel), recall(to)
    recent = min(max(RECENT, knobs.patience), whole.known - 1)
    made = realised(to, bundle, whole, recent)
    known = knobs_of(bundle)
    costs = Costs(known["shortage_cost"], known["overstock_cost"])
    gains = promised(bundle)
    usual, spread = float(gains.mean()), float(gains.std(ddof=min(1, len(gains) - 1)))
    floor = least(usual, spread, knobs.tolerance)
    judged = [_judged(gain(made.ours, made.baseline, start, costs), bundle.version, floor) for start in made.starts]
    other_signs = signs(made, whole, recent)
    retrained = (before or {}).get("retrained")
    periods = _history((before or {}).get("periods", []), judged)
    own = [each for each in periods if each["release"] == bundle.version]
    bad = _newest_bad(own)
    broke = _broke(retrained, own[-recent:])
    unrecovered = _unrecovered(broke, whole, knobs, known["horizon"] + known["step"])
    verdict, reasons = _judge(own, bad, other_signs, knobs, _rests(retrained, whole, knobs), unrecovered)
    here = str(whole.starts[whole.known - 1])
    if verdict == RETRAIN:
        broke = broke or {"since": bad[0]["start"], "floor": floor}
        retrained = {"at": here, "release": bundle.version, "outcome": None, "broke": broke, "again": bool(unrecovered)}
    elif retrained:
        retrained = {**retrained, "broke": broke}
    heard = (before or {}).get("reasons", {})
    why = "; ".join(reasons.values()) or _why_ok(made, bundle.version)
    alert = {
        "schema": SCHEMA,
        "verdict": verdict,
        "why": why,
        "reasons": reasons,
        "new": verdict != (before or {}).get("verdict", OK) or not reasons.keys() <= heard.keys(),
        "release": bundle.version,
        "newest": here,
        "period": whole.period,
        "promised": {"gain": usual, "spread": spread, "floor": floor, "periods": len(gains)},
        "periods": periods,
        "signs": other_signs,
        "cells": made.cells,
        "others": made.others,
        "retrained": retrained,
    }
    places = [f"{to.rstrip('/')}/{name}" for name in (REPORT, ALERT)]
    shown = page.page(alert, bundle, knobs)
    _replace(places[0], shown.encode())
    _replace(places[1], _dump(alert))
    log.info("watch     %s: %s", verdict, why)
    return Watched(verdict, why, shown, *places)


def least(usual: float, spread: float, tolerance: float) -> float:
    """The least gain that is as good as promised: the *usual* one less *tolerance*, or less SPREAD times its *spread* if that is more.

    A model that was better than its baseline must not be worse: a backtest across a break has a spread that would excuse anything.
    """
    return max(usual - max(tolerance, SPREAD * spread), min(0.0, usual - tolerance))


def concluded(to: str, released: bool, why: str) -> None:
    """Note how the retraining ended that `watch` asked for: *released*, or a candidate, and *why*.

    Raises:
        ReleaseError: its gates failed; once for each retraining.
    """
    alert = recall(to)
    if alert is None or alert["retrained"] is None:
        raise IntegrityError(f"{to}/{ALERT}: knows of no retraining; somebody replaced it meanwhile, watch again")
    alert["retrained"]["outcome"] = RELEASED if released else f"a candidate: {why}"
    _replace(f"{to.rstrip('/')}/{ALERT}", _dump(alert))
    if not released:
        raise ReleaseError(f"retrained, but kept {alert['release']}: {why}")


def recall(to: str) -> dict[str, Any] | None:
    """The last ``alert.json`` below *to*, or None if there is none.

    Raises:
        IntegrityError: it does not parse.
    """
    place = f"{to.rstrip('/')}/{ALERT}"
    content = s3.read(place) if s3.is_uri(place) else Path(place).read_bytes() if Path(place).exists() else None
    if content is None:
        return None
    try:
        alert = json.loads(content)
        if alert["schema"] != SCHEMA:
            raise ValueError(f"schema {alert['schema']}, expected {SCHEMA}")
        return alert
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(f"{place}: not what watch left ({error}); remove it, and the watch begins anew") from error


def _judged(period: dict[str, Any], version: str, floor: float) -> dict[str, Any]:
    return period | {"release": version, "bad": period["gain"] is not None and period["interval"][1] < floor}


def _history(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The periods of both, each by its newest comparison, the oldest first."""
    merged = {(each["start"], each["release"]): each for each in (*before, *now)}
    return [merged[name] for name in sorted(merged)][-KEPT:]


def _newest_bad(periods: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The newest *periods* that are bad in a row."""
    good = [place for place, each in enumerate(periods, 1) if not each["bad"]]
    return periods[good[-1] if good else 0 :]


def _broke(retrained: Mapping[str, Any] | None, newest: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The break that was trained for and has not been recovered from: ``since`` when, and the ``floor`` of what was saved until then.

    Where a training that knew but what came since was released, that is how the new times are.
    """
    if not retrained or not retrained.get("broke") or (retrained["again"] and retrained["outcome"] == RELEASED):
        return None
    gained = [each["gain"] for each in newest if each["gain"] is not None]
    return None if gained and np.mean(gained) >= retrained["broke"]["floor"] else retrained["broke"]


def _unrecovered(broke: Mapping[str, Any] | None, panel: Panel, knobs: WatchConfig, held_out: int) -> str:
    """Why to train once more after a break: all that a training learns and chooses by has come since.

    The first one has seen little of what is new; it learned, and was judged by, what has passed. *held_out* are the periods between the
    newest sales and the origin that chooses.
    """
    if not broke or panel.known - int(np.searchsorted(panel.starts, np.datetime64(broke["since"]))) < knobs.history + held_out:
        return ""
    return f"it has not recovered since {broke['since']}, and the {knobs.history} {panel.period}s to learn from have all come since"


def _judge(
    periods: Sequence[Mapping[str, Any]],
    newest_bad: Sequence[Mapping[str, Any]],
    other_signs: Sequence[Sign],
    knobs: WatchConfig,
    rests: str,
    unrecovered: str,
) -> tuple[str, dict[str, str]]:
    """The verdict, and name → the reasons for it in words."""
    bad, reasons = len(newest_bad), {}
    if bad:
        gained = periods[-1]["gain"]
        words = f"{100 * abs(gained):.0f} % {'less' if gained >= 0 else 'more'} than the baseline"
        reasons["loss"] = f"it surely lost more than promised in the last {bad} of {len(periods)} periods, at last {words}"
    reasons |= {sign["sign"]: sign["says"] for sign in other_signs if sign["warns"]}
    if unrecovered:
        reasons["unrecovered"] = unrecovered
    enough = bad >= knobs.patience or bool(unrecovered)
    if reasons:
        reasons |= {sign["sign"]: f"{sign['sign']} have changed ({sign['says']})" for sign in other_signs if sign["explains"]}
    if enough and rests:
        reasons["retrained"] = rests
    return RETRAIN if enough and not rests else WARN if reasons else OK, reasons


def _rests(retrained: Mapping[str, Any] | None, panel: Panel, knobs: WatchConfig) -> str:
    """Why there is no retraining now, if the last one is not long ago; one that never ended does not count."""
    if not retrained or not retrained["outcome"]:
        return ""
    at = int(np.searchsorted(panel.starts, np.datetime64(retrained["at"])))
    ago = panel.known - 1 - at
    return f"retrained {ago} {panel.period}{'s' if ago != 1 else ''} ago, {retrained['outcome']}" if ago < knobs.cooldown else ""


def _why_ok(made: Realised, version: str) -> str:
    if made.cells[COMPARED]:
        return f"{made.cells[COMPARED]:,} cells of {len(made.starts)} periods are as good as promised"
    others = f"; {', '.join(made.others)} forecast them and is not current" if made.others else ""
    return f"nothing to compare yet: of what {version} forecast nothing has been sold so far{others}"


def _dump(alert: Mapping[str, Any]) -> bytes:
    return (json.dumps(alert, indent=1) + "\n").encode()


def _replace(place: str, content: bytes) -> None:
    """Make *content* what lies at *place*, at once: whoever reads finds the old or the new."""
    if s3.is_uri(place):
        s3.put(place, content)
        return
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as draft:
        draft.write(content)
        draft.flush()
        os.fsync(draft.fileno())
    Path(draft.name).chmod(0o644)
    Path(draft.name).replace(path)
