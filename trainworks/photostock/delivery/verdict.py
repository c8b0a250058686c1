"""What the gates say of a run, from what its stages measured."""

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.evaluation.measures import MEASURES
from trainworks.photostock.judging.outcome import preference
from trainworks.photostock.run import Run
from trainworks.release import measures

NO_RELEASE = "no release to compare with"


def verdict(run: Run, gate: GateConfig, people: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The verdict of ``trainworks.release.gates`` on *run*, and on what *people* say of it, by the bounds that *gate* asks for.

    What could not be measured fails. Without a release that can be read there is no regression, and the row's note says why.
    """
    files = {
        "metrics": run.metrics / "metrics.json",
        "behaviour": run.behaviour / "behaviour.json",
        "parity": run.encoders / "parity.json",
        "card": run.dataset / "card.json",
    }
    contents = {name: json.loads(path.read_bytes()) for name, path in files.items()}
    return measures.judge(gate.gates, MEASURES, partial(_measured, people=people, **contents))


def _measured(
    name: str,
    people: Mapping[str, Any] | None,
    metrics: Mapping[str, Any],
    behaviour: Mapping[str, Any],
    parity: Mapping[str, Any],
    card: Mapping[str, Any],
) -> tuple[float, str]:
    """The value of the measure *name*, NaN where it could not be measured, and what there is to say of it."""
    match name:
        case "recall":
            return _recall(metrics, "finetuned"), ""
        case "gain":
            return _recall(metrics, "finetuned") - _recall(metrics, "baseline"), ""
        case "queries":
            return float(metrics["finetuned"]["text_to_image"]["queries"]), ""
        case "lift":
            return metrics["finetuned"]["text_to_image"]["interval"]["R@10"][0] / metrics["chance"]["R@10"], ""
        case "sure_gain":
            return metrics["paired"]["text_to_image"]["R@10"]["interval"][0], ""
        case "lost":
            return _lost(metrics, lambda over: over["difference"])
        case "regression":
            return _lost(metrics, lambda over: over["interval"][1])
        case "forgetting":
            lost = {kind: models["baseline"]["R@10"] - models["finetuned"]["R@10"] for kind, models in metrics["queries"].items()}
            return _largest(lost)
        case "preference":
            return preference(people)
        case "parity":
            return _largest({encoder: tried["max_abs"] for encoder, tried in parity.items()})
        case "int8_loss":
            shipped = {encoder: small["loss"] for encoder, small in metrics["int8"].items() if small["ships"]}
            return _largest(shipped) if shipped else (0.0, "withheld, both encoders are in fp32")
        case "rejected":
            prepare = next(stage for stage in card["stages"] if stage["stage"] == "prepare")
            return sum(prepare["rejected"].values()) / prepare["read"], ""
    return _rate(behaviour["checks"].get(name))


def _recall(metrics: Mapping[str, Any], model: str) -> float:
    return metrics[model]["text_to_image"]["R@10"]


def _lost(metrics: Mapping[str, Any], gained: Callable[[Mapping[str, Any]], float]) -> tuple[float, str]:
    release = metrics.get("release", {})
    if "over_release" in metrics:
        return -gained(metrics["over_release"]["text_to_image"]["R@10"]), f"against {release['version']}"
    # Minus infinity: where there is nothing to lose, every bound holds.
    return -math.inf, f"{NO_RELEASE}: {release['version']} cannot be read, {release['unreadable']}" if release else NO_RELEASE


def _largest(values: Mapping[str, float]) -> tuple[float, str]:
    """The largest value and whose it is; NaN if there is one."""
    names = list(values)
    k = int(np.argmax([values[name] for name in names]))
    return values[names[k]], names[k].replace("_", " ")


def _rate(check: Mapping[str, Any] | None) -> tuple[float, str]:
    if check is None or not check["cases"] or check["rate"] is None:
        return math.nan, "not measured: no case to try it on"
    return check["rate"], f"{check['cases']} cases"
