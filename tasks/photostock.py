"""PhotoStock's stages as Flyte tasks, in the order of the data."""

from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from flytekit.types.directory import FlyteDirectory

from tasks.attempts import on_cluster
from tasks.delivery import Delivered, folder, publish, run_name
from tasks.deployment import GPU, LARGE, MEDIUM, SMALL, GpuPod, accelerated, accelerator, gpus
from tasks.stage import Artifact, path, paths, stage, step
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.storage import store

DAYS = timedelta(days=3)
"""Longer than any fine-tuning takes."""

PATIENCE = timedelta(days=14)
"""How long a run waits until people have judged; then it fails, and its bundle stays a candidate."""

SEARCHES, LONGEST = 200, 200
"""Most queries of a log that are tried, and their most letters: they pass from task to task, and people judge a dozen of them."""


class TrainOn(Enum):
    """Where fine-tuning runs; what it makes is the same, so its cache is too."""

    GPU = "gpu"
    CPU = "cpu"
    SAGEMAKER = "sagemaker"


class Checked(NamedTuple):
    """What the workflow turns on.

    ``weights_digest`` is that of the pretrained weights where they are a file, ``needs_embeddings`` says whether curation does,
    ``train_on`` is the input as text, for a cluster compares no Enum, ``named`` is the name of the run, and ``searches`` are some of what
    people searched, if there is a log of it. ``people`` is ``asked`` where the run waits until they have judged.
    """

    weights_digest: str
    needs_embeddings: bool
    train_on: str
    named: str
    searches: list[str]
    people: str


@step()
def check(data: DataConfig, train: TrainConfig, gate: GateConfig, source: str, release_to: str, train_on: TrainOn) -> Checked:
    """Refuse bad knobs, sources, targets and deployments before anything expensive."""
    from trainworks.photostock.catalogue import catalogue
    from trainworks.photostock.curation import subsample
    from trainworks.photostock.evaluation.measures import MEASURES
    from trainworks.photostock.judging import people
    from trainworks.photostock.model import weights
    from trainworks.photostock.monitoring import query_log
    from trainworks.release import measures, releases
    from trainworks.training import sagemaker

    if train_on is TrainOn.GPU and on_cluster() and train.devices > gpus():
        train.refuse(
            "devices", f"fine-tuning was registered with {gpus()} GPU(s): lower it, or register with TRAINWORKS_GPUS={train.devices}"
        )
    store.check()
    catalogue.check(source)
    to = releases.check_target(folder(release_to, "photostock"))
    if train_on is TrainOn.SAGEMAKER:
        sagemaker.Deployment.from_environment()
    wanted = any(asked.name == "preference" and not asked.waived for asked in measures.parse(gate.gates, MEASURES))
    current, judged = releases.current(to), people.beside(to)
    waits = wanted and on_cluster() and not people.newer(judged, current.version if current else "")
    return Checked(
        weights.digest(train.weights),
        subsample.needs_embeddings(data.subsample),
        train_on.value,
        run_name(),
        query_log.drawn(to, SEARCHES, LONGEST),
        "asked" if waits else "not asked",
    )


@stage("photostock.model.untouched", MEDIUM)
def untouched(backbone: str, weights: str, weights_digest: str, image: str, seed: int, out: Path) -> Artifact:
    """The backbone as it comes: where fine-tuning starts, and what it must beat."""
    from trainworks.photostock.model.untouched import untouched

    untouched(backbone, weights, image, seed, out)
    return FlyteDirectory(str(out))


@step(MEDIUM, interruptible=True)
def acquire(source: str) -> list[Artifact]:
    """The catalogue, checked, as append-only slices. Never cached: only reading tells whether a source has changed."""
    from trainworks.photostock.catalogue.acquire import acquire

    return [FlyteDirectory(store.address(folder)) for folder in acquire(source)]


