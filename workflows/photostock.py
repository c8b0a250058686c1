"""PhotoStock: from a stock-photo catalogue to two ONNX encoders that find the right picture.

pyflyte run workflows/photostock.py photostock
pyflyte run workflows/photostock.py photostock --inputs-file experiments/photostock/openclipart.yaml
"""

from functools import partial

from flytekit import conditional, map_task, wait_for_input, workflow

from tasks import photostock as tasks
from tasks.knobs import as_dict, flat
from tasks.photostock import TrainOn
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.training.knobs import TrainConfig


@workflow
@flat(as_dict, data=DataConfig, train=TrainConfig, gate=GateConfig)
def judged(
    data: dict,
    train: dict,
    gate: dict,
    dataset: tasks.Artifact,
    checkpoint: tasks.Artifact,
    encoders: tasks.Artifact,
    metrics: tasks.Artifact,
    behaviour: tasks.Artifact,
    judging: tasks.Artifact,
    shards: list[tasks.Artifact],
    bundle: tasks.Artifact,
    source: str,
    named: str,
    release_to: str,
) -> tasks.Delivered:
    """Leave a candidate, wait until somebody says where the judgements of people lie, and release if every gate holds then."""
    run = {"dataset": dataset, "checkpoint": checkpoint, "encoders": encoders, "metrics": metrics, "behaviour": behaviour}
    told = {"judging": judging, "shards": shards, "source": source, "named": named, **data, **train, **gate}
    candidate = tasks.release(bundle=bundle, release_to=release_to).with_overrides(node_name="candidate")
    place = wait_for_input("judgements", timeout=tasks.PATIENCE, expected_type=str).with_overrides(node_name="judgements")
    candidate.bundle >> place
    said = tasks.answered(judgements=place).with_overrides(node_name="answered")
    report = tasks.report(**run, **told, judgements=said).with_overrides(node_name="report")
    decided = tasks.package(**run, report=report).with_overrides(node_name="package")
    return tasks.release(bundle=decided, release_to=release_to).with_overrides(node_name="release")


@workflow
@flat(as_dict, data=DataConfig, train=TrainConfig, gate=GateConfig)
def photostock(
    data: dict,
    train: dict,
    gate: dict,
    source: str = "sample",
    release_to: str = "artifacts/photostock",
    train_on: TrainOn = TrainOn.GPU,
) -> tasks.Delivered:
    """Fine-tune CLIP on a catalogue; deliver two ONNX encoders, what inference needs, and a report.

    Args:
        source: sample, a folder, a catalogue file (CSV, JSONL, parquet)
        release_to: folder of releases, whose pointer moves if every gate holds. An experiment file that names none, as "" does, leaves
            a candidate in artifacts/photostock
        train_on: where a cluster fine-tunes; on a machine of your own, gpu and cpu both take what is there
    """
    checked = tasks.check(**data, **train, **gate, source=source, release_to=release_to, train_on=train_on).with_overrides(
        node_name="check"
    )
    start = tasks.untouched(
        backbone=train["backbone"],
        weights=train["weights"],
        weights_digest=checked.weights_digest,
        image=train["image"],
        seed=train["seed"],
    ).with_overrides(node_name="untouched")

    rows = tasks.acquire(source=source).with_overrides(node_name="acquire")
    prepare = map_task(partial(tasks.prepare, stored_size=data["stored_size"]))
    shards = prepare(rows=rows).with_overrides(node_name="prepare")
    to_embed = tasks.shards_to_embed(shards=shards, needs_embeddings=checked.needs_embeddings).with_overrides(node_name="shards-to-embed")
    embed = map_task(partial(tasks.embed, start=start, image=train["image"]))
    embeddings = embed(shard=to_embed).with_overrides(node_name="embed")
    curated = tasks.curate(shards=shards, embeddings=embeddings, batch_size=train["batch_size"], **data)
    dataset = curated.with_overrides(node_name="curate")

    pairs = {"start": start, "dataset": dataset, "shards": shards}
    checkpoint = (
        conditional("train_on")
        .if_(checked.train_on == TrainOn.SAGEMAKER.value)
        .then(tasks.finetune_on_sagemaker(**pairs, **train).with_overrides(node_name="on-sagemaker"))
        .elif_(checked.train_on == TrainOn.CPU.value)
        .then(tasks.finetune_on_cpu(**pairs, **train).with_overrides(node_name="on-cpu"))
        .else_()
        .then(tasks.finetune(**pairs, **train).with_overrides(node_name="on-gpu"))
    ).with_overrides(node_name="finetune")
    graphs = tasks.trace(start=start).with_overrides(node_name="trace")
    export = {"graphs": graphs, "prompt": data["prompt"], "image": train["image"]}
    encoders = tasks.export(checkpoint=checkpoint, **export).with_overrides(node_name="export")
    baseline = tasks.export(checkpoint=start, **export).with_overrides(node_name="export-untouched")
    last = tasks.last_release(encoders=encoders, release_to=release_to).with_overrides(node_name="last-release")
    test = {"encoders": encoders, "dataset": dataset, "shards": shards}
    metrics = tasks.evaluate(**test, baseline=baseline, release=last.version, searches=checked.searches).with_overrides(
        node_name="evaluate"
    )
    behaviour = tasks.behave(**test).with_overrides(node_name="behave")
    judging = tasks.prepare_judging(metrics=metrics, dataset=dataset, shards=shards, seed=train["seed"]).with_overrides(
        node_name="prepare-judging"
    )

    run = {"dataset": dataset, "checkpoint": checkpoint, "encoders": encoders, "metrics": metrics, "behaviour": behaviour}
    told = {"judging": judging, "shards": shards, "source": source, "named": checked.named, **data, **train, **gate}
    report = tasks.report(**run, **told, judgements=last.judgements).with_overrides(node_name="report")
    bundle = tasks.package(**run, report=report).with_overrides(node_name="package")
    # A backbone that cannot be had must stop the run before a picture is touched.
    start >> rows
    return (
        conditional("people")
        .if_(checked.people == "asked")
        .then(judged(**run, **told, bundle=bundle, release_to=release_to).with_overrides(node_name="after-people"))
        .else_()
        .then(tasks.release(bundle=bundle, release_to=release_to).with_overrides(node_name="now"))
    ).with_overrides(node_name="release")
