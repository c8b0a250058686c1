"""The ``average`` language parses to what it says, and mixtures of weights are chosen by recall."""

import contextlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainworks.errors import LanguageError
from trainworks.photostock.training.averaging import SHARES, Average, interpolate, mixed, parse


@pytest.mark.parametrize(
    ("text", "average"),
    [
        ("", Average(0.0, False)),
        ("wise", Average(0.0, True)),
        ("ema(0.99)", Average(0.99, False)),
        (" ema(0.9) > wise ", Average(0.9, True)),
    ],
)
def test_average_reads_as_written(text, average):
    """Either, both, or neither."""
    assert parse(text) == average


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("emma(0.9)", "did you mean 'ema'"),
        ("wise > ema(0.9)", "ema comes once, and before wise\\n.*\\n.*at position 7"),
        ("ema", "one decay between 0 and 1"),
        ("ema(1)", "one decay between 0 and 1"),
        ("wise(0.5)", "takes no argument"),
        ("wise > wise", "wise comes once"),
    ],
)
def test_bad_averages_say_what_is_wrong(text, says):
    """With the position, and what is allowed."""
    with pytest.raises(LanguageError, match=says):
        parse(text)


@given(st.text(max_size=20))
def test_any_text_is_an_average_or_a_language_error(text):
    """No other error reaches a person."""
    with contextlib.suppress(LanguageError):
        parse(text)


def test_mixtures_are_weighted_means():
    """By hand: a quarter of the way from 0 to 4 is 1; counters are not mixed."""
    start, end = {"w": torch.tensor([0.0]), "n": torch.tensor(1)}, {"w": torch.tensor([4.0]), "n": torch.tensor(9)}
    assert mixed(start, end, 0.25) == {"w": torch.tensor([1.0]), "n": torch.tensor(9)}


@given(st.integers(0, 10))
def test_the_share_of_best_recall_wins(peak):
    """Recall that rises to a peak and falls: the share at the peak is chosen, the smallest one on a plateau."""
    start, end = {"w": torch.tensor(0.0)}, {"w": torch.tensor(1.0)}
    weights, tried = interpolate(start, end, lambda mixture: -round(abs(float(mixture["w"]) - peak / 10), 3))
    assert [row["share"] for row in tried] == list(SHARES)
    assert float(weights["w"]) == pytest.approx(max(peak, 1) / 10)
    flat, _ = interpolate(start, end, lambda _: 0.5)
    assert float(flat["w"]) == pytest.approx(0.1)
