"""What the gates say of a run, from what its stages measured."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trainworks.release import measures
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.evaluation.measures import MEASURES
from trainworks.supermegaretail.run import Run

NO_RELEASE = "no release to compare with"


def verdict(run: Run, lines: Sequence[Path], gate: GateConfig) -> dict[str, Any]:
    """The verdict of ``trainworks.release.gates`` on *run* and the *lines* it was made from, by the bounds that *gate* asks for.

    What could not be measured fails. Without a release that can be read there is no regression, and the row's note says why.
    """
    files = {
        "metrics": run.metrics / "metrics.json",
        "behaviour": run.behaviour / "behaviour.json",
        "parity": run.forecaster / "parity.json",
    }
    contents = {name: json.loads(path.read_bytes()) for name, path in files.items()}
    return measures.judge(gate.gates, MEASURES, partial(_measured, ledger=ledger(lines), **contents))


def ledger(lines: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Table → lines ``read``, ``kept``, and by reason ``corrected`` and ``rejected``, summed over the folders of clean."""
    whole: dict[str, dict[str, Any]] = {}
    for folder in lines:
        for table, counted in json.loads((folder / "ledger.json").read_bytes()).items():
            sums = whole.setdefault(table, {"read": 0, "kept": 0, "corrected": {}, "rejected": {}})
            for part in ("read", "kept"):
                sums[part] += counted[part]
            for part in ("corrected", "rejected"):
                for reason, number in counted[part].items():
                    sums[part][reason] = sums[part].get(reason, 0) + number
    return whole


def _measured(
    name: str, metrics: Mapping[str, Any], behaviour: Mapping[str, Any], parity: Mapping[str, Any], ledger: Mapping[str, Any]
) -> tuple[float, str]:
    """The value of the measure *name*, NaN where it could not be measured, and what there is to say of it."""
    match name:
        case "gain":
            return _low(metrics, "pinball_share")
        case "saved":
            return _low(metrics, "cost_share")
        case "pinball":
            return _number(metrics["shipped"]["pinball"]["value"]), ""
        case "coverage":
            off = {quantile: abs(share["surely_off"]) for quantile, share in metrics["shipped"]["coverage"].items()}
            worst = max(off, key=lambda quantile: off[quantile])
            return off[worst], worst
        case "bias":
            return abs(_number(metrics["shipped"]["bias"]["value"])), ""
        case "regression":
            return _regression(metrics)
        case "parity":
            return parity["max_share"] * parity["relative_tolerance"], f"{parity['rows']} rows"
        case "rejected":
            sales = ledger["sales"]
            return sum(sales["rejected"].values()) / max(sales["read"], 1), ""
    return _rate(behaviour["checks"].get(name))


def _low(metrics: Mapping[str, Any], share: str) -> tuple[float, str]:
    if metrics["ships_baseline"]:
        return 0.0, f"{metrics['model']} is the best baseline itself"
    return _number(metrics["gains"][share]["interval"][0]), f"over {metrics['best_baseline']}"


def _regression(metrics: Mapping[str, Any]) -> tuple[float, str]:
    release = metrics.get("release", {})
    if "over_release" in metrics:
        return -_number(metrics["over_release"]["pinball_share"]["interval"][1]), f"against {release['version']}"
    # Minus infinity: where there is nothing to lose, every bound holds.
    return -math.inf, f"{NO_RELEASE}: {release['version']} cannot be compared, {release['unreadable']}" if release else NO_RELEASE


def _rate(check: Mapping[str, Any] | None) -> tuple[float, str]:
    if check is None or not check["cases"] or check["rate"] is None:
        return math.nan, "not measured: no case to try it on"
    return check["rate"], f"{check['cases']} cases"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
