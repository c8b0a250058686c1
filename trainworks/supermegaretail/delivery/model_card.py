"""The model card of Supermegaretail's bundle, made of the numbers in ``metrics.json`` and nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainworks.release.model_card import behaviour, bullets, card, percent, table

NAME = "Supermegaretail forecaster"

_EXAMPLE = """```python
from trainworks.supermegaretail.forecaster import Forecaster

forecaster = Forecaster.load("path/of/this/folder")
table = forecaster.forecast()  # or forecast(sales=…, plan=…, origin="2026-11-23")
```"""


def model_card(
    metrics: Mapping[str, Any],
    features: Mapping[str, Any],
    ledger: Mapping[str, Any],
    verdict: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> str:
    """``README.md`` of a bundle: YAML front matter, then Markdown for people.

    Args:
        metrics, features, verdict: ``metrics.json``, ``features.json``, the verdict of the gates.
        ledger: table → lines read, kept, corrected and rejected.
        facts: those of the manifest.
    """
    about = (
        f"Forecasts how many units of every series sell in each of the next {metrics['horizon']} {metrics['period']}s, "
        f"as a mean and as quantiles. The model is `{metrics['model']}`."
    )
    sections = {
        "Intended use": ["Replenishment and planning of the products and stores that it was made from. It knows nothing of people."],
        "How to load it": [
            "`pip install '.[serve]'` in a checkout of its code installs onnxruntime, numpy and pyarrow; torch is not needed.",
            _EXAMPLE,
            f"Series are told apart by {', '.join(features['recipe']['keys'])}. `features.json` says how sales and plan become inputs of "
            "`forecaster.onnx`; `examples/` has inputs with what they must give, which `trainworks release check` runs.",
        ],
        "Data": _data(ledger),
        "Evaluation": _evaluation(metrics),
        "Behaviour": behaviour(metrics.get("behaviour", {})),
        "Limits": [_limits(metrics, features)],
    }
    return card(NAME, about, _front_matter(metrics), sections, verdict, facts)


def _front_matter(metrics: Mapping[str, Any]) -> dict[str, Any]:
    values = [("pinball", "pinball loss, mean over the quantiles"), ("mae", "absolute error of the median")]
    results = [{"type": name, "name": words, "value": round(float(metrics["shipped"][name]["value"]), 4)} for name, words in values]
    task = {"type": "time-series-forecasting", "name": f"{metrics['horizon']} {metrics['period']}s ahead of {metrics['origin']}"}
    dataset = {"type": "sales", "name": f"{metrics['shipped']['series']} series"}
    return {
        "license": "other",
        "license_name": "as-the-sales",
        "license_link": "README.md",
        "library_name": "onnx",
        "pipeline_tag": "time-series-forecasting",
        "tags": ["retail", "quantiles", "onnxruntime"],
        "model-index": [{"name": NAME, "results": [{"task": task, "dataset": dataset, "metrics": results}]}],
    }


def _data(ledger: Mapping[str, Any]) -> Iterator[str]:
    yield "Every line that was read is kept as it was, corrected with a reason, or rejected with a reason."
    rows = [
        (name, *(f"{number:,}" for number in (of["read"], of["kept"], sum(of["corrected"].values()), sum(of["rejected"].values()))))
        for name, of in ledger.items()
    ]
    yield table(["Table", "Read", "Kept", "Corrected", "Rejected"], rows)


def _evaluation(metrics: Mapping[str, Any]) -> Iterator[str]:
    shipped, baseline, gains = metrics["shipped"], metrics["baseline"], metrics["gains"]
    yield (
        f"Measured by this bundle's own files from the origin {metrics['origin']}, on {shipped['rows']:,} cells of "
        f"{shipped['series']:,} series that neither taught nor chose the model, with 95 % intervals over series. "
        f"The best baseline is `{metrics['best_baseline']}`."
    )
    if metrics["ships_baseline"]:
        yield "The best baseline was the best of all models that were tried, so that is what ships."
    names = {
        "pinball": "pinball loss, units",
        "weighted": "the same, in money",
        "cost": "cost of wrong stock, in money",
        "mae": "MAE, units",
    }
    rows = []
    for name, words in names.items():
        share = gains.get(f"{name}_share")
        saved = percent(share["value"], share["interval"]) if share and share["value"] is not None else ""
        rows.append((words, _measured(shipped[name]), _measured(baseline[name]), saved))
    yield table(["", "Shipped", "Best baseline", "Saved"], rows)


def _limits(metrics: Mapping[str, Any], features: Mapping[str, Any]) -> str:
    order = metrics["order"]
    points = [
        f"It was measured on one origin, {metrics['origin']}; other weeks are other weeks.",
        "What was planned then is known from what happened: a plan that is not kept makes worse forecasts.",
        f"Costs are those of ordering the quantile {order['level']:.3g}"
        + (", which lies outside of those that are forecast: the outermost stands for it." if order["beyond"] else "."),
        "A series that it never saw is forecast from those like it, and is flagged as pooled.",
    ]
    return bullets(points)


def _measured(value: Mapping[str, Any]) -> str:
    return f"{value['value']:.4g} ({value['interval'][0]:.4g} to {value['interval'][1]:.4g})"
