"""The page a person reads before a PhotoStock model is shipped."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trainworks.facts import PRICES
from trainworks.photostock.delivery.verdict import table as gates_table
from trainworks.photostock.report import behaviour_section, data_section, error_section, left_out, results, run_section, search_section
from trainworks.photostock.report.pictures import credits, seen, thumbnails
from trainworks.photostock.training import samples
from trainworks.report.page import Table, curves, interval, percent, render
from trainworks.storage import manifest


def report(
    dataset: Path,
    shards: list[Path],
    checkpoint: Path,
    encoders: Path,
    metrics: Path,
    behaviour: Path,
    verdict: Mapping[str, Any],
    facts: Mapping[str, Any],
    out: Path,
) -> None:
    """Write ``report.html``, one self-contained page, ``verdict.json`` and ``ran.json``, the *facts*, into the folder *out*.

    *verdict* is that of ``trainworks.release.gates``. *facts* are those of the run: ``knobs`` and perhaps their
    ``defaults`` (name → plain value), ``stages`` (``[{"stage", "seconds", "machine", "cost"}, …]``, perhaps with ``cached``), ``commit``,
    ``versions``, ``seed``, ``machine`` and ``command``. The same inputs give the same bytes.

    Raises:
        DataError: the data card's rows do not add up, or a picture to be shown is in no shard.
    """
    card, measured = _json(dataset / "card.json"), _json(metrics / "metrics.json")
    answers = pq.read_table(metrics / "answers.parquet").to_pylist()
    searches, errors = search_section.section(answers), error_section.section(measured["errors"], answers)
    shown = search_section.pictures(searches) | error_section.pictures(errors) | behaviour_section.pictures(behaviour)
    pictures = thumbnails(dataset, shards, shown)
    trained_on, out_of_it = seen(dataset, samples.read(checkpoint)), left_out.reasons(dataset, shards)
    before, after = (measured[model]["text_to_image"] for model in ("baseline", "finetuned"))
    page = render(
        "photostock/report/page.html",
        verdict=verdict,
        gates=gates_table(verdict),
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
        searches=searches,
        errors=errors,
        behaviour=behaviour_section.section(behaviour),
        pictures=pictures,
        card=card,
        flow=data_section.flow(card, dataset / "rejected.parquet"),
        counts=data_section.counts(card),
        left_out=out_of_it,
        ran=run_section.section(facts, _json(checkpoint / "groups.json")),
        changed=_changed(facts, dataset, measured.get("release", {})),
        facts=facts,
        prices=PRICES,
        inference=_json(encoders / "inference.json"),
        parity=results.parity(_json(encoders / "parity.json")),
        credits=credits([*pictures.values(), *trained_on, *(picture for reason in out_of_it for picture in reason.pictures())]),
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(page, encoding="utf-8")
    (out / "verdict.json").write_text(json.dumps(verdict, indent=1, sort_keys=True) + "\n")
    (out / "ran.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _told(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The tables and charts of what was measured."""
    categories = measured.get("categories")
    return {
        **results.recall(measured),
        "gains": results.gains(measured),
        "everything": results.everything(measured),
        "kinds": results.groups("By kind of query", "Query", measured["queries"]),
        "slices": [results.groups(f"By {name}", name.capitalize(), groups) for name, groups in measured["slices"].items()],
        "categories": results.groups("By tag of the picture", "Tag", categories) if categories else None,
        "calibration": results.calibration(measured["calibration"]),
        "int8": results.int8(measured["int8"]),
    }


def _changed(facts: Mapping[str, Any], dataset: Path, release: Mapping[str, Any]) -> Table | None:
    """What differs from the last release, if there is one that tells what made it."""
    return run_section.differences(facts, manifest.digest(dataset), release["ran"]) if release.get("ran", {}).get("config") else None


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
