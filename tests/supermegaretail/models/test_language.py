"""The little language ``models``."""

import subprocess
import sys

import pytest

from trainworks import code
from trainworks.errors import LanguageError
from trainworks.supermegaretail.models.knobs import ModelConfig
from trainworks.supermegaretail.models.language import FAMILIES, alone, models


def test_models_have_names_numbers_and_members():
    """An average is of models of the sum, by their families."""
    smoothing, average, chosen = models("moving_average(8) + average(moving_average, boosting) + boosting")[:3]
    assert (smoothing.name, smoothing.args, smoothing.members) == ("moving_average(8)", (8,), ())
    assert average.members == ("moving_average(8)", "boosting")
    assert chosen.name == "boosting"


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("boosting + bosting", 11, "did you mean 'boosting'"),
        ("naive + average(naive, lift_smoothing)", 23, "expected one of naive"),
        ("naive + average(naive)", 8, "two models or more"),
        ("naive + boosting + average(naive, boosting, naive)", 27, "a second time"),
        ("naive + naive", 8, "a second time"),
        ("naive(3)", 0, "without numbers"),
        ("empirical(0)", 0, "numbers above 0"),
        ("moving_average(yes)", 0, "numbers above 0"),
        ("naive boosting", 6, "expected '+'"),
        ("", 0, "expected"),
    ],
)
def test_a_mistake_is_named_with_its_position(text, position, says):
    """And with what is allowed."""
    with pytest.raises(LanguageError) as error:
        models(text)
    assert error.value.position == position
    assert says in str(error.value)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_family_says_which_columns_it_needs(name):
    """In the language of features."""
    from trainworks.supermegaretail.features.languages import features

    assert features(FAMILIES[name]().features)


def test_a_baseline_is_asked_for():
    """A release must be better than one."""
    with pytest.raises(ValueError, match=r"--models = 'boosting': needs a baseline"):
        ModelConfig(models="boosting")


def test_a_model_stands_alone_with_its_members():
    """They come first, and what is fitted comes last."""
    text = "naive + moving_average(8) + lift_smoothing + average(moving_average, lift_smoothing)"
    assert alone(text, "naive") == "naive"
    of_average = alone(text, "average(moving_average, lift_smoothing)")
    assert of_average == "moving_average(8) + lift_smoothing + average(moving_average, lift_smoothing)"
    assert models(of_average)[-1].members == ("moving_average(8)", "lift_smoothing")


def test_reading_the_language_imports_nothing_heavy():
    """Every pod reads it, and few train: torch and LightGBM come with the first model that is fitted."""
    program = "import sys; from trainworks.supermegaretail.models.knobs import ModelConfig; ModelConfig(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"torch", "pytorch_lightning", "lightgbm", "sklearn", "statsforecast"}.isdisjoint(done.stdout.split())


def test_what_is_remembered_of_a_model_depends_on_its_code():
    """A change of trees makes backtests and fits anew."""
    for stage in ("backtest.backtest", "backtest.shipped"):
        reached = code.closure(f"trainworks.supermegaretail.{stage}")
        assert {f"trainworks.supermegaretail.models.{name}" for name in ("baselines", "trees", "ratio_net", "svm")} <= reached
