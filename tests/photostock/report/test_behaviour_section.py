"""What PhotoStock says of its behaviour checks."""

import re

import pytest

from tests.photostock.toy_run import TITLES, a_run
from trainworks.photostock.report import behaviour_section


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return a_run(tmp_path_factory.mktemp("run"), TITLES)["behaviour"]


def test_the_criterion_and_the_numbers_are_told_in_words(folder):
    """What keeping its answers means, and by how much an example failed to."""
    words = " ".join(re.sub(r"<[^>]*>", " ", behaviour_section.section(folder)).split())
    assert "at least 50 % of its first 10 answers stay" in words and "at least 0.9" in words
    assert "mirrored answers kept 30 %, cosine 0.82" in words


def test_pictures_are_shown_as_they_are_and_changed(folder):
    """Both, side by side."""
    pictures = re.findall(r'<img src="[^"]*" alt="([^"]*)"', behaviour_section.section(folder))
    assert pictures == ["the &lt;left&gt; hand, as it is", "the &lt;left&gt; hand, mirrored"]


def test_pictures_are_owed_their_credits_and_texts_none(folder):
    """The ids of what is shown as a picture."""
    assert behaviour_section.pictures(folder) == {"p001"}
