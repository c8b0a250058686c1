"""The little language ``models``: ``empirical(52) + lift_smoothing + boosting + average(lift_smoothing, boosting)``."""

import inspect
from dataclasses import dataclass

from trainworks.errors import LanguageError
from trainworks.grammar import Call, calls, require
from trainworks.supermegaretail.models import baselines, classical, nets, promotion, svm, trees
from trainworks.supermegaretail.models.protocol import Family

FAMILIES: dict[str, type[Family]] = {
    "naive": baselines.Naive,
    "seasonal_naive": baselines.SeasonalNaive,
    "moving_average": baselines.MovingAverage,
    "empirical": baselines.Empirical,
    "exponential_smoothing": baselines.ExponentialSmoothing,
    "lift_smoothing": promotion.LiftSmoothing,
    "promotion_regression": promotion.PromotionRegression,
    "decision_tree": trees.DecisionTree,
    "random_forest": trees.RandomForest,
    "boosting": trees.Boosting,
    "svm": svm.Svm,
    "lstm": nets.Lstm,
    "rnn": nets.Rnn,
    "transformer": nets.Transformer,
    "arima": classical.Arima,
    "ets": classical.Ets,
}
"""By name. Their modules import what takes seconds (LightGBM, torch, scikit-learn) only when a model is fitted."""

AVERAGE = "average"


@dataclass(frozen=True)
class Model:
    """One model of the backtest: ``name`` as it is called in results; an average has the names of its ``members``."""

    name: str
    family: str
    args: tuple[float | str, ...]
    members: tuple[str, ...] = ()

    def build(self) -> Family:
        """The family with its numbers."""
        return FAMILIES[self.family](*self.args)


def models(text: str) -> list[Model]:
    """Parse the sum of models. An average names models of the sum, which it does not fit again.

    Raises:
        LanguageError: with the position and what is allowed.
    """
    parsed = calls("models", text, (*FAMILIES, AVERAGE), "+")
    single = {call.name: _name(call) for call in parsed if call.name != AVERAGE}
    found: list[Model] = []
    for call in parsed:
        model = _average(text, call, single) if call.name == AVERAGE else _single(text, call)
        if any(model.name == other.name for other in found):
            raise LanguageError("models", text, call.position, f"{model.name} stands here a second time")
        found.append(model)
    return found


def alone(text: str, name: str) -> str:
    """What of *text* the model called *name* needs: its members, if it is an average, and itself at the end."""
    (model,) = (model for model in models(text) if model.name == name)
    return " + ".join((*model.members, name))


def _single(text: str, call: Call) -> Model:
    model = Model(_name(call), call.name, call.args)
    parameters = inspect.signature(FAMILIES[call.name]).parameters.values()
    most = 0 if any(each.kind == each.VAR_KEYWORD for each in parameters) else len(parameters)
    unlimited = any(each.kind == each.VAR_POSITIONAL for each in parameters) and most > 0
    numbers = all(isinstance(value, int | float) and value > 0 for value in call.args)
    if not numbers or (len(call.args) > most and not unlimited):
        allowed = f"{call.name}" + (" or with numbers above 0, such as the periods or the share" if most else " without numbers")
        raise LanguageError("models", text, call.position, f"expected {allowed}, found {_name(call)}")
    return model


def _average(text: str, call: Call, single: dict[str, str]) -> Model:
    if len(call.args) < 2:
        raise LanguageError("models", text, call.position, f"expected average of two models or more, found {_name(call)}")
    for member in call.args:
        position = text.find(str(member), call.position)
        require("models", text, position, str(member), single)
        if call.args.count(member) > 1:
            raise LanguageError("models", text, position, f"{member} stands in the average a second time")
    return Model(_name(call), AVERAGE, (), tuple(single[str(member)] for member in call.args))


def _name(call: Call) -> str:
    return f"{call.name}({', '.join(str(value) for value in call.args)})" if call.args else call.name
