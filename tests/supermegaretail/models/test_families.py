"""Every family learns, is positive and finite, and becomes a graph that answers as it does."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from tests.supermegaretail.models.priced_panel import draw_priced
from trainworks.supermegaretail.backtest.learning import WARM_UP, fit, learnable, recipe_for
from trainworks.supermegaretail.features.design import design
from trainworks.supermegaretail.models import heads, ratio_net
from trainworks.supermegaretail.models.knobs import Inputs, Targets
from trainworks.supermegaretail.models.language import FAMILIES
from trainworks.supermegaretail.models.merged import Mean, graph_of

FEATURES = "lag(1, 2) + mean(4, 13) + std(8) + sold(8) + since_sale + age + peers(8) + past(1)"
INPUTS = Inputs(FEATURES, "promotion@plan + price@plan + weather@past(1)", "price: down, promotion: up", 4, 1)
ORIGIN = 75
SHIPS = [name for name in FAMILIES if FAMILIES[name].ships]


@pytest.fixture(scope="module")
def panel():
    """30 series, the last of which was never sold."""
    return draw_priced()


@pytest.fixture(scope="module", autouse=True)
def _short_training():
    """A net is trained for 60 steps."""
    steps = ratio_net.STEPS
    ratio_net.STEPS = 60
    yield
    ratio_net.STEPS = steps


@pytest.fixture(scope="module")
def learned(panel):
    """Family → the fitted model, and the rows to forecast; each learned once."""
    known = {}

    def learn(name):
        if name not in known:
            made = FAMILIES[name](3) if name in ("arima", "ets") else FAMILIES[name]()
            recipe = recipe_for(panel.until(ORIGIN), [made], INPUTS)
            model, residuals = fit(panel.until(ORIGIN), made, recipe, INPUTS)
            known[name] = model, residuals, design(panel.until(ORIGIN, 4), [ORIGIN], range(1, 5), recipe)
        return known[name]

    return learn


@pytest.mark.parametrize("name", list(FAMILIES))
def test_means_are_finite_and_not_negative(learned, name):
    """For every series, the one that was never sold too."""
    model, _, rows = learned(name)
    mean = model.mean(rows.values)
    assert mean.shape == (120,)
    assert np.isfinite(mean).all()
    assert (mean >= 0).all()


@pytest.mark.parametrize("name", SHIPS)
def test_a_graph_answers_as_its_model(learned, name):
    """Mean and own quantiles, to a hundred thousandth, row by row and all at once."""
    model, _, rows = learned(name)
    session = onnxruntime.InferenceSession(graph_of(model, rows.columns).SerializeToString())
    expected = {"mean": model.mean(rows.values)}
    if hasattr(model, "quantiles"):
        expected["quantiles"] = model.quantiles(rows.values)
    for size in (1, 7, 120):
        parts = [session.run(None, {"features": rows.values[at : at + size]}) for at in range(0, 120, size)]
        for place, right in enumerate(expected.values()):
            assert np.allclose(np.concatenate([part[place] for part in parts]), right, rtol=1e-5, atol=1e-6)


def test_an_average_is_one_graph(learned, panel):
    """Of models that each take their own columns from the same rows."""
    families = [FAMILIES[name]() for name in ("lift_smoothing", "boosting", "lstm")]
    recipe = recipe_for(panel.until(ORIGIN), families, INPUTS)
    own = [recipe_for(panel.until(ORIGIN), [made], INPUTS) for made in families]
    members = [(fit(panel.until(ORIGIN), made, of, INPUTS)[0], of.columns) for made, of in zip(families, own, strict=True)]
    model = Mean(members, recipe.columns)
    rows = design(panel.until(ORIGIN, 4), [ORIGIN], range(1, 5), recipe).values
    session = onnxruntime.InferenceSession(graph_of(model, recipe.columns).SerializeToString())
    assert np.allclose(session.run(["mean"], {"features": rows})[0], model.mean(rows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].random and name not in ("rnn", "transformer")])
def test_a_seed_is_a_model(panel, learned, name):
    """To the bit."""
    made = FAMILIES[name]()
    recipe = recipe_for(panel.until(ORIGIN), [made], INPUTS)
    again, _ = fit(panel.until(ORIGIN), made, recipe, INPUTS)
    model, _, rows = learned(name)
    assert np.array_equal(again.mean(rows.values), model.mean(rows.values))


@pytest.mark.parametrize("name", ["lift_smoothing", "promotion_regression", "boosting", "lstm"])
def test_a_model_with_a_plan_beats_smoothing_and_loses_to_it_with_shuffled_targets(panel, learned, name):
    """Over the four periods after the origin, where promotions and prices move sales; shuffled, nothing that was learned helps."""

    def loss(model, residuals, rows):
        target = panel.demand[rows.series, rows.origin + rows.step]
        mean = model.mean(rows.values).astype(float)
        quantiles = residuals.head("negative_binomial", 4).quantiles(mean, rows.column("series").astype(int))
        known = np.isfinite(target)
        return float(heads.pinball(target[known], quantiles[known]).mean())

    smoothing = loss(*learned("exponential_smoothing"))
    assert loss(*learned(name)) < 0.9 * smoothing
    if name != "lift_smoothing":  # it only chooses among five shares
        wrong = replace(INPUTS, targets=Targets.SHUFFLED)
        made = FAMILIES[name]()
        recipe = recipe_for(panel.until(ORIGIN), [made], wrong)
        model, residuals = fit(panel.until(ORIGIN), made, recipe, wrong)
        rows = design(panel.until(ORIGIN, 4), [ORIGIN], range(1, 5), recipe)
        assert loss(model, residuals, rows) > smoothing


@pytest.mark.parametrize("name", ["lift_smoothing", "promotion_regression", "boosting", "random_forest"])
def test_a_dearer_plan_never_raises_a_mean(panel, learned, name):
    """Nor does a promotion that is taken away, as ``monotone`` asks."""
    model, _, rows = learned(name)
    made = FAMILIES[name]()
    recipe = recipe_for(panel.until(ORIGIN), [made], INPUTS)
    before = model.mean(rows.values)
    for covariate, change in (("price", lambda plan: plan * 1.3), ("promotion", lambda plan: plan * 0)):
        covariates = {
            key: np.where(np.arange(values.shape[1]) > ORIGIN, change(values), values) if key.split(".")[0] == covariate else values
            for key, values in panel.covariates.items()
        }
        changed = design(replace(panel, covariates=covariates).until(ORIGIN, 4), [ORIGIN], range(1, 5), recipe)
        after = model.mean(changed.values)
        assert (after <= before * (1 + 1e-6)).all()
        assert (after < before * 0.95).any()


def test_rows_to_learn_from_reach_the_newest_period(panel):
    """And all their targets are known and demand."""
    known = panel.until(ORIGIN)
    rows = learnable(known, recipe_for(known, [FAMILIES["naive"]()], INPUTS), INPUTS)
    assert (rows.origin + rows.step).max() == ORIGIN
    assert np.isfinite(rows.target).all()


@pytest.mark.parametrize("history", [2, 9, 10_000])
def test_no_more_is_learned_than_the_history(panel, history):
    """The sales of all rows are of its periods."""
    known = panel.until(ORIGIN)
    rows = learnable(known, recipe_for(known, [FAMILIES["naive"]()], INPUTS), replace(INPUTS, history=history))
    assert (rows.origin + rows.step).min() == max(ORIGIN + 1 - history, WARM_UP + 1)


def test_a_series_that_has_not_sold_yet_teaches_nothing_while_it_is_listed(panel):
    """It is in the panel because it sold later, which nobody knew then; what was not listed yet is a new product, which is learned."""
    demand = panel.demand.copy()
    demand[0, :50], demand[1, :50] = 0.0, np.nan
    demand[:2, 50] = 3.0
    known = replace(panel, demand=demand).until(ORIGIN)
    rows = learnable(known, recipe_for(known, [FAMILIES["naive"]()], INPUTS), INPUTS)
    first = [rows.origin[rows.series == series].min() for series in range(3)]
    assert first[0] >= 50 > first[1] > first[2]


def test_where_nobody_sold_before_the_newest_period_all_rows_are_learned(panel):
    """Else there were none, and no trees."""
    demand = np.zeros_like(panel.demand)
    demand[:, ORIGIN] = 3.0
    known = replace(panel, demand=demand).until(ORIGIN)
    assert len(learnable(known, recipe_for(known, [FAMILIES["naive"]()], INPUTS), INPUTS).values) > 0
