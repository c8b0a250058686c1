"""A loss in words is a weighted sum of known terms, and a mistake is named with its position."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.errors import LanguageError
from trainworks.photostock.training.loss_terms import TERMS, terms


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("clip", {"clip": 1}),
        ("clip + 0.5*siglip + 0.2*distill", {"clip": 1, "siglip": 0.5, "distill": 0.2}),
        (" 2 * tags+1e-3*clip ", {"tags": 2, "clip": 0.001}),
    ],
)
def test_a_sum_becomes_weights_by_name(text, weights):
    """A term without a weight counts once; spaces do not matter; the order stays."""
    assert list(terms(text).items()) == list(weights.items())


@given(
    st.dictionaries(st.sampled_from(TERMS), st.floats(1e-9, 1e9), min_size=1).filter(
        lambda weights: set(weights) not in ({"distill"}, {"invariance"})
    ),
    st.sampled_from(["+", " + ", "  +"]),
)
def test_every_weighted_sum_can_be_written_and_read_back(weights, plus):
    """Whatever the terms, their weights and their spacing."""
    assert terms(plus.join(f"{weight:.17f}*{name}" for name, weight in weights.items())) == pytest.approx(weights)


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "expected a term such as clip or 0.5*siglip, found ''"),
        ("clip + ", 6, "expected a term"),
        ("clip + 0.5", 6, "expected a term such as clip or 0.5*siglip, found ' 0.5'"),
        ("-1*clip", 0, "expected a term"),
        ("clip + 0.5*sigclip", 11, "did you mean 'siglip'"),
        ("clip, siglip", 4, "expected '+' between two terms"),
        ("clip*0.5", 4, "expected '+' between two terms"),
        ("clip - 0.5*siglip", 5, "expected '+' between two terms"),
        ("clip + 0.5*clip", 11, "'clip' stands here a second time"),
        ("clip + 0.0*siglip", 7, "expected a finite weight above 0, found 0.0"),
        ("1e999*clip", 0, "expected a finite weight above 0, found 1e999"),
        ("0.2*distill", 4, "distill only holds the model where it is"),
        ("invariance", 0, "invariance is least where everything is embedded the same: add clip"),
    ],
)
def test_a_mistake_is_named_with_its_position(text, position, says):
    """The message names the term, its position and what is allowed."""
    with pytest.raises(LanguageError) as error:
        terms(text)
    assert error.value.position == position
    assert says in str(error.value)


def test_a_loss_is_checked_without_torch():
    """The first, cheap step of a run refuses a bad loss before anything heavy is loaded."""
    code = "from trainworks.photostock.training.loss_terms import terms; terms('clip'); import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
