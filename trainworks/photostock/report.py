"""The page a person reads before a PhotoStock model is shipped."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trainworks.config import meanings
from trainworks.errors import DataError
from trainworks.photostock import results, samples
from trainworks.photostock.config import DataConfig, GateConfig, TrainConfig
from trainworks.photostock.pictures import credits, seen, thumbnails
from trainworks.report import Mark, Quantity, Table, cell, curves, interval, percent, render, seconds, short

EXAMPLES = 8
MISSES = 6
_LONG_TABLE = 12


def report(
    dataset: Path,
    shards: list[Path],
    checkpoint: Path,
    encoders: Path,
    metrics: Path,
    verdict: Mapping[str, Any],
    facts: Mapping[str, Any],
    out: Path,
) -> None:
    """Write ``report.html``, one self-contained page, ``verdict.json`` and ``ran.json``, the *facts*, into the folder *out*.

    *verdict* is that of ``trainworks.gates``. *facts* are those of the run: ``knobs`` and perhaps their
    ``defaults`` (name → plain value), ``stages`` (``[{"stage", "seconds"}, …]``, perhaps with ``cached``), ``commit``,
    ``versions``, ``seed``, ``machine`` and ``command``. The same inputs give the same bytes.

    Raises:
        DataError: the data card's rows do not add up, or a picture to be shown is in no shard.
    """
    card, measured = _json(dataset / "card.json"), _json(metrics / "metrics.json")
    answers = pq.read_table(metrics / "answers.parquet").to_pylist()
    chosen, misses = examples(answers, EXAMPLES), worst(answers, MISSES)
    shown = {id for answer in chosen for id in [answer["id"], *answer["found"]]} | {id for a in misses for id in [a["id"], a["found"][0]]}
    pictures, trained_on = thumbnails(dataset, shards, shown), seen(dataset, samples.read(checkpoint))
    before, after = (measured[model]["text_to_image"] for model in ("baseline", "finetuned"))
    page = render(
        "photostock/report.html",
        verdict=verdict,
        gates=_gates(verdict),
        before=before["R@10"],
        after=after["R@10"],
        chance=measured["chance"]["R@10"],
        interval=interval(after["R@10"], after["queries"]),
        measured=measured,
        release=measured.get("release"),
        told=_told(measured),
        learning=_learning(_json(checkpoint / "history.json")),
        mixture=results.mixture(_json(checkpoint / "mixture.json")) if (checkpoint / "mixture.json").exists() else None,
        seen=trained_on,
        examples=chosen,
        misses=misses,
        pictures=pictures,
        card=card,
        flow=_flow(card, dataset / "rejected.parquet"),
        counts=_counts(card),
        ran=_ran(facts, _json(checkpoint / "groups.json")),
        facts=facts,
        inference=_json(encoders / "inference.json"),
        parity=results.parity(_json(encoders / "parity.json")),
        credits=credits([*pictures.values(), *trained_on]),
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(page, encoding="utf-8")
    (out / "verdict.json").write_text(json.dumps(verdict, indent=1, sort_keys=True) + "\n")
    (out / "ran.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


def examples(answers: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """*count* answers, evenly drawn from the best ranked to the worst: each stands for as many queries as any other."""
    ordered = sorted(answers, key=lambda answer: (answer["rank"], answer["id"]))
    count = min(count, len(ordered))
    return [ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count)]


def worst(answers: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """At most *count* answers with the right picture furthest from the first place, the furthest first."""
    return sorted((a for a in answers if a["rank"] > 1), key=lambda answer: (-answer["rank"], answer["id"]))[:count]


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _gates(verdict: Mapping[str, Any]) -> Table:
    rows: list[list[object]] = []
    for gate in verdict["gates"]:
        bound, result = Quantity(f"{gate['must']} {cell(gate['bound'])}"), Mark(gate["passed"], "holds" if gate["passed"] else "fails")
        rows.append([gate["gate"], gate["meaning"], gate["value"], bound, result])
    return Table("What the model had to reach", ["Gate", "What it measures", "Value", "Bound", "Result"], rows)


def _told(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The tables and charts of what was measured."""
    categories = measured.get("categories")
    return {
        **results.recall(measured),
        "gains": results.gains(measured),
        "kinds": results.groups("By kind of query", "Query", measured["queries"]),
        "slices": [results.groups(f"By {name}", name.capitalize(), groups) for name, groups in measured["slices"].items()],
        "categories": results.groups("By tag of the picture", "Tag", categories) if categories else None,
        "calibration": results.calibration(measured["calibration"]),
        "int8": results.int8(measured["int8"]),
    }


