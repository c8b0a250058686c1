"""The model that ships: what was chosen, learned on all that is known at the test origin.

Its parameters stay those of the test origin, while the state of its forecaster holds everything to the end of the sales: so the very
file that ships is what is evaluated at the test origin.
"""

import json
from pathlib import Path

import numpy as np
import onnx

from trainworks.supermegaretail.backtest.learning import Residuals, fit, recipe_for
from trainworks.supermegaretail.features.design import design
from trainworks.supermegaretail.models import heads
from trainworks.supermegaretail.models.knobs import Inputs
from trainworks.supermegaretail.models.language import models
from trainworks.supermegaretail.models.merged import Mean, graph_of
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.quantiles import QUANTILES

SCHEMA = 1
GRAPH, FEATURES, PARITY = "model.onnx", "features.json", "parity.npz"

PARITY_ROWS = 1001
"""Real rows that the graph's answers are compared on."""


def ship(panel: Path, text: str, inputs: Inputs, head: str, out: Path) -> None:
    """Write ``model.onnx``, ``features.json`` and ``parity.npz`` (``features`` of real rows and the ``mean`` they must get) to *out*.

    Args:
        panel: folder of the panel.
        text: models as in the knob, of which the last one ships.
        head: the knob ``head``.
    """
    whole = Panel.load(panel)
    origin = whole.known - 1 - inputs.horizon
    known = whole.until(origin)
    tried = {model.name: model for model in models(text)}
    shipped = list(tried.values())[-1]
    families = [tried[name].build() for name in shipped.members or (shipped.name,)]
    recipe = recipe_for(known, families, inputs)
    # Each learns from its own columns, as in the backtest: a column that another member asks for would make it another model.
    own = [recipe_for(known, [family], inputs) for family in families]
    fitted, residuals = zip(*(fit(known, family, each, inputs) for family, each in zip(families, own, strict=True)), strict=True)
    members = [(each, of.columns) for each, of in zip(fitted, own, strict=True)]
    model = fitted[0] if len(fitted) == 1 else Mean(members, recipe.columns)
    if hasattr(model, "quantiles"):
        quantiles_of = {"kind": heads.OWN}
    else:
        mean = np.mean([each.mean for each in residuals], axis=0)
        of = residuals[0]
        quantiles_of = Residuals(mean, of.sold, of.series, of.period, of.count).head(head, inputs.horizon).to_json()
    onnx.save(graph_of(model, recipe.columns), str(out / GRAPH))
    rows = design(whole.until(origin, inputs.horizon), [origin], range(1, inputs.horizon + 1), recipe).values
    rows = np.unique(rows[np.linspace(0, len(rows) - 1, PARITY_ROWS).astype(int)], axis=0)
    arrays = {"features": rows, "mean": model.mean(rows).astype(np.float32)}
    if hasattr(model, "quantiles"):
        arrays["quantiles"] = model.quantiles(rows).astype(np.float32)
    np.savez(out / PARITY, allow_pickle=False, **arrays)
    content = {
        "schema": SCHEMA,
        "model": shipped.name,
        "head": quantiles_of,
        "quantiles": list(QUANTILES),
        "horizon": inputs.horizon,
        "origin": str(whole.starts[origin]),
        "recipe": recipe.to_json(),
    }
    (out / FEATURES).write_text(json.dumps(content) + "\n")
