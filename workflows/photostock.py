"""PhotoStock: from a stock-photo catalogue to two ONNX encoders that find the right picture.

pyflyte run workflows/photostock.py photostock
pyflyte run workflows/photostock.py photostock --inputs-file experiments/photostock/openclipart.yaml
"""

from functools import partial

from flytekit import conditional, map_task, workflow

from tasks import photostock as tasks
from tasks.knobs import as_dict, flat
from tasks.photostock import TrainOn
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.training.knobs import TrainConfig


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
        release_to: folder that holds the released versions and the pointer to the current one
        train_on: where a cluster fine-tunes; on a machine of your own, gpu and cpu both take what is there
    """
    checked = tasks.check(**data, **train, **gate, source=source, release_to=release_to, train_on=train_on)
    start = tasks.untouched(
        backbone=train["backbone"],
        weights=train["weights"],
        weights_digest=checked.weights_digest,
        image=train["image"],
        seed=train["seed"],
    )

    rows = tasks.acquire(source=source)
    shards = map_task(partial(tasks.prepare, stored_size=data["stored_size"]))(rows=rows)
    to_embed = tasks.shards_to_embed(shards=shards, needs_embeddings=checked.needs_embeddings)
    embeddings = map_task(partial(tasks.embed, start=start, image=train["image"]))(shard=to_embed)
    dataset = tasks.curate(shards=shards, embeddings=embeddings, **data)

    pairs = {"start": start, "dataset": dataset, "shards": shards}
    checkpoint = (
        conditional("train_on")
        .if_(checked.train_on == TrainOn.SAGEMAKER.value)
        .then(tasks.finetune_on_sagemaker(**pairs, **train))
        .elif_(checked.train_on == TrainOn.CPU.value)
        .then(tasks.finetune_on_cpu(**pairs, **train))
        .else_()
        .then(tasks.finetune(**pairs, **train))
    )
    encoders = tasks.export(checkpoint=checkpoint, prompt=data["prompt"], image=train["image"])
    baseline = tasks.export(checkpoint=start, prompt=data["prompt"], image=train["image"])
    last = tasks.last_release(encoders=encoders, release_to=release_to)
    metrics = tasks.evaluate(encoders=encoders, baseline=baseline, dataset=dataset, shards=shards, release=last)
    behaviour = tasks.behave(encoders=encoders, dataset=dataset, shards=shards)

    run = {"dataset": dataset, "checkpoint": checkpoint, "encoders": encoders, "metrics": metrics, "behaviour": behaviour}
    report = tasks.report(**run, shards=shards, source=source, **data, **train, **gate)
    bundle = tasks.package(**run, report=report)
    # A backbone that cannot be had must stop the run before a picture is touched.
    start >> rows
    return tasks.release(bundle=bundle, release_to=release_to)
