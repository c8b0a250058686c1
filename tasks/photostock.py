"""PhotoStock's stages as Flyte tasks, in the order of the data."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flytekit import Deck, Resources, task
from flytekit.types.directory import FlyteDirectory

from tasks.knobs import build, flat
from tasks.stage import CPU, GPU, Artifact, path, paths, stage, watch
from trainworks import store
from trainworks.photostock.config import DataConfig, GateConfig, TrainConfig

SMALL = Resources(cpu="1", mem="1Gi")
MEDIUM = Resources(cpu="2", mem="4Gi")
LARGE = Resources(cpu="4", mem="16Gi")
ACCELERATED = Resources(cpu="8", mem="32Gi", gpu="1")


class Checked(NamedTuple):
    """The digest of the pretrained weights where they are a file, and whether curation looks at embeddings."""

    weights_digest: str
    by_look: bool


@task(requests=SMALL, container_image=CPU)
@flat(build, data=DataConfig, train=TrainConfig, gate=GateConfig)
def check(data: DataConfig, train: TrainConfig, gate: GateConfig, source: str, release_to: str) -> Checked:
    """Refuse bad knobs, sources and targets before anything expensive."""
    from trainworks import release
    from trainworks.photostock import catalogue, subsample, weights

    watch()
    store.check()
    catalogue.check(source)
    release.check_target(release_to)
    return Checked(weights.digest(train.weights), subsample.wants_embeddings(data.subsample))


@stage("photostock.towers", MEDIUM)
def untouched(backbone: str, weights: str, weights_digest: str, image: str, seed: int, out: Path) -> Artifact:
    """The backbone as it comes: where fine-tuning starts, and what it must beat."""
    from trainworks.photostock import towers
    from trainworks.photostock.pixels import Preprocessing

    towers.save(towers.load(backbone, weights, Preprocessing(image).size, seed), out)
    return FlyteDirectory(str(out))


@task(requests=MEDIUM, container_image=CPU, retries=2)
def acquire(source: str) -> list[Artifact]:
    """The catalogue, checked, as append-only slices. Never cached: only reading tells whether a source has changed."""
    from trainworks.photostock import catalogue
    from trainworks.photostock.slices import slices, write_slice

    watch()
    found = catalogue.read(source)
    kept = [store.keep("acquire", partial(write_slice, rows), root=str(found.root)) for rows in slices(found.table)]
    return [FlyteDirectory(store.address(folder)) for folder in kept]


@stage("photostock.prepare", MEDIUM, many=True)
def prepare(rows: Artifact, stored_size: int, out: Path) -> Artifact:
    """One slice's pictures: fetched, decoded, checked, upright, on white, resized, hashed."""
    from trainworks.photostock.prepare import prepare

    prepare(path(rows), store.notes(path(rows))["root"], out, stored_size)
    return FlyteDirectory(str(out))


@stage("photostock.embed", MEDIUM, many=True)
def embed(shard: Artifact, start: Artifact, image: str, by_look: bool, out: Path) -> Artifact:
    """One shard's pictures as the untouched image tower sees them; nothing where curation does not go *by_look*."""
    if by_look:
        from trainworks.photostock.embed import embed

        embed(path(start), path(shard), image, out)
    return FlyteDirectory(str(out))


@stage("photostock.curate", LARGE)
def curate(shards: list[Artifact], embeddings: list[Artifact], by_look: bool, data: DataConfig, out: Path) -> Artifact:
    """Duplicates, caps, captions and a leak-free split: a table only, no pictures."""
    from trainworks.photostock.curate import curate

    curate(paths(shards), data, out, paths(embeddings) if by_look else ())
    return FlyteDirectory(str(out))


@stage("photostock.train", ACCELERATED, GPU)
def finetune(start: Artifact, dataset: Artifact, shards: list[Artifact], train: TrainConfig, out: Path) -> Artifact:
    """The towers of the best validation recall."""
    from trainworks.photostock.train import finetune

    logs = store.root() / "tensorboard" / f"{datetime.now():%Y%m%d-%H%M%S}"
    finetune(path(start), path(dataset), paths(shards), train, logs, out)
    return FlyteDirectory(str(out))


@stage("photostock.export", MEDIUM)
def export(checkpoint: Artifact, prompt: str, image: str, out: Path) -> Artifact:
    """Both encoders as ONNX, proved equal to torch."""
    from trainworks.photostock.export import export

    export(path(checkpoint), prompt, image, out)
    return FlyteDirectory(str(out))


@stage("photostock.evaluate", LARGE)
def evaluate(encoders: Artifact, baseline: Artifact, dataset: Artifact, shards: list[Artifact], out: Path) -> Artifact:
    """Retrieval on the test gallery by the ONNX files that ship, beside the untouched backbone."""
    from trainworks.photostock.evaluate import evaluate

    evaluate(path(encoders), path(baseline), path(dataset), paths(shards), out)
    return FlyteDirectory(str(out))


@stage("photostock.report", MEDIUM)
def report(
    dataset: Artifact,
    shards: list[Artifact],
    checkpoint: Artifact,
    encoders: Artifact,
    metrics: Artifact,
    source: str,
    data: DataConfig,
    train: TrainConfig,
    gate: GateConfig,
    out: Path,
) -> Artifact:
    """The page a person reads before shipping, and the verdict of the gates."""
    from trainworks import facts
    from trainworks.photostock import evaluate
    from trainworks.photostock.package import PACKAGES
    from trainworks.photostock.report import report

    stages = {
        "prepare": paths(shards),
        "curate": [path(dataset)],
        "finetune": [path(checkpoint)],
        "export": [path(encoders)],
        "evaluate": [path(metrics)],
    }
    ran = facts.run(facts.knobs(data, train, gate, source=source), facts.defaults(data, train, gate), stages, PACKAGES)
    verdict = evaluate.verdict(path(metrics), gate)
    report(path(dataset), paths(shards), path(checkpoint), path(encoders), path(metrics), verdict, ran, out)
    return FlyteDirectory(str(out))


@stage("photostock.package", MEDIUM)
def package(
    encoders: Artifact,
    metrics: Artifact,
    report: Artifact,
    dataset: Artifact,
    source: str,
    data: DataConfig,
    train: TrainConfig,
    gate: GateConfig,
    out: Path,
) -> Artifact:
    """The bundle a service loads."""
    from trainworks import facts
    from trainworks.photostock.package import package

    package(path(encoders), path(metrics), path(report), path(dataset), facts.knobs(data, train, gate, source=source), out)
    return FlyteDirectory(str(out))


class Delivered(NamedTuple):
    """What a run ends with."""

    bundle: str
    report: str
    released: bool
    why: str


@task(requests=SMALL, container_image=CPU, retries=2, enable_deck=True, deck_fields=())
def release(bundle: Artifact, release_to: str) -> Delivered:
    """Publish the bundle; the pointer moves if every gate holds. Never cached: somebody else may have released since.

    The report becomes this task's Deck, so that every execution shows it, also one whose stages all came from the cache.
    """
    from trainworks.release import release

    watch()
    released = release(path(bundle), release_to)
    Deck("PhotoStock", (path(bundle) / "report.html").read_text())
    return Delivered(released.uri, f"{released.uri}/report.html", released.moved, released.why)
