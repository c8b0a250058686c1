"""The verdict as a reader sees it: a line of words, and a row for each gate."""

import re
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

import trainworks
from trainworks.release.gates import Gate, verdict
from trainworks.report.verdict import table

HELD = Gate("growth", 0.5, 0.25, "share that grew")
FAILED = Gate("loss", 0.125, 0.05, "growth lost", "at most", note="two fields")
WAIVED = Gate("loss", 0.125, 0.05, "growth lost", "at most", waived=True, note="two fields")


def test_the_table_tells_every_gate_by_word():
    """Held, failed, and failed but waived, each with its note."""
    rows = table(verdict([HELD, FAILED, WAIVED])).rows
    assert [str(row[-1]) for row in rows] == ["✓ holds", "✗ fails (two fields)", "✗ fails, waived (two fields)"]
    assert [row[3] for row in rows] == ["at least 0.25", "at most 0.05", "at most 0.05"]


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ([HELD], "✓ Every gate holds: the model may be released"),
        ([HELD, WAIVED], "✓ Every gate holds but 1 that is waived: the model may be released"),
        ([WAIVED, WAIVED], "✓ Every gate holds but 2 that are waived: the model may be released"),
        ([HELD, FAILED], "✗ 1 of 2 gates fails: the model stays a candidate"),
        ([FAILED, FAILED, WAIVED], "✗ 2 of 3 gates fail: the model stays a candidate"),
    ],
)
def test_the_first_line_says_whether_the_model_may_ship(gates, words):
    """And how many gates stand in the way, or were waived."""
    templates = Environment(loader=FileSystemLoader(Path(trainworks.__file__).parent), trim_blocks=True)
    line = templates.get_template("report/verdict.html").module.headline(verdict(gates))
    assert re.sub(r"<[^>]*>", "", line).strip() == words
