"""The frame of a model card: what a hub reads, what the gates said, and where the model comes from."""

import pytest
from huggingface_hub import ModelCard

from trainworks.release import gates
from trainworks.release.model_card import behaviour, bullets, card, percent, table

FACTS = {"commit": "0123abc", "data": "d4ta", "seed": 5}
MATTER = {"license": "other", "license_name": "own", "tags": ["straight", "line"]}


def card_of(sections, passed=True):
    verdict = gates.verdict([gates.Gate("fit", 0.384, 0.3 if passed else 0.4, "share explained")])
    return card("A line", "It lies among the points.", MATTER, sections, verdict, FACTS)


def test_a_hub_reads_the_front_matter():
    """Hugging Face's own reader finds it, and the text for people after it."""
    read = ModelCard(card_of({"Limits": ["It is straight."]}))
    assert {name: getattr(read.data, name) for name in MATTER} == MATTER
    paragraphs = read.text.strip().split("\n\n")
    assert paragraphs[:5] == ["# A line", "It lies among the points.", "**Gates:** every gate holds.", "## Limits", "It is straight."]


def test_a_candidates_card_says_at_the_top_what_it_missed():
    """Before any section."""
    top = card_of({"Use": ["…"]}, passed=False).split("##")[0]
    assert "gate fit failed: share explained must be at least 0.4, is 0.384, 0.016 off" in top


def test_sections_stand_in_their_order_and_empty_ones_are_left_out():
    """Where it comes from is the last."""
    text = card_of({"Use": ["one", "two"], "Behaviour": behaviour({}), "Limits": iter(["three"])})
    assert [line for line in text.splitlines() if line.startswith("##")] == ["## Use", "## Limits", "## Where it comes from"]
    assert "one\n\ntwo" in text and "## Where it comes from\n\nCommit `0123abc`, data `d4ta`, seed 5." in text


def test_behaviour_is_a_table_of_rates_with_intervals():
    """A check without a case has a dash, and poor rates are shown as they are."""
    rates = {
        "turned_left": {"rate": 0.31, "low": 0.2, "high": 0.44, "cases": 1200, "meaning": "share that stays"},
        "shaken": {"rate": None, "low": None, "high": None, "cases": 0, "meaning": "share that holds"},
    }
    lines = behaviour(rates)[-1].splitlines()
    assert lines[2:] == ["| turned left | 31.0 % (20.0 % to 44.0 %) | 1,200 | share that stays |", "| shaken | – | 0 | share that holds |"]


def test_a_foreign_text_cannot_break_a_table():
    """Bars and line ends stay inside their cell."""
    assert table(["a", "b"], [["x | y\nz", "1"]]) == "| a | b |\n| --- | --- |\n| x / y z | 1 |"


@pytest.mark.parametrize(("interval", "words"), [((), "38.4 %"), ([0.29, 0.47], "38.4 % (29.0 % to 47.0 %)")])
def test_a_share_is_a_percentage_with_its_interval(interval, words):
    """One decimal, as on the page."""
    assert percent(0.384, interval) == words


def test_limits_are_a_list():
    """A line each."""
    assert bullets(["one", "two"]) == "- one\n- two"
