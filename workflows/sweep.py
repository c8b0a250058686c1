"""A sweep: which knobs of PhotoStock's training find the most, judged on the validation gallery.

pyflyte run workflows/sweep.py sweep --space "learning_rate = log(1e-4, 1e-2); weight_decay = 0 | 0.05 | 0.2" --trials 8
pyflyte run workflows/sweep.py sweep --inputs-file experiments/photostock/sweep.yaml
"""

from functools import partial

from flytekit import map_task, workflow

from tasks import photostock
from tasks import photostock_sweep as tasks
from tasks.knobs import as_dict, flat
from tasks.sweep import Sampler, Swept
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.training.knobs import TrainConfig


@workflow
@flat(as_dict, data=DataConfig, train=TrainConfig)
def sweep(
    data: dict,
    train: dict,
    source: str = "sample",
    space: str = "learning_rate = log(1e-4, 1e-2); weight_decay = 0 | 0.05 | 0.2",
    trials: int = 8,
    parallel: int = 4,
    sampler: Sampler = Sampler.TPE,
) -> Swept:
    """Tune knobs of training; deliver a table of the trials, the winner as an experiment file, and a page with plots.

    The same command again goes on where the last one was stopped, and with more trials where it ended.

    Args:
        source: sample, a folder, a catalogue file (CSV, JSONL, parquet)
        space: what is tried, of the knobs of training: knob = log(low, high), uniform(low, high) or choices a | b, parted by ;
        trials: settings that are tried
        parallel: trials of one round; the next round learns from it. Locally they run one after the other
        sampler: grid (all settings in order), random, or tpe, which draws where earlier trials were good once ten are done
    """
    wanted = {"source": source, "space": space, "sampler": sampler}
    checked = tasks.check(**data, **train, **wanted, trials=trials, parallel=parallel).with_overrides(node_name="check")
    start = photostock.untouched(
        backbone=train["backbone"],
        weights=train["weights"],
        weights_digest=checked.weights_digest,
        image=train["image"],
        seed=train["seed"],
    ).with_overrides(node_name="untouched")

    rows = photostock.acquire(source=source).with_overrides(node_name="acquire")
    prepare = map_task(partial(photostock.prepare, stored_size=data["stored_size"]))
    shards = prepare(rows=rows).with_overrides(node_name="prepare")
    to_embed = photostock.shards_to_embed(shards=shards, needs_embeddings=checked.needs_embeddings).with_overrides(
        node_name="shards-to-embed"
    )
    embed = map_task(partial(photostock.embed, start=start, image=train["image"]))
    embeddings = embed(shard=to_embed).with_overrides(node_name="embed")
    dataset = photostock.curate(shards=shards, embeddings=embeddings, **data).with_overrides(node_name="curate")

    pairs = {"dataset": dataset, "shards": shards}
    searched = tasks.search(**pairs, **train, space=space, sampler=sampler, trials=trials, parallel=parallel)
    asked, answered = searched.with_overrides(node_name="search")
    # A backbone that cannot be had must stop the run before a picture is touched.
    start >> rows
    return tasks.conclude(asked=asked, answered=answered, **pairs, **data, **train, **wanted).with_overrides(node_name="conclude")
