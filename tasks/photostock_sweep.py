"""Tuning PhotoStock's training: each trial is a fine-tuning run judged on the validation gallery.

A trial runs the stages of :mod:`tasks.photostock` inside its own task, where they are remembered by content: trials share the
untouched backbone, and the pipeline on the winner's file trains nothing again. So its folders go without the digest of an ``Artifact``.
"""

from functools import partial
from typing import Any

from flytekit import dynamic
from flytekit.types.directory import FlyteDirectory

from tasks import photostock
from tasks.deployment import CPU, GPU, SMALL, GpuPod, StagePod, accelerated, accelerator, registered_with
from tasks.knobs import as_dict, flat
from tasks.photostock import DAYS, Checked, TrainOn
from tasks.stage import path, step
from tasks.sweep import Answered, Asked, Sampler, Searched, Swept, leave, next_settings, rounds
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.storage import store

ON_GPU: dict[str, Any] = {
    "requests": accelerated(),
    "image": GPU,
    "timeout": DAYS,
    "accelerator": accelerator(),
    "pod_template": GpuPod(),
}
"""What a task that trains needs of a cluster."""


@step()
def check(data: DataConfig, train: TrainConfig, source: str, space: str, sampler: Sampler, trials: int, parallel: int) -> Checked:
    """Refuse bad knobs, spaces and sources before anything expensive."""
    from trainworks.photostock.catalogue import catalogue
    from trainworks.photostock.curation import subsample
    from trainworks.photostock.model import weights
    from trainworks.photostock.training import trial
    from trainworks.sweep import space as spaces
    from trainworks.sweep.trials import require_possible

    store.check()
    catalogue.check(source)
    varied = spaces.parse(space, train)
    require_possible(varied, sampler.value, trials, parallel)
    trial.check(varied, data)
    return Checked(weights.digest(train.weights), subsample.needs_embeddings(data.subsample), TrainOn.GPU.value, "", [], "not asked")


@step()
def ask(train: TrainConfig, space: str, sampler: Sampler, asked: Asked, answered: Answered, many: int) -> list[str]:
    """The settings of the next round."""
    from trainworks.photostock.training.trial import OBJECTIVE

    return next_settings(train, train.seed, space, sampler, OBJECTIVE, asked, answered, many)


@step(**ON_GPU, interruptible=True)
def trial(setting: str, train: TrainConfig, dataset: FlyteDirectory, shards: list[FlyteDirectory]) -> str:
    """Fine-tune with one setting: the validation recall, or the error."""
    from trainworks.photostock.training import trial
    from trainworks.sweep import space, trials

    return trials.attempt(setting, lambda chosen: trial.validation(path(_trained(space.apply(train, chosen), dataset, shards)[1])))


# It registers its trials itself, in its pod.
@dynamic(requests=SMALL, container_image=CPU, environment=registered_with(), pod_template=StagePod())
@flat(as_dict, train=TrainConfig)
def search(
    train: dict, dataset: FlyteDirectory, shards: list[FlyteDirectory], space: str, sampler: Sampler, trials: int, parallel: int
) -> Searched:
    """Rounds of *parallel* trials."""
    next_round = partial(ask, **train, space=space, sampler=sampler)
    return rounds(next_round, partial(trial, dataset=dataset, shards=shards, **train), trials, parallel)


@step(**ON_GPU, enable_deck=True, deck_fields=())
def conclude(
    asked: Asked,
    answered: Answered,
    dataset: FlyteDirectory,
    shards: list[FlyteDirectory],
    data: DataConfig,
    train: TrainConfig,
    source: str,
    space: str,
    sampler: Sampler,
) -> Swept:
    """The winner on the test gallery; a table, the winner's experiment file, and a page with plots."""
    from trainworks import facts
    from trainworks.photostock.training.trial import OBJECTIVE, tested
    from trainworks.sweep import space as spaces
    from trainworks.sweep.trials import best, together

    trials = together(asked, answered)
    winner = spaces.apply(train, trials[best(trials, OBJECTIVE)].setting)
    start, checkpoint = _trained(winner, dataset, shards)
    export = {"graphs": photostock.trace.task_function(start=start), "prompt": data.prompt, "image": winner.image}
    encoders, baseline = (photostock.export.task_function(checkpoint=towers, **export) for towers in (checkpoint, start))
    metrics = photostock.evaluate.task_function(
        encoders=encoders, baseline=baseline, dataset=dataset, shards=shards, release="", searches=[]
    )

    usual = facts.defaults(data, winner)
    file = {"source": source, **{name: value for name, value in facts.knobs(data, winner).items() if value != usual[name]}}
    described = {
        "space": space,
        "sampler": sampler.value,
        "trials": len(trials),
        "trials in parallel": len(asked[0]),
        **facts.knobs(data, train),
    }
    return leave(trials, spaces.parse(space, train), OBJECTIVE, file, tested(path(metrics)), described)


def _trained(train: TrainConfig, dataset: FlyteDirectory, shards: list[FlyteDirectory]) -> tuple[FlyteDirectory, FlyteDirectory]:
    """The untouched backbone and the fine-tuned one, both under the names the pipeline remembers them by."""
    from trainworks.photostock.model import weights

    known = {"weights_digest": weights.digest(train.weights), "backbone": train.backbone, "weights": train.weights}
    start = photostock.untouched.task_function(image=train.image, seed=train.seed, **known)
    return start, photostock.finetune.task_function(start=start, dataset=dataset, shards=shards, **vars(train))