@stage("photostock.preparation.prepare", MEDIUM, many=True, interruptible=True)
def prepare(rows: Artifact, stored_size: int, out: Path) -> Artifact:
    """One slice's pictures: fetched, decoded, checked, upright, on white, resized, hashed."""
    from trainworks.photostock.preparation.prepare import prepare

    prepare(path(rows), store.notes(path(rows))["root"], out, stored_size)
    return FlyteDirectory(str(out))


@step()
def shards_to_embed(shards: list[Artifact], needs_embeddings: bool) -> list[Artifact]:
    """All of them or, where curation needs no embeddings, none, so that no pod is started for them."""
    return shards if needs_embeddings else []


@stage("photostock.curation.embed", MEDIUM, many=True, interruptible=True)
def embed(shard: Artifact, start: Artifact, image: str, out: Path) -> Artifact:
    """One shard's pictures as the untouched image tower sees them."""
    from trainworks.photostock.curation.embed import embed

    embed(path(start), path(shard, whole=False), image, out)
    return FlyteDirectory(str(out))


@stage("photostock.curation.curate", LARGE)
def curate(shards: list[Artifact], embeddings: list[Artifact], data: DataConfig, out: Path, batch_size: int = 1) -> Artifact:
    """Duplicates, caps, captions and a leak-free split that fills a batch: a table only, no pictures."""
    from trainworks.photostock.curation.curate import curate

    curate(paths(shards, whole=False), data, out, paths(embeddings), batch_size)
    return FlyteDirectory(str(out))


@stage(
    "photostock.training.train",
    accelerated(),
    image=GPU,
    timeout=DAYS,
    accelerator=accelerator(),
    pod_template=GpuPod(),
    serialize=True,
    interruptible=True,
)
def finetune(start: Artifact, dataset: Artifact, shards: list[Artifact], train: TrainConfig, out: Path) -> Artifact:
    """The towers of the best validation recall."""
    return _finetune(start, dataset, shards, train, out)


@stage("photostock.training.train", LARGE, timeout=DAYS, name="finetune", serialize=True, interruptible=True)
def finetune_on_cpu(start: Artifact, dataset: Artifact, shards: list[Artifact], train: TrainConfig, out: Path) -> Artifact:
    """The same where no GPU is to be had."""
    return _finetune(start, dataset, shards, train, out)


# Not interruptible: an evicted pod would stop its job.
@stage("photostock.training.train", SMALL, timeout=DAYS, name="finetune", serialize=True)
def finetune_on_sagemaker(start: Artifact, dataset: Artifact, shards: list[Artifact], train: TrainConfig, out: Path) -> Artifact:
    """The same as a SageMaker job, which this task starts and waits for."""
    from trainworks.photostock.training.job import PROGRAM

    PROGRAM.submit({"start": path(start), "dataset": path(dataset), "shards": paths(shards)}, train, out, DAYS)
    return FlyteDirectory(str(out))


def _finetune(
    start: FlyteDirectory, dataset: FlyteDirectory, shards: list[FlyteDirectory], train: TrainConfig, out: Path
) -> FlyteDirectory:
    from trainworks.photostock.training.train import finetune_here

    finetune_here(path(start), path(dataset), paths(shards, whole=False), train, out, run_name())
    return FlyteDirectory(str(out))


@stage("photostock.delivery.export", MEDIUM)
def trace(start: Artifact, out: Path) -> Artifact:
    """The graphs of both encoders, without weights: those of every checkpoint that starts here."""
    from trainworks.photostock.delivery.export import trace

    trace(path(start), out)
    return FlyteDirectory(str(out))


@stage("photostock.delivery.export", MEDIUM)
def export(checkpoint: Artifact, graphs: Artifact, prompt: str, image: str, out: Path) -> Artifact:
    """Both encoders as ONNX, proved equal to torch."""
    from trainworks.photostock.delivery.export import export

    export(path(checkpoint), path(graphs), prompt, image, out)
    return FlyteDirectory(str(out))


class Before(NamedTuple):
    """What lies where releases are: the *version* to compare with, named by its content, and the *judgements* of people."""

    version: str
    judgements: Artifact


