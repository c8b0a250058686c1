"""features, covariates and monotone: what they say, and what a mistake gets to hear."""

import pytest

from trainworks.errors import LanguageError
from trainworks.supermegaretail.features.languages import Covariate, column, covariates, features, monotone


def test_a_feature_of_several_windows_is_one_for_each():
    """In the order of the text."""
    names = [column(call) for call in features("lag(1, 4) + ewm(0.2) + since_sale + season")]
    assert names == ["lag(1)", "lag(4)", "ewm(0.2)", "since_sale", "season"]


def test_a_covariate_says_when_it_is_known_and_what_a_missing_plan_means():
    """Promotions, prices and holidays fall back without a word, others refuse."""
    assert covariates("promotion@plan + weather@plan + footfall@plan(last) + stock@past(2) + holiday@always + price@plan(refuse)") == [
        Covariate("promotion", "plan", 0, "last"),
        Covariate("weather", "plan", 0, "refuse"),
        Covariate("footfall", "plan", 0, "last"),
        Covariate("stock", "past", 2, "last"),
        Covariate("holiday", "always", 0, "last"),
        Covariate("price", "plan", 0, "refuse"),
    ]
    assert covariates(" ") == []


def test_monotone_has_a_sign_for_each_covariate():
    """Prices and promotions may stand there even if no covariate uses them."""
    assert monotone("price: down, weather: up", covariates("weather@past(1)")) == {"price": -1, "weather": 1}
    assert monotone("", []) == {}


@pytest.mark.parametrize(
    ("parse", "text", "position", "words"),
    [
        (features, "lags(1)", 0, "did you mean 'lag'"),
        (features, "lag(1) + mean", 9, "expected mean(4)"),
        (features, "lag(0)", 0, "whole numbers of periods from 1"),
        (features, "lag(1.5)", 0, "whole numbers"),
        (features, "trend(100000)", 0, "from 3 to 1100"),
        (features, "ewm(2)", 0, "shares above 0"),
        (features, "age(3)", 0, "without numbers"),
        (features, "lag(1) + lag(2, 1)", 9, "lag(1) stands here a second time"),
        (features, "", 0, "expected a step"),
        (covariates, "promotion", 9, "expected @"),
        (covariates, "promotion@plann", 10, "did you mean 'plan'"),
        (covariates, "weather@past(0)", 8, "periods from 1"),
        (covariates, "weather@past(1, 2)", 8, "expected past(1)"),
        (covariates, "weather@plan(zero)", 8, "plan(refuse) or plan(last)"),
        (covariates, "price@plan + price@past(1)", 13, "a second time"),
        (lambda text: monotone(text, []), "price: sideways", 7, "expected one of down, up"),
        (lambda text: monotone(text, []), "prize: down", 0, "did you mean 'price'"),
    ],
)
def test_a_mistake_has_its_position(parse, text, position, words):
    """And says what was expected there."""
    with pytest.raises(LanguageError) as error:
        parse(text)
    assert error.value.position == position
    assert words in str(error.value)
