"""What ran, and what of it is new since the last release."""

from tests.photostock.toy_run import RAN
from trainworks.photostock.report.run_section import differences, section


def test_only_what_differs_is_told() -> None:
    """A knob that only one side has stands against a dash; an empty one is said to be empty."""
    release = {"config": {**RAN["knobs"], "epochs": 3, "old": "yes", "tune": ""}, "packages": {"torch": "2.15.0"}, "commit": "f" * 40}
    table = differences(RAN, "d" * 64, release)
    assert table.rows == [
        ["epochs", "3", "6"],
        ["old", "yes", "–"],
        ["tune", "(empty)", "logit_scale=1, *.head=1, *=0.1"],
        ["onnxruntime", "–", "1.32.0"],
        ["commit", "f" * 12, "0123abc"],
        ["data", "unknown", "d" * 12],
    ]


def test_python_alone_is_no_difference() -> None:
    """A bundle tells the versions of packages only."""
    facts = {**RAN, "versions": RAN["versions"] | {"python": "3.11.2"}}
    same = {"config": RAN["knobs"], "packages": RAN["versions"], "commit": "0123abc", "data": "d" * 64}
    assert differences(facts, "d" * 64, same).rows == []


def test_costs_add_up() -> None:
    """The last line is the sum of the others, in time and in money."""
    rows = section(RAN, [])["times"].rows
    assert [row[3] for row in rows] == ["under $0.01", "$0.06", "$0.06"]
    assert rows[-1][:3] == ["together, from scratch", "", "3 min 38 s"]
