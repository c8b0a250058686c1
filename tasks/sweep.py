"""Tuning PhotoStock's training: trials in parallel, each a fine-tuning run judged on the validation gallery.

A trial runs the stages of :mod:`tasks.photostock` inside its own task, where they are remembered by content: trials share the
untouched backbone, a sweep that was killed finds what had finished, and the pipeline on the winner's file trains nothing again.
A trial's task itself is not cached, so that a failed one is tried again when the sweep is run again; so its folders go without
the digest of an ``Artifact``.
"""

import json
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, Optional

from flytekit import Deck, dynamic, map_task, task
from flytekit.types.directory import FlyteDirectory

from tasks import photostock
from tasks.attempts import flyte_errors
from tasks.deployment import CPU, GPU, SMALL, GpuPod, accelerated, accelerator, registered_with
from tasks.knobs import as_dict, build, flat
from tasks.photostock import DAYS, Checked
from tasks.stage import HOURS, path, watch
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.storage import store

ON_GPU: dict[str, Any] = {
    "requests": accelerated(),
    "container_image": GPU,
    "retries": 2,
    "timeout": DAYS,
    "accelerator": accelerator(),
    "pod_template": GpuPod(),
}
"""What a task that trains needs of a cluster."""

Asked = list[list[str]]
"""Round → settings, as JSON."""

Answered = list[list[Optional[str]]]  # noqa: UP045 - what flytekit makes of a mapped task that may fail
"""Round → answers, as JSON; None where the machine was lost."""


class Sampler(Enum):
    """How the next settings are drawn."""

    RANDOM = "random"
    TPE = "tpe"


class Searched(NamedTuple):
    """All rounds."""

    asked: Asked
    answered: Answered


class Swept(NamedTuple):
    """What a sweep ends with."""

    winner: str
    table: str
    page: str
    recall: float


@task(requests=SMALL, container_image=CPU, retries=2, timeout=HOURS)
@flat(build, data=DataConfig, train=TrainConfig)
@flyte_errors()
def check(data: DataConfig, train: TrainConfig, source: str, space: str, trials: int, parallel: int) -> Checked:
    """Refuse bad knobs, spaces and sources before anything expensive."""
    from trainworks.photostock.catalogue import catalogue
    from trainworks.photostock.curation import subsample
    from trainworks.photostock.model import weights
    from trainworks.photostock.training import trial
    from trainworks.sweep import space as spaces
    from trainworks.sweep.trials import require_possible

    watch()
    store.check()
    catalogue.check(source)
    varied = spaces.parse(space, train)
    require_possible(varied, trials, parallel)
    trial.check(varied, data)
    return Checked(weights.digest(train.weights), subsample.needs_embeddings(data.subsample), "")


@task(requests=SMALL, container_image=CPU, retries=2, timeout=HOURS)
@flat(build, train=TrainConfig)
def ask(train: TrainConfig, space: str, sampler: Sampler, asked: Asked, answered: Answered, many: int) -> list[str]:
    """The settings of the next round."""
    from trainworks.sweep import space as spaces
    from trainworks.sweep import trials

    watch()
    settings = trials.ask(spaces.parse(space, train), sampler.value, train.seed, trials.together(asked, answered), many)
    return [json.dumps(setting) for setting in settings]


@task(**ON_GPU, interruptible=True)
@flat(build, train=TrainConfig)
def trial(setting: str, train: TrainConfig, dataset: FlyteDirectory, shards: list[FlyteDirectory]) -> str:
    """Fine-tune with one setting: the validation recall, or the error."""
    from trainworks.photostock.training import trial
    from trainworks.sweep import space, trials

    watch()
    return trials.attempt(setting, lambda chosen: trial.validation(path(_trained(space.apply(train, chosen), dataset, shards)[1])))


# It registers its trials itself, in its pod.
@dynamic(requests=SMALL, container_image=CPU, environment=registered_with())
@flat(as_dict, train=TrainConfig)
def search(
    train: dict, dataset: FlyteDirectory, shards: list[FlyteDirectory], space: str, sampler: Sampler, trials: int, parallel: int
) -> Searched:
    """Rounds of *parallel* trials. A trial whose machine is lost costs only itself."""
    asked: list = []
    answered: list = []
    one = partial(trial, dataset=dataset, shards=shards, **train)
    for first in range(0, trials, parallel):
        many = min(parallel, trials - first)
        asked.append(ask(**train, space=space, sampler=sampler, asked=asked, answered=answered, many=many))
        answered.append(map_task(one, min_success_ratio=0.0)(setting=asked[-1]))
    return Searched(asked, answered)


@task(**ON_GPU, enable_deck=True, deck_fields=())
@flat(build, data=DataConfig, train=TrainConfig)
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
    from trainworks.photostock.training import trial
    from trainworks.sweep import page
    from trainworks.sweep import space as spaces
    from trainworks.sweep.trials import best, together

    watch()
    trials = together(asked, answered)
    winning = trials[best(trials)]
    winner = spaces.apply(train, winning.setting)
    start, checkpoint = _trained(winner, dataset, shards)
    encoders, baseline = (
        photostock.export.task_function(checkpoint=c, prompt=data.prompt, image=winner.image) for c in (checkpoint, start)
    )
    metrics = photostock.evaluate.task_function(encoders=encoders, baseline=baseline, dataset=dataset, shards=shards, release="")

    usual = facts.defaults(data, winner)
    file = {"source": source, **{name: value for name, value in facts.knobs(data, winner).items() if value != usual[name]}}
    described = {
        "space": space,
        "sampler": sampler.value,
        "trials": len(trials),
        "trials in parallel": len(asked[0]),
        **facts.knobs(data, train),
    }
    tested = trial.tested(path(metrics))
    folder = store.keep("sweep", partial(page.write, trials, spaces.parse(space, train), file, tested, described))
    Deck("Sweep", (folder / "sweep.html").read_text())
    place = store.address(folder)
    return Swept(f"{place}/winner.yaml", f"{place}/trials.csv", f"{place}/sweep.html", tested["finetuned"])


def _trained(train: TrainConfig, dataset: FlyteDirectory, shards: list[FlyteDirectory]) -> tuple[FlyteDirectory, FlyteDirectory]:
    """The untouched backbone and the fine-tuned one, both under the names the pipeline remembers them by."""
    from trainworks.photostock.model import weights

    known = {"weights_digest": weights.digest(train.weights), "backbone": train.backbone, "weights": train.weights}
    start = photostock.untouched.task_function(image=train.image, seed=train.seed, **known)
    return start, photostock.finetune.task_function(start=start, dataset=dataset, shards=shards, **vars(train))
