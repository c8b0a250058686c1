"""The benchmarks are run by hand; here, that each is listed and that the page shows their results."""

import importlib
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import results
from benchmarks.harness import Row, ratios, timed


def test_every_section_is_listed_and_imports_without_peers():
    """A module of rows is in the list, says what it compares, and can be imported where no peer is installed."""
    folder = Path(command.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "\ndef rows(" in path.read_text()}
    assert modules == {*command.SECTIONS, *command.FULL}
    for name in modules:
        assert importlib.import_module(f"benchmarks.{name}").__doc__


@pytest.mark.parametrize(
    ("ratios", "target", "met"),
    [([1, 9, 3], ">= 3", True), ([1, 9, 2.9], ">= 3", False), ([1.4], "<= 1.5", True), ([1.6], "<= 1.5", False)],
)
def test_the_median_decides(ratios, target, met):
    """One lucky or unlucky repeat neither meets a target nor misses it."""
    assert Row("work", "peer 1.0", ratios, target).met is met


def test_the_page_shows_ratio_spread_target_and_what_was_missed():
    """A reader sees every number behind the median, and cannot overlook a missed target."""
    rows = [
        vars(row)
        for row in (Row("a", "peer 1.0", [2.0, 4.0, 3.0], ">= 3"), Row("b", "peer 1.0", [2.0], ">= 3"), Row("c", "limit", [7.0], ""))
    ]
    section = {"rows": rows, "command": "python -m benchmarks", "machine": "a processor, 2 cores", "seconds": 5}
    page = results.page({"toys": section}, {"toys": "Toys against toys.", "not run": "Never."})
    assert "| a | peer 1.0 | 3 (2–4) | ≥ 3 | CPU |" in page
    assert "| b | peer 1.0 | 2 | ≥ 3 **missed** | CPU |" in page
    assert "1 of 2 targets are met" in page
    assert "Toys against toys." in page and "Never." not in page
    assert "`python -m benchmarks`, 5 s, a processor, 2 cores" in page


def test_ratios_are_taken_repeat_by_repeat():
    """A slow minute of the machine, which hits both sides of a repeat, cancels out."""
    assert ratios([{"cpu": 4.0}, {"cpu": 40.0}], [{"cpu": 2.0}, {"cpu": 20.0}]) == [2, 2]


def test_time_is_that_of_the_work():
    """The work's result comes back, with what it cost."""
    spent, result = timed(lambda: sum(range(1_000_000)))
    assert result == 499_999_500_000
    assert 0 < spent["cpu"] <= 10 * spent["wall"]
