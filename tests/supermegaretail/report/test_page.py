"""The page that a planner reads."""

import json
import re
import shutil

import pytest

from tests.supermegaretail import toy_run
from trainworks.errors import DataError
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.evaluation.knobs import CostConfig
from trainworks.supermegaretail.report import results
from trainworks.supermegaretail.report.page import write
from trainworks.supermegaretail.run import Run


@pytest.fixture(scope="module")
def html(delivered):
    return (delivered["report"] / "report.html").read_text()


def written(delivered, out, lines=None, **metrics):
    """The page of the run with other *metrics*, or other *lines*."""
    folder = shutil.copytree(delivered["metrics"], out / "metrics")
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | metrics))
    run = Run(delivered["panel"], delivered["recipe"], delivered["forecaster"], folder, delivered["behaviour"])
    verdict = json.loads((delivered["report"] / "verdict.json").read_text())
    write(run, lines or delivered["lines"], verdict, toy_run.RAN, [CostConfig, GateConfig], out / "report")
    return (out / "report" / "report.html").read_text()


def heading(html):
    return re.search(r"<h1>(.*?)</h1>", html)[1]


def test_the_verdict_stands_first_in_a_planners_words(html, delivered):
    """Ship or not, then what is saved of the cost of wrong stock."""
    saved = json.loads((delivered["metrics"] / "metrics.json").read_text())["gains"]["cost_share"]["value"]
    assert heading(html) == f"Of every 100 that wrong stock costs, {100 * saved:.0f} are saved"
    assert html.index('class="verdict') < html.index("<h1>")


def test_a_loss_and_a_baseline_that_ships_are_said_as_plainly(delivered, tmp_path):
    """In the same place."""
    gains = json.loads((delivered["metrics"] / "metrics.json").read_text())["gains"]
    worse = gains | {"cost_share": {"value": -0.25, "interval": [-0.3, -0.2]}}
    assert heading(written(delivered, tmp_path / "worse", gains=worse)) == "Of every 100 that wrong stock costs, this model would add 25"
    same = heading(written(delivered, tmp_path / "same", ships_baseline=True))
    assert same == "Nothing that was tried surely beats the best baseline, so that is what ships"


def test_a_test_of_few_series_decides_nothing(delivered, tmp_path):
    """Whatever its gates say, the badge has how many there were and how many it takes; bias is told in per cent."""
    shipped = json.loads((delivered["metrics"] / "metrics.json").read_text())["shipped"]
    few = written(delivered, tmp_path / "few", shipped=shipped | {"series": 12})
    assert "? 12 series are too few to decide; it takes 50" in few and "may be released" not in few
    many = written(delivered, tmp_path / "many", shipped=shipped | {"series": 50, "bias": {"value": 0.03724, "interval": [-0.02462, 0.1]}})
    assert "too few to decide" not in many and "+3.7 % (−2.5 % to +10.0 %)" in many


def test_every_section_is_there_and_reached_from_the_contents(html):
    """By its id, once."""
    links = re.findall(r'<li><a href="#(\w+)"', html)
    assert links == ["verdict", "series", "gained", "where", "reliability", "response", "worst", "behaviour", "data", "ran"]
    assert all(html.count(f'id="{name}"') == 1 for name in links)


def test_the_page_is_whole_in_itself(html):
    """Nothing is loaded, no script runs, and no path of the machine is in it."""
    assert not re.search(r"<script|<link|src=\"(?!data:)|url\((?!#)|@import", html)


def test_fan_charts_show_real_series_with_what_then_happened(html):
    """A promoted one among them; each told in words to who cannot see it."""
    charts = re.findall(r'aria-label="([^"]* · P\d · \w+: units sold in each week[^"]*)"', html)
    assert (len(charts) >= 4 and "on offer in the periods that are forecast" in html) or "sells most" in html


def test_the_same_run_gives_the_same_bytes(delivered, tmp_path):
    """So that a report can be compared with another."""
    assert written(delivered, tmp_path / "one") == written(delivered, tmp_path / "other")


def test_lines_that_do_not_add_up_are_refused(delivered, tmp_path):
    """A ledger that hides lines is worse than none."""
    lines = shutil.copytree(delivered["lines"][0], tmp_path / "lines")
    content = json.loads((lines / "ledger.json").read_text())
    content["sales"]["kept"] -= 1
    (lines / "ledger.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="must add up"):
        written(delivered, tmp_path, lines=[lines])


def test_a_plan_that_ends_too_early_is_told(html, delivered, tmp_path):
    """How many cells it says nothing of, and what stands there; or that it reaches all of them."""
    assert "Of 160 cells in the 4 weeks after these, the plan says nothing of promotion in 160, price in 160" in html
    assert "The plan has a value for every cell" in written(delivered, tmp_path / "all", plan={"cells": 160, "missing": {}})
    assert "@past(1)" in written(delivered, tmp_path / "none", plan={"refused": "weather@plan has no value; declare weather@past(1)"})


def test_averages_have_a_line_each_and_a_single_series_has_no_bracket():
    """Two averages are two models; an interval over one series would look sure of itself."""
    scores = [
        {"model": model, "origin": origin, "pinball": 1.0}
        for model in ("average(a, b)", "average(a, c)", "naive")
        for origin in ("2026-01-05", "2026-02-02")
    ]
    assert "Pinball loss of 3 models at 2 origins" in results.over_origins(scores)
    assert results.share({"value": 0.2, "interval": [0.2, 0.2]}) == "+20.0 %"
    assert results.share({"value": 0.2, "interval": [0.1, 0.3]}) == "+20.0 % (+10.0 to +30.0)"


def test_what_the_panel_warns_of_and_leaves_out_is_shown(html):
    """A planner knows whether a shelf was empty; a store that was refused is named with why."""
    assert "P1 of store 0003 sold nothing for 6 weeks" in html
    assert "9999: its periods begin on Monday" in html and "series that sell less" in html
