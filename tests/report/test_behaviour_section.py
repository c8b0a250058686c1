"""The report's section on behaviour: rates with intervals, and failing examples that a person can judge."""

import re

import pytest
from PIL import Image

from trainworks import behaviour
from trainworks.behaviour import Case
from trainworks.report import behaviour_section
from trainworks.report.page import render

WIDE, TALL = Image.new("RGB", (320, 240), "red"), Image.new("RGB", (240, 320), "red")


def a_case(margin: float, **shown: object) -> Case:
    return Case("p1", "turned", margin, {"kept": 0.5 + margin}, shown)


CHECKS = {
    "turned_left": [a_case(-0.2, title="the <left> hand", own=WIDE, new=TALL), *[a_case(0.1)] * 7],
    "one_image": [a_case(-0.3, title="a wheel", own=WIDE)],
    "typos": [a_case(-0.4, before="Telescope", after="Telescoppe")],
    "nothing": [],
}


def section(checks, folder) -> str:
    behaviour.write(checks.items(), dict.fromkeys(checks, "share of what stays"), {"kept": 0.5}, folder)
    content = behaviour_section.content(folder, ("own", "new"), lambda example: f"kept {100 * example['kept']:.0f} %")
    return " ".join(render("report/behaviour_section.html", **content).split())


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> str:
    return section(CHECKS, tmp_path_factory.mktemp("behaviour"))


def test_each_check_is_a_row_with_rate_interval_and_cases(html):
    """Underscores are spaces, and a check without cases has a dash, not a rate of 0."""
    words = " ".join(re.sub(r"<[^>]*>", " ", html).split())
    assert "turned left share of what stays 87.5 % 53 to 98 % 8" in words
    assert "nothing share of what stays – nothing in the test to try it on 0" in words


def test_the_bar_lies_where_the_interval_is(html):
    """From 52.9 to 97.8 of 100."""
    assert re.search(r'<rect class="series1" x="52.91" y="1" width="44.85"', html)


def test_a_failing_image_is_shown_before_and_after(html):
    """Inline, with words for who cannot see it, and a foreign title escaped; an example may have one image only."""
    images = re.findall(r'<img src="([^"]*)" alt="([^"]*)"', html)
    assert [words for _, words in images] == ["the &lt;left&gt; hand, as it is", "the &lt;left&gt; hand, turned", "a wheel"]
    assert all(uri.startswith("data:image/webp;base64,") for uri, _ in images)
    assert "kept 30 %" in html


def test_a_failing_text_is_shown_before_and_after(html):
    """As two quotations."""
    assert re.search(r"<q[^>]*>Telescope</q>.*became.*<q[^>]*>Telescoppe</q>", html)


def test_a_model_without_failures_is_told_so(tmp_path):
    """No empty list of examples."""
    assert "No case failed." in section({"typos": [a_case(0.1)]}, tmp_path)
