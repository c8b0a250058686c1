"""The report's section on behaviour: rates with intervals, and failing examples that a person can judge."""

import json
import re

import pytest

from tests.photostock.toy_run import TITLES, a_run
from trainworks.photostock.report import behaviour_section


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return a_run(tmp_path_factory.mktemp("run"), TITLES)["behaviour"]


@pytest.fixture(scope="module")
def html(folder) -> str:
    return " ".join(behaviour_section.section(folder).split())


def test_each_check_is_a_row_with_rate_interval_and_cases(html):
    """Underscores are spaces, and a check without cases has a dash, not a rate of 0."""
    words = " ".join(re.sub(r"<[^>]*>", " ", html).split())
    assert "flip share of mirrored pictures 87.5 % 78 to 98 % 64" in words
    assert "tag order share of shuffled tags 100.0 % 90 to 100 % 64" in words
    assert "int8 agreement share of 8-bit queries – nothing in the test to try it on 0" in words
    assert "at least 50 % of its first 10 answers stay" in words and "at least 0.9" in words


def test_the_bar_lies_where_the_interval_is(html):
    """From 77.5 to 97.5 of 100."""
    assert re.search(r'<rect class="series1" x="77.50" y="1" width="20.00"', html)


def test_a_failing_picture_is_shown_before_and_after(html):
    """Inline, with words for who cannot see it, and a foreign title escaped."""
    pictures = re.findall(r'<img src="([^"]*)" alt="([^"]*)"', html)
    assert [alt for _, alt in pictures] == ["the &lt;left&gt; hand, as it is", "the &lt;left&gt; hand, mirrored"]
    assert all(uri.startswith("data:image/webp;base64,") for uri, _ in pictures)
    assert "answers kept 30 %, cosine 0.82" in html


def test_a_failing_text_is_shown_before_and_after(html):
    """As two quotations."""
    assert re.search(r"<q[^>]*>Telescope</q>.*became.*<q[^>]*>Telescoppe</q>", html)


def test_pictures_are_owed_their_credits_and_texts_none(folder):
    """The ids of what is shown as a picture."""
    assert behaviour_section.pictures(folder) == {"p001"}


def test_a_model_without_failures_is_told_so(folder, tmp_path):
    """No empty list of examples."""
    found = json.loads((folder / "behaviour.json").read_text())
    for check in found["checks"].values():
        check["examples"] = []
    (tmp_path / "behaviour.json").write_text(json.dumps(found))
    assert "No case failed." in behaviour_section.section(tmp_path)
