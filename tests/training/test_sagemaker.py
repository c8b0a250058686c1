"""A SageMaker job is started once, joined, stopped on abort, and its model verified; its errors come back in words."""

import io
import json
import logging
import os
import signal
import sys
import tarfile
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.fake_sagemaker import FakeSageMaker, ServiceError
from trainworks.errors import IntegrityError, StorageError, StorageUnreachable, TrainingError
from trainworks.photostock.training.job import PROGRAM
from trainworks.photostock.training.knobs import Pairs, Precision, TrainConfig
from trainworks.storage import aws, manifest, store
from trainworks.training import sagemaker
from trainworks.training.sagemaker import Deployment, Job

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "ROLE": "arn:aws:iam::123456789012:role/train",
    "IMAGE": "photostock-gpu:7",
    "INSTANCE": "ml.g5.xlarge",
    "BUCKET": "training/photostock",
}
DEPLOYMENT = Deployment(**{name.lower(): value for name, value in SETTINGS.items()})

TOY = """
import json, os, pathlib, sys, time
sys.path.insert(0, {root!r})
from trainworks.storage import manifest
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
knobs = json.loads((base / "input/config/hyperparameters.json").read_text())
seen = base / "checkpoints" / "seen"
starts = int(seen.read_text()) + 1 if seen.exists() else 1
seen.write_text(str(starts))
print("metrics epoch=1 recall=0.25", flush=True)
print("metrics epoch=2 recall=0.5", flush=True)
print("100% recall=0.3", flush=True)
if knobs["do"] == "fail":
    (base / "output/failure").write_text("the loss is nan")
    sys.exit(1)
while knobs["do"] == "wait" and starts == 1:
    time.sleep(0.05)
files = sorted(str(path.relative_to(base / "input/data")) for path in (base / "input/data").rglob("*.txt"))
(base / "model/weights").write_text(f"{{starts}} {{files}}")
manifest.write(base / "model")
"""