@step()
def last_release(encoders: Artifact, release_to: str) -> Before:
    """What the new model is seen beside. Never cached: somebody may have released, or judged, since."""
    from trainworks.photostock.facts import MODEL
    from trainworks.photostock.judging import people
    from trainworks.release.predecessor import predecessor

    to = folder(release_to, "photostock")
    judged = people.kept(people.beside(to))
    return Before(predecessor(to, path(encoders), MODEL), FlyteDirectory(store.address(judged)))


@step()
def answered(judgements: str) -> Artifact:
    """The judgements at the place that somebody gave a waiting run."""
    from trainworks.photostock.judging import people
    from trainworks.photostock.judging.judgements import read

    return FlyteDirectory(store.address(people.kept(read(judgements))))


@stage("photostock.evaluation.evaluate", LARGE)
def evaluate(
    encoders: Artifact,
    baseline: Artifact,
    dataset: Artifact,
    shards: list[Artifact],
    release: str,
    searches: list[str],
    out: Path,
) -> Artifact:
    """Retrieval on the test gallery by the ONNX files that ship, beside the untouched backbone and the last release."""
    from trainworks.photostock.evaluation.evaluate import evaluate

    evaluate(path(encoders), path(baseline), path(dataset), paths(shards, whole=False), release, out, searches)
    return FlyteDirectory(str(out))


@stage("photostock.evaluation.behaviour", LARGE)
def behave(encoders: Artifact, dataset: Artifact, shards: list[Artifact], out: Path) -> Artifact:
    """What the encoders that ship must do whatever their pictures and words: a rate per check, with its worst failures."""
    from trainworks.photostock.evaluation.behaviour import behave

    behave(path(encoders), path(dataset), paths(shards, whole=False), out)
    return FlyteDirectory(str(out))


@stage("photostock.judging.prepare", SMALL)
def prepare_judging(metrics: Artifact, dataset: Artifact, shards: list[Artifact], seed: int, out: Path) -> Artifact:
    """Tasks for people: queries, what this model and the last release or the untouched backbone find, and no word of which is which."""
    from trainworks.photostock.judging.prepare import prepare

    prepare(path(metrics), path(dataset), paths(shards, whole=False), seed, out)
    return FlyteDirectory(str(out))


@stage("photostock.report.page", MEDIUM)
def report(
    dataset: Artifact,
    checkpoint: Artifact,
    encoders: Artifact,
    metrics: Artifact,
    behaviour: Artifact,
    judging: Artifact,
    judgements: Artifact,
    shards: list[Artifact],
    source: str,
    named: str,
    data: DataConfig,
    train: TrainConfig,
    gate: GateConfig,
    out: Path,
) -> Artifact:
    """The page a person reads before shipping, and the verdict of the gates."""
    from trainworks.photostock.judging import people
    from trainworks.photostock.judging.judgements import read
    from trainworks.photostock.report.page import report
    from trainworks.photostock.run import Run

    tasks = path(judging)
    said = people.people(tasks, read(path(judgements) / people.FILE), store.address(tasks))
    run = Run(path(dataset), path(checkpoint), path(encoders), path(metrics), path(behaviour))
    report(run, paths(shards, whole=False), source, data, train, gate, out, named, said)
    return FlyteDirectory(str(out))


@stage("photostock.delivery.package", MEDIUM)
def package(
    dataset: Artifact,
    checkpoint: Artifact,
    encoders: Artifact,
    metrics: Artifact,
    behaviour: Artifact,
    report: Artifact,
    out: Path,
) -> Artifact:
    """The bundle a service loads."""
    from trainworks.photostock.delivery.package import package
    from trainworks.photostock.run import Run

    package(Run(path(dataset), path(checkpoint), path(encoders), path(metrics), path(behaviour)), path(report), out)
    return FlyteDirectory(str(out))


@step(enable_deck=True, deck_fields=())
def release(bundle: Artifact, release_to: str) -> Delivered:
    """Publish the bundle; where a release is asked for, the pointer moves if every gate holds. Never cached: others may have released."""
    return publish(bundle, release_to, "photostock", "PhotoStock")
