"""The parts any pipeline's report is made of: numbers in words, tables, bars and curves."""

import math
import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from trainworks.report import page
from trainworks.report.page import Mark, Quantity, cell, curves, dollars, megabytes, per_hundred, percent, render, seconds, short


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (1234567, "1,234,567"), (0.12345, "0.1235"), (2.98e-7, "2.98e-07"), (Quantity("3 s"), "3 s"), ("as it is", "as it is")],
)
def test_a_cell_says_its_value(value: object, words: str) -> None:
    """Whole numbers have separators, others four digits, nothing is a dash, text stays."""
    assert cell(value) == words


def test_a_mark_is_told_without_colour() -> None:
    """Yes and no differ in sign and word."""
    assert (cell(Mark(True, "holds")), cell(Mark(False, "fails"))) == ("✓ holds", "✗ fails")


def test_units_are_in_words() -> None:
    """Shares, times and sizes read as a person would write them."""
    assert (percent(0.1234), percent(1)) == ("12.3 %", "100.0 %")
    assert (seconds(3.21), seconds(59.9), seconds(61), seconds(3725)) == ("3.2 s", "59.9 s", "1 min 1 s", "1 h 2 min")
    assert megabytes(4_712_000) == "4.7 MB"
    assert [dollars(x) for x in (0, 0.0004, 0.056, 1234.5)] == ["$0.00", "under $0.01", "$0.06", "$1,234.50"]
    assert [per_hundred(x) for x in (0.336, 0.01, 0.002, 0, 1)] == ["34", "1", "0.2", "0", "100"]


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [("ink", "paper"), ("muted", "paper"), ("accent", "paper"), ("bad", "paper"), ("accent", "accent-soft"), ("bad", "bad-soft")],
)
def test_text_can_be_read_on_its_ground(scheme: int, text: str, ground: str) -> None:
    """Contrast of at least 4.5 to 1, as WCAG 2 asks at level AA, in the light and the dark colours."""
    style = Path(page.__file__).with_name("page.html").read_text()
    colours = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)]
    lighter, darker = sorted((luminance(colours[scheme][name]) for name in (text, ground)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


@given(st.text(), st.integers(1, 50))
def test_short_text_is_kept_and_long_text_is_cut(text: str, longest: int) -> None:
    """Never longer than asked, and unchanged if it fits."""
    cut = short(text, longest)
    assert len(cut) <= longest
    assert cut == text or (len(text) > longest and cut.endswith("…") and text.startswith(cut[:-1]))


def test_curves_are_the_same_each_time_and_stand_alone() -> None:
    """The same numbers draw the same SVG: well-formed, in the page's colours, without date, address or style of its own."""
    first, second = (curves("two lines", [0, 1, 2], {"a": [None, 2.0, 1.0], "b": [3.0, 2.5, 2.4]}, step_name="epoch") for _ in range(2))
    assert first == second
    ElementTree.fromstring(first.replace("xlink:href", "href"))
    assert first.startswith('<svg role="img" aria-label="two lines"')
    assert "http" not in first and "<style" not in first and "metadata" not in first
    assert "var(--first)" in first and not re.search("#0[1-6]0[1-6]0[1-6]", first)


def test_two_charts_on_a_page_share_no_id() -> None:
    """Equal curves under different names do not clash."""
    names = [set(re.findall(r'id="([^"]+)"', curves(alt, [0, 1], {"a": [1.0, 2.0]}, step_name="epoch"))) for alt in ("one", "other")]
    assert names[0] and not names[0] & names[1]


@pytest.mark.parametrize("values", [[None], [None, None], [0.5], [math.nan, math.inf], [0.0, 0.0]])
def test_curves_of_hardly_any_numbers_can_be_drawn(values: list[float | None]) -> None:
    """A single epoch, or one without values, draws an empty chart and no warning."""
    assert curves("little", list(range(len(values))), {"a": values}, step_name="epoch", shares=True, mark=(0, "kept")).startswith("<svg")


@pytest.mark.parametrize(
    ("steps", "ticks"),
    [
        ([3, 4, 5], ["3", "4", "5"]),
        ([0.25, 0.5, 0.75], ["0.24", "0.48", "0.72"]),
        ([date(2026, 11, day) for day in (2, 9, 16)], ["03", "09", "15", "2026-Nov"]),
    ],
    ids=["whole", "between", "dates"],
)
def test_curves_can_be_drawn_over_any_steps(steps: list, ticks: list[str]) -> None:
    """Whole numbers have whole ticks, wherever they begin; others have those that suit them, and dates have days."""
    drawn = curves("any", steps, {"a": [1.0, 2.0, 3.0]}, step_name="x", mark=(steps[1], "here"))
    written = re.findall(r">([^<>]+)</text>", drawn)
    assert {*ticks, "here"} <= set(written) and "3.5" not in written


def test_curves_show_what_is_below_zero() -> None:
    """The axis begins at zero only where no value is less."""
    written = re.findall(r">([^<>]+)</text>", curves("below", [0, 1], {"a": [-2.0, None], "b": [4.0, 4.0]}, step_name="x"))
    assert {"−2", "0", "4"} <= set(written)
    assert "0" in re.findall(r">([^<>]+)</text>", curves("above", [1, 2], {"a": [50.0, 51.0]}, step_name="x"))


def test_what_a_chart_is_said_to_show_is_escaped() -> None:
    """The alternative text cannot leave its attribute."""
    assert '"><script' not in curves('"><script>', [0], {"a": [1.0]}, step_name="epoch")


def test_a_page_whose_content_is_incomplete_is_refused() -> None:
    """A name the template uses and nobody gave is an error, not an empty place on the page."""
    with pytest.raises(UndefinedError):
        render("photostock/report/page.html")
