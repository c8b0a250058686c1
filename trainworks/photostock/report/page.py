"""The page a person reads before a PhotoStock model is shipped."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trainworks import facts
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.delivery.verdict import verdict
from trainworks.photostock.facts import PACKAGES
from trainworks.photostock.judging import people_section
from trainworks.photostock.report import behaviour_section, data_section, error_section, left_out, results, search_section
from trainworks.photostock.report.pictures import credits, seen, thumbnails
from trainworks.photostock.run import Run
from trainworks.photostock.training import samples
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.report import run_section
from trainworks.report import verdict as gates_table
from trainworks.report.page import Table, curves, percent, render
from trainworks.storage import manifest


def report(
    run: Run,
    shards: list[Path],
    source: str,
    data: DataConfig,
    train: TrainConfig,
    gate: GateConfig,
    out: Path,
    name: str = "",
    people: Mapping[str, Any] | None = None,
) -> None:
    """Judge *run* by *gate*, and write ``report.html``, one self-contained page, ``verdict.json`` and ``ran.json`` into the folder *out*.

    *shards* are those that the dataset was curated from; knobs, *source* and the run's *name* are shown. ``ran.json`` has its facts.
    What *people* say of it is that of ``judging.people``.

    Raises:
        DataError: as `write`.
    """
    stages = {
        "prepare": shards,
        "curate": [run.dataset],
        "finetune": [run.checkpoint],
        "export": [run.encoders],
        "evaluate": [run.metrics],
        "behave": [run.behaviour],
    }
    ran = facts.run(facts.knobs(data, train, gate, source=source), facts.defaults(data, train, gate), stages, PACKAGES, name)
    write(run, shards, verdict(run, gate, people), ran, out, people)


def write(
    run: Run,
    shards: list[Path],
    verdict: Mapping[str, Any],
    ran: Mapping[str, Any],
    out: Path,
    people: Mapping[str, Any] | None = None,
) -> None:
    """Write the files of `report`, with a *verdict* of ``trainworks.release.gates`` and the facts *ran* of ``trainworks.facts.run``.

    ``defaults`` may be missing in *ran*, and a stage in it may be ``cached``. The same inputs give the same bytes.

    Raises:
        DataError: the data card's rows do not add up, or a picture to be shown is in no shard.
    """
    card, measured = _json(run.dataset / "card.json"), _json(run.metrics / "metrics.json")
    answers = pq.read_table(run.metrics / "answers.parquet").to_pylist()
    searches, errors = search_section.section(answers), error_section.section(measured["errors"], answers)
    shown = search_section.pictures(searches) | error_section.pictures(errors) | behaviour_section.pictures(run.behaviour)
    pictures = thumbnails(run.dataset, shards, shown)
    trained_on, out_of_it = seen(run.dataset, samples.read(run.checkpoint)), left_out.reasons(run.dataset, shards)
    before, after = (measured[model]["text_to_image"] for model in ("baseline", "finetuned"))
    page = render(
        "photostock/report/page.html",
        verdict=verdict,
        gates=gates_table.table(verdict),
        before=before["R@10"],
        after=after["R@10"],
        found=round(after["R@10"] * after["queries"]),
        queries=after["queries"],
        screen=gates_table.screen(
            verdict,
            ran,
            manifest.digest(run.dataset),
            _json(run.behaviour / "behaviour.json")["checks"],
            gates_table.change(measured.get("over_release", {}).get("text_to_image", {}).get("R@10"), after["queries"], "queries"),
            gates_table.too_small(after["queries"], "queries"),
        ),
        chance=measured["chance"]["R@10"],
        interval=after["interval"]["R@10"],
        measured=measured,
        release=measured.get("release"),
        tables=_tables(measured),
        learning=_learning(_json(run.checkpoint / "history.json")),
        mixture=results.mixture(_json(run.checkpoint / "mixture.json")) if (run.checkpoint / "mixture.json").exists() else None,
        seen=trained_on,
        searches=searches,
        errors=errors,
        behaviour=behaviour_section.section(run.behaviour),
        people=people_section.section(people) if people else "",
        pictures=pictures,
        card=card,
        flow=data_section.flow(card, run.dataset / "rejected.parquet"),
        counts=data_section.counts(card),
        left_out=out_of_it,
        ran=run_section.section(
            ran, (DataConfig, TrainConfig, GateConfig), manifest.digest(run.dataset), measured.get("release", {}).get("ran", {})
        ),
        parameters=results.parameters(_json(run.checkpoint / "groups.json")),
        inference=_json(run.encoders / "inference.json"),
        parity=results.parity(_json(run.encoders / "parity.json")),
        credits=credits([*pictures.values(), *trained_on, *(picture for reason in out_of_it for picture in reason.pictures())]),
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(page, encoding="utf-8")
    (out / "verdict.json").write_text(json.dumps(verdict, indent=1, sort_keys=True) + "\n")
    (out / "ran.json").write_text(json.dumps(ran, indent=1, sort_keys=True) + "\n")
    if people:
        (out / "people.json").write_text(json.dumps(people, indent=1) + "\n")


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _tables(measured: Mapping[str, Any]) -> dict[str, Any]:
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
