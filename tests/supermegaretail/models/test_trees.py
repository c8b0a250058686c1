"""Trees in a graph: they answer as the booster does, to the last split."""

import lightgbm
import numpy as np
import onnxruntime
import pytest

from trainworks.supermegaretail.models.merged import graph_of
from trainworks.supermegaretail.models.protocol import LEVEL, Level
from trainworks.supermegaretail.models.trees import RatioTrees


@pytest.mark.parametrize("first", [0, 1])
def test_inputs_that_differ_by_rounding_alone_fall_on_the_same_side(first):
    """A threshold lies between two neighbours of float32; the nearest float32 is the upper one for every second pair."""
    low = np.float32(0.0171648879)
    for _ in range(first):
        low = np.nextafter(low, np.float32(1))
    price = np.repeat([low, np.nextafter(low, np.float32(1))], 100)
    columns = ("scale", LEVEL, "price")
    values = np.column_stack([np.ones(200), np.ones(200), price]).astype(np.float32)
    model = RatioTrees(Level(columns), list(columns))
    parameters = {"objective": "regression", "verbose": -1, "min_data_in_leaf": 1, "min_data_in_bin": 1}
    model.booster = lightgbm.train(parameters, lightgbm.Dataset(model.inputs(values), np.repeat([1.0, 3.0], 100)), 20)
    mean = model.mean(values)
    assert mean[-1] > mean[0] + 1
    answered = onnxruntime.InferenceSession(graph_of(model, columns).SerializeToString()).run(None, {"features": values})[0]
    assert np.allclose(answered, mean, rtol=1e-5)
