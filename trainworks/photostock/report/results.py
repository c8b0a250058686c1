"""What was measured, as the tables and charts of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from trainworks.release.gates import in_words
from trainworks.report.page import Bars, Mark, Quantity, Table, curves, megabytes, percent, short

RECALLS = ("R@1", "R@5", "R@10")
MODELS = {"finetuned": "after", "release": "released", "baseline": "before"}
"""The models of ``metrics.json`` as the page calls them; there is no release before the first one."""

_WAYS = {"text_to_image": "text to picture", "image_to_text": "picture to text"}
_GAINS = {"paired": "Over the untouched model", "over_release": "Over the last release"}
_GAINED = ("R@1", "R@10", "MRR")
_LONGEST = 60


def recall(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The chart and the table of recall in both directions, for each model and for chance."""

    def rows(way: str) -> list[tuple[str, Mapping[str, Any]]]:
        models = [(name, measured[model][way]) for model, name in MODELS.items() if way in measured.get(model, {})]
        return [*models, ("chance", measured["chance"])]

    def table(way: str) -> Table:
        cells = [[name, *(percent(row[k]) for k in RECALLS), row.get("median_rank"), row.get("queries")] for name, row in rows(way)]
        return Table(_WAYS[way].capitalize(), ["Model", *RECALLS, "Median rank", "Queries"], cells)

    series = rows("text_to_image")[:3]
    shares = {k: [row[k] for _, row in series] for k in RECALLS}
    colours = [[*MODELS.values(), "chance"].index(name) + 1 for name, _ in series]
    chart = Bars("Text to picture: queries that find their picture", [name for name, _ in series], shares, colours)
    return {"chart": chart, "to_image": table("text_to_image"), "to_text": table("image_to_text")}


def everything(measured: Mapping[str, Any]) -> Table:
    """Each metric of each model in both directions, with where it lies with 95 % confidence, in points of 100."""
    models = {model: name for model, name in MODELS.items() if "text_to_image" in measured.get(model, {})}
    metrics = list(measured["finetuned"]["text_to_image"]["interval"])
    rows = [[f"{words}, {k}", *(_within(measured[model][way], k) for model in models)] for way, words in _WAYS.items() for k in metrics]
    return Table("Every metric and its interval", ["Metric", *models.values()], rows)


def gains(measured: Mapping[str, Any]) -> Table:
    """Each metric's paired difference to the untouched model and to the last release, in points of 100."""
    compared = {key: words for key, words in _GAINS.items() if key in measured}
    rows = [[f"{words}, {k}", *(_gain(measured[key][way][k]) for key in compared)] for way, words in _WAYS.items() for k in _GAINED]
    return Table("The gain, query by query", ["Metric", *compared.values()], rows)


def groups(caption: str, head: str, measured: Mapping[str, Mapping[str, Any]]) -> Table:
    """R@10 of each model for each group of queries; pictures in training where they are counted.

    The gain is that over the last release where there is one, else over the untouched model: both would not fit a page.
    """
    first = next(iter(measured.values()))
    models = [model for model in reversed(MODELS) if model in first]
    gain = [key for key in _GAINS if key in first][-1]
    counts = {key: words for key, words in {"trained_on": "In training", "release_trained_on": "In the release’s"}.items() if key in first}
    rows = [
        [
            short(name, _LONGEST) + (" · new" if group.get("new") else ""),
            *(group[key] for key in counts),
            group["queries"],
            *(percent(group[model]["R@10"]) for model in models),
            _gain(group[gain]["R@10"]),
        ]
        for name, group in measured.items()
    ]
    columns = [head, *counts.values(), "Queries", *(f"R@10 {MODELS[model]}" for model in models), _GAINS[gain]]
    return Table(caption, columns, rows, strong=[k for k, group in enumerate(measured.values()) if group.get("new")])


def calibration(points: Sequence[Mapping[str, float]]) -> Markup:
    """How precision and recall change with the threshold on the cosine."""
    words = (
        f"From a cosine of {points[0]['threshold']:.2f} to {points[-1]['threshold']:.2f}, precision and recall of all pairs at or above it."
    )
    series = {name: [point[name] for point in points] for name in ("precision", "recall")}
    return curves(
        words, [round(100 * point["threshold"]) for point in points], series, step_name="least cosine, in hundredths", shares=True
    )


def mixture(tried: Sequence[Mapping[str, float]]) -> Markup:
    """Validation recall for each share of the fine-tuned weights; the share that was kept is the first of the best."""
    kept = max(tried, key=lambda row: (row["val_recall"], -row["share"]))
    percents = [round(100 * row["share"]) for row in tried]
    words = f"Validation recall by share of the fine-tuned weights; {round(100 * kept['share'])} % was kept."
    series = {"mean of six recalls": [row["val_recall"] for row in tried]}
    return curves(
        words, percents, series, step_name="share of the fine-tuned weights, in %", shares=True, mark=(round(100 * kept["share"]), "kept")
    )


def int8(encoders: Mapping[str, Any]) -> Table | None:
    """What each 8-bit encoder costs and saves, and whether it ships; None if none was made."""
    head = ["Encoder in int8", "In the bundle", "R@10", "Lost", "Size", "Size in fp32"]
    rows: list[list[object]] = []
    for name, encoder in encoders.items():
        ships, lost = (
            Mark(encoder["ships"], "ships" if encoder["ships"] else f"left out{encoder.get('why', '')}"),
            Quantity(f"{100 * encoder['loss']:.1f} points"),
        )
        sizes = megabytes(encoder["bytes"]), megabytes(encoder["fp32_bytes"])
        rows.append([name.replace("_", " "), ships, percent(encoder["R@10"]), lost, *sizes])
    return Table("Smaller encoders", head, rows) if rows else None


def parity(encoders: Mapping[str, Any]) -> Table:
    """How far the ONNX files are from the torch model."""
    rows = [
        [name.replace("_", " "), Quantity(in_words(tower["max_abs"], "parts")), Quantity(", ".join(map(str, tower["batches"])))]
        for name, tower in encoders.items()
    ]
    return Table("The shipped encoders against the trained model", ["Encoder", "Largest difference", "Batch sizes tried"], rows)


def parameters(groups: Sequence[Mapping[str, Any]]) -> Table:
    """The groups of parameters and how each learnt."""
    rows = [
        [g["group"], g["parameters"], g["factor"], g["learning_rate"], g["thaw"] if g["factor"] else None, g["lora"] or None]
        for g in groups
    ]
    return Table("What learns, and how fast", ["Parameters", "Number", "Factor", "Peak learning rate", "From epoch", "LoRA rank"], rows)


def _within(summary: Mapping[str, Any], metric: str) -> Quantity:
    """``38.4 (29.0 to 48.0)``, in points of 100."""
    value, low, high = (f"{100 * value:.1f}" for value in (summary[metric], *summary["interval"][metric]))
    return Quantity(f"{value} ({low} to {high})")


def _gain(paired: Mapping[str, Any]) -> Quantity:
    """``+26.0 (+18.0 to +34.0)``, in points of 100, with a minus sign that lines up."""
    difference, low, high = (f"{100 * value:+.1f}".replace("-", "−") for value in (paired["difference"], *paired["interval"]))
    return Quantity(f"{difference} ({low} to {high})")
