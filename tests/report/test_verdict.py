"""The verdict as a reader sees it: a line of words, and a row for each gate."""

import doctest
import re
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

import trainworks
from trainworks.release import gates
from trainworks.release.gates import Gate, verdict
from trainworks.report.verdict import change, screen, table

HELD = Gate("growth", 0.5, 0.25, "share that grew")
FAILED = Gate("loss", 0.125, 0.05, "growth lost", "at most", note="two fields")
WAIVED = Gate("loss", 0.125, 0.05, "growth lost", "at most", waived=True, note="two fields")


def test_the_table_tells_every_gate_by_word():
    """Held, failed, and failed but waived, each with its note."""
    rows = table(verdict([HELD, FAILED, WAIVED])).rows
    assert [str(row[1]) for row in rows] == ["✓ holds", "✗ fails (two fields)", "✗ fails, waived (two fields)"]
    assert [row[3] for row in rows] == ["at least 0.25", "at most 0.05", "at most 0.05"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([HELD], "✓ Every gate holds: the model may be released"),
        ([HELD, WAIVED], "✓ Every gate holds but 1 that is waived: the model may be released"),
        ([WAIVED, WAIVED], "✓ Every gate holds but 2 that are waived: the model may be released"),
        ([HELD, FAILED], "✗ 1 of 2 gates fails: the model stays a candidate"),
        ([FAILED, FAILED, WAIVED], "✗ 2 of 3 gates fail: the model stays a candidate"),
    ],
)
def test_the_first_line_says_whether_the_model_may_ship(asked, words):
    """And how many gates stand in the way, or were waived."""
    assert line_of(verdict(asked)) == words


def line_of(judged, small=""):
    """The badge's words."""
    templates = Environment(loader=FileSystemLoader(Path(trainworks.__file__).parent), trim_blocks=True)
    return re.sub(r"<[^>]*>", "", templates.get_template("report/verdict.html").module.headline(judged, small)).strip()


def test_too_small_a_test_is_said_before_anything_else():
    """Whatever the gates say, the badge says that nothing can be decided."""
    for asked in ([HELD], [FAILED]):
        line = line_of(verdict(asked), "12 trials are too few to decide; it takes 50")
        assert line.startswith("? 12 trials are too few to decide") and "may be released" not in line
    assert line.endswith("; the model stays a candidate")


CHECKS = {name: {"rate": rate, "cases": cases} for name, rate, cases in (("typos", 0.25, 64), ("flip", 0.9, 64), ("none", None, 0))}


def test_the_first_screen_tells_why():
    """Each failed gate by name and by how much, what was waived apart from it; when, of what data, and where it is weak."""
    judged = verdict([HELD, Gate("lost", 0.08, 0.02, "growth lost", "at most", unit="points"), WAIVED])
    ran = {"judged": "2026-11-28T10:00+00:00", "name": "wise", "commit": "0123456789abcdef"}
    told = screen(judged, ran, "fedcba9876543210", CHECKS, "Against the last release: better.")
    assert told["failed"] == ["lost: growth lost must be at most 2.0 points, is 8.0 points, 6.0 points off"]
    assert told["waived"] == ["loss: growth lost must be at most 0.05, is 0.125, 0.075 off (two fields)"]
    assert told["weak"] == ["typos 25 % of 64"]
    assert told["facts"] == {"Judged": "2026-11-28 10:00", "Run": "wise", "Data": "fedcba987654", "Commit": "0123456789ab"}
    templates = Environment(loader=FileSystemLoader(Path(trainworks.__file__).parent), trim_blocks=True).get_template("report/verdict.html")
    shown = re.sub(r"<[^>]*>", "", templates.module.reasons(told))
    assert "✗ fails lost: growth lost" in shown and "○ waived loss: growth lost" in shown


@pytest.mark.parametrize(
    ("paired", "words"),
    [
        (None, "There is no earlier release to compare with."),
        (
            {"difference": -0.08, "interval": [-0.15, -0.01]},
            "Against the last release: −8.0 points (−15.0 to −1.0, on the same 100 trials).",
        ),
        ({"difference": 0.0, "interval": [-0.03, 0.03]}, "+0.0 points (−3.0 to +3.0, on the same 100 trials): no sure difference."),
    ],
)
def test_a_change_is_sure_or_said_not_to_be(paired, words):
    """With its interval, or with the reason why there is none."""
    assert change(paired, 100, "trials").endswith(words)


def test_numbers_become_words():
    """As a reader says them: no exponents, no long fractions."""
    assert doctest.testmod(gates).failed == 0
