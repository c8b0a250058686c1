"""What ran, and what of it is new since the last release."""

import re
from dataclasses import dataclass
from typing import Any

from trainworks.config import Section, knob
from trainworks.report.page import render
from trainworks.report.run_section import differences, section


@dataclass(frozen=True)
class Training(Section):
    """Two knobs."""

    name = "train"

    epochs: int = knob(6, "passes over the data")
    rate: float = knob(0.1, "size of a step")


RAN: dict[str, Any] = {
    "knobs": {"source": "sample", "epochs": 6, "rate": 0.2},
    "defaults": {"epochs": 6, "rate": 0.1},
    "stages": [
        {"stage": "clean", "seconds": 3.21, "machine": "cpu", "cost": 0.0002, "cached": True},
        {"stage": "fit", "seconds": 215.2, "machine": "gpu", "cost": 0.06},
    ],
    "commit": "0123abc",
    "versions": {"numpy": "2.4.6", "onnxruntime": "1.32.0", "python": "3.11.2"},
    "seed": 1,
    "machine": "2 cores, no GPU",
    "command": "pyflyte run workflows/toy.py toy --rate 0.2",
}
PACKAGES = {"numpy": "2.4.6", "onnxruntime": "1.32.0"}
SAME = {"config": RAN["knobs"], "packages": PACKAGES, "commit": "0123abc", "data": "d" * 64}


def test_only_what_differs_is_told() -> None:
    """A knob that only one side has stands against a dash; an empty one is said to be empty."""
    release = {"config": {**RAN["knobs"], "epochs": 3, "old": "yes", "source": ""}, "packages": {"numpy": "2.4.6"}, "commit": "f" * 40}
    assert differences(RAN, "d" * 64, release).rows == [
        ["epochs", "3", "6"],
        ["old", "yes", "–"],
        ["source", "(empty)", "sample"],
        ["onnxruntime", "–", "1.32.0"],
        ["commit", "f" * 12, "0123abc"],
        ["data", "unknown", "d" * 12],
    ]


def test_python_alone_is_no_difference() -> None:
    """A bundle tells the versions of packages only."""
    assert differences(RAN, "d" * 64, SAME).rows == []


def test_a_changed_knob_stands_out_with_its_meaning() -> None:
    """In bold, beside the default; what no section declares has no meaning, and is no change."""
    knobs = section(RAN, [Training], "d" * 64, {})["knobs"]
    assert knobs.rows == [
        ["source", "sample", ""],
        ["epochs", "6", "passes over the data"],
        ["rate", "0.2 (changed from 0.1)", "size of a step"],
    ]
    assert knobs.strong == [2]


def test_costs_add_up() -> None:
    """The last line is the sum of the others, in time and in money."""
    rows = section(RAN, [Training], "d" * 64, {})["times"].rows
    assert [row[3] for row in rows] == ["under $0.01", "$0.06", "$0.06"]
    assert rows[-1][:3] == ["together, from scratch", "", "3 min 38 s"]


def test_the_section_stands_without_a_room() -> None:
    """Command, commit and machine, and whether anything changed since the last release; nothing of that before the first one."""

    def words(release: dict[str, Any]) -> str:
        html = render("report/run_section.html", ran=section(RAN, [Training], "d" * 64, release))
        return " ".join(re.sub(r"<[^>]*>", " ", html).split())

    assert "Command pyflyte run workflows/toy.py toy --rate 0.2 Commit 0123abc Seed 1 Machine 2 cores, no GPU Knobs" in words({})
    assert "clean (from an earlier run) CPU 3.2 s under $0.01 fit GPU" in words({})
    assert "Nothing has changed since the last release" in words(SAME)
    assert "commit fff 0123abc “Data” is the fingerprint" in words({**SAME, "commit": "fff"})