def _learning(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The learning curves, the epoch whose weights were kept, and the numbers behind both."""
    best = next((row for row in reversed(history) if row["best"]), None)
    epochs, mark = [row["epoch"] for row in history], (best["epoch"], "kept") if best else None
    words = f"over {len(history) - 1} epochs."
    if best:
        words += f" The weights of epoch {best['epoch']} were kept, with R@10 {percent(best['val_R@10'])}."

    def column(name: str) -> list[float | None]:
        return [row[name] for row in history]

    losses = {"training": column("train_loss"), "validation": column("val_loss")}
    recalls = {name: column(f"val_{name}") for name in reversed(results.RECALLS)}
    numbers = ("epoch", "step", "train_loss", "val_loss", "learning_rate")
    rows = [[*(row[name] for name in numbers), *(percent(row[f"val_{name}"]) for name in results.RECALLS)] for row in history]
    head = ["Epoch", "Step", "Training loss", "Validation loss", "Learning rate", *results.RECALLS]
    return {
        "best": best,
        "loss": curves(f"Training and validation loss {words}", epochs, losses, step_name="epoch", mark=mark),
        "recall": curves(f"Validation recall {words}", epochs, recalls, step_name="epoch", shares=True, mark=mark),
        "table": Table("Epoch by epoch", head, rows, strong=[history.index(best)] if best else ()),
    }


def _flow(card: Mapping[str, Any], rejected: Path) -> dict[str, Table]:
    """The way of the rows from source to split, as a ledger whose sums were checked."""
    reasons = pq.read_table(rejected).group_by(["stage", "reason"], use_threads=False)
    first = {(row["stage"], row["reason"]): row for row in reasons.aggregate([("id", "first"), ("detail", "first")]).to_pylist()}
    rows: list[list[object]] = [["read from the source", card["read"], ""]]
    sums, left = [0], card["read"]
    for stage in card["stages"]:
        name, lost = stage["stage"], sum(stage["rejected"].values())
        if stage["read"] != left or stage["kept"] + lost != left:
            raise DataError(
                f"card.json: {name} took {stage['read']} of {left} rows, kept {stage['kept']} and rejected {lost}; "
                "kept and rejected must add up to the rows the stage before it kept: curate again"
            )
        for reason, count in _largest_first(stage["rejected"].items()):
            example = first.get((name, reason), {})
            words = " ".join(filter(None, [example.get("id_first"), example.get("detail_first")]))
            rows.append([f"{name}: {reason}", Quantity(f"−{count:,}"), short(words, 90)])
        left = stage["kept"]
        sums.append(len(rows))
        rows.append([f"kept by {name}", left, ""])
    kept = card["kept"]
    if sum(kept.values()) != left:
        raise DataError(f"card.json: the splits hold {sum(kept.values())} rows where the last stage kept {left}; curate again")
    uses = {"train": "the model learns from these", "val": "these choose the epoch", "test": "these give the numbers on this page"}
    split: list[list[object]] = [[name, count, percent(count / max(left, 1)), uses[name]] for name, count in kept.items()]
    return {
        "ledger": Table("From source to dataset", ["Rows", "Number", "For example"], rows, strong=sums),
        "split": Table(
            "The split", ["Part", "Pictures", "Share", "Use"], [*split, ["together", left, percent(1), ""]], strong=[len(split)]
        ),
    }


def _counts(card: Mapping[str, Any]) -> list[Table]:
    kept = sum(card["kept"].values())

    def table(caption: str, head: str, counts: Iterable[tuple[str, int]]) -> Table:
        ordered = _largest_first(counts)
        rows: list[list[object]] = [[name or "not stated", n, percent(n / max(kept, 1))] for name, n in ordered[:_LONG_TABLE]]
        if rest := sum(n for _, n in ordered[_LONG_TABLE:]):
            rows.append([f"{len(ordered) - _LONG_TABLE} others", rest, percent(rest / max(kept, 1))])
        return Table(caption, [head, "Pictures", "Share"], rows)

    tables = [
        table("Licences of the pictures kept", "Licence", card["licences"].items()),
        table("Largest contributors", "Contributor", card["contributors"]["largest"]),
    ]
    if repairs := _largest_first(card["repairs"].items()):
        tables.append(Table("Repairs made on the way", ["Repair", "Rows"], repairs))
    return tables


def _largest_first(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda item: (-item[1], item[0]))


def _ran(facts: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> dict[str, Table]:
    """The tables of what ran: knobs, parameter groups, time and versions."""
    meaning = {name: words for section in (DataConfig, TrainConfig, GateConfig) for name, words in meanings(section).items()}
    defaults = facts.get("defaults", {})
    knobs: list[list[object]] = []
    changed = []
    for name, value in facts["knobs"].items():
        words = str(value)
        if name in defaults and defaults[name] != value:
            changed.append(len(knobs))
            words += f" (changed from {defaults[name]})"
        knobs.append([name, words, meaning.get(name, "")])
    total = sum(stage["seconds"] for stage in facts["stages"])
    times = [[f"{s['stage']} (from an earlier run)" if s.get("cached") else s["stage"], seconds(s["seconds"])] for s in facts["stages"]]
    return {
        "knobs": Table("Knobs", ["Knob", "Value", "Meaning"], knobs, strong=changed),
        "groups": Table(
            "What learns, and how fast",
            ["Parameters", "Number", "Factor", "Peak learning rate", "From epoch", "LoRA rank"],
            [
                [g["group"], g["parameters"], g["factor"], g["learning_rate"], g["thaw"] if g["factor"] else None, g["lora"] or None]
                for g in groups
            ],
        ),
        "times": Table("Time per stage", ["Stage", "Time"], [*times, ["together, from scratch", seconds(total)]], strong=[len(times)]),
        "versions": Table("Versions", ["Package", "Version"], sorted(facts["versions"].items())),
    }
