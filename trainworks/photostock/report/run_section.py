"""What ran, for a reader: knobs, what differs from the last release, parameter groups, time, cost and versions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainworks.config import meanings
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.report.page import Table, dollars, seconds

_DIGEST = 12
"""Characters of a commit or of a data fingerprint that tell it from others."""


def section(facts: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> dict[str, Table]:
    """The tables of what ran; *facts* are those of ``report``, *groups* those of fine-tuning."""
    return {"knobs": _knobs(facts), "groups": _groups(groups), "times": _times(facts["stages"]), "versions": _versions(facts["versions"])}


def differences(facts: Mapping[str, Any], data: str, release: Mapping[str, Any]) -> Table:
    """The knobs, versions, code and *data* (its fingerprint) that are not those of the *release*, whose ``ran`` tells them.

    A dash stands for a knob or a package that only the other has.
    """
    packages = {name: version for name, version in facts["versions"].items() if name != "python"}  # a bundle tells packages only
    now = {"config": facts["knobs"], "packages": packages, "": {"commit": facts["commit"][:_DIGEST], "data": data[:_DIGEST]}}
    ran = {name: release.get(name, {}) for name in ("config", "packages")}
    then = {**ran, "": {name: str(release.get(name, "unknown"))[:_DIGEST] for name in ("commit", "data")}}
    rows = [[name, _words(then[part], name), _words(now[part], name)] for part in then for name in _changed(then[part], now[part])]
    return Table("Changed since the last release", ["What", "Last release", "This run"], rows)


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[str]:
    return (name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name))


def _words(values: Mapping[str, Any], name: str) -> str:
    return str(values[name]) or "(empty)" if name in values else "–"


def _knobs(facts: Mapping[str, Any]) -> Table:
    meaning = {name: words for section in (DataConfig, TrainConfig, GateConfig) for name, words in meanings(section).items()}
    defaults = facts.get("defaults", {})
    knobs: list[list[object]] = []
    changed = []
    for name, value in facts["knobs"].items():
        words = str(value)
        if name in defaults and defaults[name] != value:
            changed.append(len(knobs))
            words += f" (changed from {defaults[name]})"
        knobs.append([name, words, meaning.get(name, "")])
    return Table("Knobs", ["Knob", "Value", "Meaning"], knobs, strong=changed)


def _groups(groups: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [g["group"], g["parameters"], g["factor"], g["learning_rate"], g["thaw"] if g["factor"] else None, g["lora"] or None]
        for g in groups
    ]
    return Table("What learns, and how fast", ["Parameters", "Number", "Factor", "Peak learning rate", "From epoch", "LoRA rank"], rows)


def _times(stages: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[object]] = [
        [
            f"{s['stage']} (from an earlier run)" if s.get("cached") else s["stage"],
            s["machine"].upper(),
            seconds(s["seconds"]),
            dollars(s["cost"]),
        ]
        for s in stages
    ]
    total = ["together, from scratch", "", seconds(sum(s["seconds"] for s in stages)), dollars(sum(s["cost"] for s in stages))]
    return Table("Time and cost per stage", ["Stage", "Machine", "Time", "Cost, estimated"], [*rows, total], strong=[len(rows)])


def _versions(versions: Mapping[str, str]) -> Table:
    return Table("Versions", ["Package", "Version"], sorted(versions.items()))