@pytest.fixture(scope="module")
def s3(s3_server):
    """A bucket on a loopback server, named by the standard environment variables."""
    patch = pytest.MonkeyPatch()
    settings = {"AWS_ENDPOINT_URL_S3": s3_server, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for name, value in {**settings, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        patch.setenv(name, value)
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="training")
    yield client
    patch.undo()


@pytest.fixture
def serve(s3, tmp_path, monkeypatch):
    """Start the fake service for a program; it ends with the test."""
    started = []
    monkeypatch.setattr(sagemaker, "POLL", 0.05)

    def serve(*program):
        (tmp_path / "jobs").mkdir()
        started.append(FakeSageMaker(tmp_path / "jobs", list(program)))
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", started[0].url)
        return started[0]

    yield serve
    for fake in started:
        fake.close()


@pytest.fixture
def toy(serve, tmp_path):
    """The fake service for a program of a few lines."""
    return serve(sys.executable, "-c", TOY.format(root=str(ROOT)))


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def folder(path, text="x"):
    """A folder of one text with its manifest."""
    path.mkdir(parents=True)
    (path / "a.txt").write_text(text)
    manifest.write(path)
    return path


@pytest.fixture
def job(tmp_path, request):
    """A toy job on inputs no other test has; ``do`` says what the program does."""

    def job(do="train"):
        if not (tmp_path / "data").exists():
            for name in ("data", "shards/1", "shards/2"):
                folder(tmp_path / name, f"{name} of {request.node.name}")
        inputs = {"data": tmp_path / "data", "shards": [tmp_path / "shards/1", tmp_path / "shards/2"]}
        return Job("toy", inputs, {"do": do}, ["epoch", "recall"])

    return job


def until(condition, seconds=60):
    """Wait for *condition* to hold."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_job_gives_a_verified_model(toy, job, out, caplog):
    """Its channels hold the inputs, several folders as sub-folders; every status and the last metrics are logged."""
    with caplog.at_level(logging.INFO):
        name = sagemaker.run(job(), DEPLOYMENT, out)
    manifest.verify(out)
    shards = sorted(f"shards/{manifest.digest(path)}/a.txt" for path in job().inputs["shards"])
    assert (out / "weights").read_text() == f"1 {['data/a.txt', *shards]}"
    for status in ("Starting", "Downloading", "Training", "Uploading", "Completed", "epoch=2 recall=0.5"):
        assert f"{name}: {status}" in caplog.text


def test_asking_again_trains_nothing(toy, job, tmp_path):
    """Another knob, or another input, is another job."""
    names = []
    for number in range(2):
        (tmp_path / f"out{number}").mkdir()
        names.append(sagemaker.run(job(), DEPLOYMENT, tmp_path / f"out{number}"))
    assert len(set(names)) == len(toy.jobs) == 1
    known = job().digest(DEPLOYMENT)
    assert job("wait").digest(DEPLOYMENT) != known
    (tmp_path / "shards/2/a.txt").write_text("changed")
    manifest.write(tmp_path / "shards/2")
    assert job().digest(DEPLOYMENT) != known


def test_a_job_may_take_as_long_as_who_waits_for_it(toy, job, out):
    """Not SageMaker's own day; waiting for a spot instance is part of it, and it makes no other job."""
    name = sagemaker.run(replace(job(), limit=timedelta(days=3)), DEPLOYMENT, out)
    assert set(toy.jobs[name].request["StoppingCondition"].values()) == {3 * 24 * 3600}
    assert job().digest(DEPLOYMENT) in name


def test_a_model_that_is_gone_is_trained_again(toy, job, tmp_path, s3):
    """As after a bucket's expiry rule."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    name = sagemaker.run(job(), DEPLOYMENT, tmp_path / "first")
    bucket, _, key = toy.jobs[name].state["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    s3.delete_object(Bucket=bucket, Key=key)
    assert sagemaker.run(job(), DEPLOYMENT, tmp_path / "second") == f"{name}-2"


def test_why_a_job_failed_comes_back(toy, job, out):
    """What the program wrote to output/failure; asking again makes a new attempt."""
    with pytest.raises(TrainingError, match=r"ended as Failed: AlgorithmError: the loss is nan, exit code: 1"):
        sagemaker.run(job("fail"), DEPLOYMENT, out)
    with pytest.raises(TrainingError, match=r"toy-[0-9a-f]{16}-2 ended"):
        sagemaker.run(job("fail"), DEPLOYMENT, out)


def training(fake):
    """Whether the first job's program runs and has got as far as waiting."""
    return any(job.log.exists() and "epoch=2" in job.log.read_text() for job in fake.jobs.values())


def in_thread(job, out):
    """A run in a thread of its own, with the names it gave."""
    names = []
    thread = threading.Thread(target=lambda: names.append(sagemaker.run(job, DEPLOYMENT, out)))
    thread.start()
    return thread, names


def test_a_running_job_is_joined_and_survives_its_spot_instance(toy, job, tmp_path):
    """Two who ask share one job; after an interruption it goes on from its checkpoints."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, names = in_thread(job("wait"), tmp_path / "first")
    until(lambda: training(toy))
    second, more = in_thread(job("wait"), tmp_path / "second")
    next(iter(toy.jobs.values())).interrupt()
    first.join()
    second.join()
    assert len(toy.jobs) == 1
    assert names == more
    assert (tmp_path / "first/weights").read_text().startswith("2 ")
    assert "Interrupted" in [step["Status"] for step in toy.jobs[names[0]].state["SecondaryStatusTransitions"]]


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")  # the request that Ctrl-C strikes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_aborted_run_stops_its_job(toy, job, out, number):
    """Ctrl-C, and SIGTERM as Flyte sends it; the next run is a new attempt that finds the checkpoints of the first."""

    def abort():
        until(lambda: training(toy))
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=abort)
    thread.start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises((KeyboardInterrupt, SystemExit)):  # the latter by flytekit's own handler, once it is imported
        sagemaker.run(job("wait"), DEPLOYMENT, out)
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    stopped = next(iter(toy.jobs.values()))
    assert "Stopping" in [step["Status"] for step in stopped.state["SecondaryStatusTransitions"]]
    assert sagemaker.run(job("wait"), DEPLOYMENT, out).endswith("-2")
    assert (out / "weights").read_text().startswith("2 ")


def test_what_the_service_refuses_is_said(toy, job, out):
    """A request it does not take becomes a TrainingError with the service's words."""
    wrong = Job("no_underscores", job().inputs, {}, [])
    with pytest.raises(TrainingError, match=r"does not start no_underscores-.*does not match its pattern"):
        sagemaker.run(wrong, DEPLOYMENT, out)


def archive(path, names):
    """A model.tar.gz with these files and their contents."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/../../escaped"])
def test_an_archive_cannot_leave_its_folder(tmp_path, out, name):
    """Nothing is written outside, whatever its members are called."""
    with pytest.raises(IntegrityError):
        sagemaker.unpack(archive(tmp_path / "model.tar.gz", {name: "x"}), out)
    assert not list(tmp_path.glob("escaped")) and not Path("/escaped").exists()


def test_a_damaged_archive_is_refused(tmp_path, out):
    """Cut short, altered inside, or without a manifest."""
    model = folder(tmp_path / "model")
    files = {path.name: path.read_text() for path in model.iterdir()}
    whole = archive(tmp_path / "model.tar.gz", files)
    sagemaker.unpack(whole, out)
    whole.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(IntegrityError, match="delete it from S3"):
        sagemaker.unpack(whole, out)
    for wrong in ({**files, "a.txt": "y"}, {"b.txt": "x"}):
        (tmp_path / f"into{len(wrong)}").mkdir()
        with pytest.raises(IntegrityError):
            sagemaker.unpack(archive(whole, wrong), tmp_path / f"into{len(wrong)}")


@given(
    st.builds(
        TrainConfig,
        epochs=st.integers(1, 10**6),
        learning_rate=st.floats(1e-300, 1),
        precision=st.sampled_from(Precision),
        pairs=st.sampled_from(Pairs),
        augment_image=st.sampled_from(["", "flip"]),
    )
)
def test_knobs_survive_being_strings(config):
    """SageMaker makes every hyperparameter a string; floats come back to the last bit."""
    texts = sagemaker.hyperparameters(config)
    assert all(isinstance(text, str) for text in texts.values())
    assert sagemaker.knobs(TrainConfig, json.loads(json.dumps(texts))) == config


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("learing_rate", "1", r"unknown hyperparameter 'learing_rate'.* did you mean 'learning_rate'\?"),
        ("epochs", "2.5", "--epochs = '2.5': expected a whole number"),
        ("learning_rate", "fast", "--learning_rate = 'fast': expected a number"),
        ("precision", "fp8", "--precision = 'fp8': expected one of fp32, bf16"),
        ("epochs", "0", "--epochs = 0: must be at least 1"),
    ],
)
def test_a_hyperparameter_that_is_none_is_refused(name, text, message):
    """With its name, its value and what was expected."""
    with pytest.raises(ValueError, match=message):
        sagemaker.knobs(TrainConfig, {name: text})


def test_a_deployment_lacks_nothing(monkeypatch):
    """One error names every variable that is missing; an image whose tag moves is refused."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"TRAINWORKS_SAGEMAKER_{name}", value)
    assert Deployment.from_environment() == DEPLOYMENT
    for image in ("photostock-gpu", "registry.example:5000/photostock-gpu", "photostock-gpu:latest"):
        monkeypatch.setenv("TRAINWORKS_SAGEMAKER_IMAGE", image)
        with pytest.raises(ValueError, match="a tag or digest that never moves"):
            Deployment.from_environment()
    monkeypatch.delenv("TRAINWORKS_SAGEMAKER_ROLE")
    monkeypatch.setenv("TRAINWORKS_SAGEMAKER_BUCKET", "")
    with pytest.raises(ValueError, match="TRAINWORKS_SAGEMAKER_ROLE, TRAINWORKS_SAGEMAKER_BUCKET;"):
        Deployment.from_environment()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning's and timm's own
def test_sagemaker_trains_what_the_workflow_would(untouched, serve, shards, dataset, tmp_path, monkeypatch):
    """The real program on the drawn catalogue: the same folder, bit for bit, as training here; its metrics are read."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"TRAINWORKS_SAGEMAKER_{name}", value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    fake = serve(str(ROOT / "images" / "train"))
    config = TrainConfig(image="squash(32)", tune="logit_scale=1, *.head=1, *=0", epochs=2, batch_size=16, learning_rate=0.01)
    monkeypatch.setattr(store, "root", lambda: tmp_path)
    here, there = (tmp_path / name for name in ("here", "there"))
    for path in (here, there):
        path.mkdir()

    PROGRAM.submit({"start": untouched, "dataset": dataset, "shards": shards}, config, there, timedelta(hours=1))

    from trainworks.photostock.training.train import finetune

    finetune(untouched, dataset, shards, config, tmp_path / "logs", here, tmp_path / "resume")
    manifest.write(here)
    assert manifest.digest(there) == manifest.digest(here)
    [run] = fake.jobs.values()
    reached = {metric["MetricName"]: metric["Value"] for metric in run.state["FinalMetricDataList"]}
    assert set(reached) == set(PROGRAM.metrics)
    last = json.loads((there / "history.json").read_text())[-1]
    assert reached["epoch"] == last["epoch"] == 2
    assert reached["val_R@10"] == pytest.approx(last["val_R@10"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of LightGBM's and onnx' converters
def test_the_model_of_sales_is_learned_by_the_same_program(serve, monkeypatch, tmp_path):
    """Supermegaretail's fit, by the image's `train`: the very files that a pod would make, and the job names what it learned from."""
    from tests.supermegaretail.models.priced_panel import draw_priced
    from trainworks.supermegaretail.backtest import job
    from trainworks.supermegaretail.backtest.shipped import ship
    from trainworks.supermegaretail.models.knobs import Head, Inputs, Targets

    for name, value in SETTINGS.items():
        monkeypatch.setenv(sagemaker.VARIABLE + name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    fake = serve(sys.executable, str(ROOT / "images" / "train"))
    panel, here, there = (tmp_path / name for name in ("panel", "here", "there"))
    for path in (panel, here, there):
        path.mkdir()
    draw_priced().save(panel)
    manifest.write(panel)
    texts = {"features": "lag(1, 2) + mean(4)", "covariates": "promotion@plan + price@plan", "monotone": ""}
    models = "lift_smoothing + boosting + average(lift_smoothing, boosting)"
    config = job.FitConfig(models=models, **texts, history=10_000, horizon=4, head=Head.CHOOSE, targets=Targets.TRUE, seed=1)
    job.PROGRAM.submit({"panel": panel}, config, there, timedelta(hours=1))
    ship(panel, models, Inputs(**texts, horizon=4, seed=1), "choose", here)
    assert manifest.read(there)["files"] == manifest.read(manifest.write(here) and here)["files"]
    (name,) = fake.jobs
    assert name.startswith("supermegaretail-fit-") and store.notes(there)["machine"] == "gpu"


@pytest.fixture
def throttled(toy, monkeypatch):
    """Refusals as the service sends them when it is asked too often, and clients that do not wait long themselves."""
    monkeypatch.setattr(aws, "ATTEMPTS", 2)
    aws._client.cache_clear()
    yield lambda count: toy.refusals.extend([ServiceError("ThrottlingException", "Rate exceeded")] * count)
    aws._client.cache_clear()


@pytest.mark.parametrize("when", ["first", "while it runs"])
def test_a_service_that_throttles_for_minutes_is_asked_again(toy, throttled, job, out, when, caplog):
    """Whatever is asked of it: the job runs on meanwhile, and costs."""
    if when == "first":
        throttled(6)
        sagemaker.run(job(), DEPLOYMENT, out)
    else:
        waiting, names = in_thread(job("wait"), out)
        until(lambda: training(toy))
        throttled(6)
        until(lambda: not toy.refusals)
        next(iter(toy.jobs.values())).interrupt()
        waiting.join()
        assert names
    assert len(toy.jobs) == 1 and "Rate exceeded" in caplog.text and "asking again" in caplog.text


def test_a_service_that_is_silent_for_longer_leaves_the_job_to_a_retry(toy, throttled, job, out, monkeypatch):
    """The error is one that Flyte tries again, and the retry joins the job."""
    monkeypatch.setattr(sagemaker, "PATIENCE", 0)
    throttled(4)
    with pytest.raises(StorageUnreachable, match=r"no answer of SageMaker.*the same run again joins it"):
        sagemaker.run(job(), DEPLOYMENT, out)
    toy.refusals.clear()
    assert sagemaker.run(job(), DEPLOYMENT, out) in toy.jobs and len(toy.jobs) == 1


def test_a_start_whose_answer_was_lost_is_one_start(toy, job, out):
    """The client asks again, and finds its own job."""
    toy.loses = "CreateTrainingJob"
    assert sagemaker.run(job(), DEPLOYMENT, out) in toy.jobs and len(toy.jobs) == 1


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("AccessDeniedException", "the policy must allow sagemaker:CreateTrainingJob"),
        ("ExpiredTokenException", "set AWS_ACCESS_KEY_ID"),
        ("ResourceLimitExceeded", "a quota of the account is reached"),
    ],
)
def test_what_a_person_must_mend_is_said(toy, job, out, code, advice):
    """At once, as of S3."""
    toy.refusals += [ServiceError(code, "no")]
    with pytest.raises(StorageError, match=advice):
        sagemaker.run(job(), DEPLOYMENT, out)
