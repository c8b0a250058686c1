"""Training as a SageMaker job: started or joined, watched, stopped on abort, its model fetched and verified.

A job's name is made of everything its model depends on, so asking twice trains once: a job that runs is joined, a
finished one is used again, one that failed or was stopped gets a new attempt that goes on from its checkpoints.
"""

import gzip
import hashlib
import json
import logging
import os
import re
import signal
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from trainworks import facts
from trainworks.config import Section
from trainworks.errors import IntegrityError, StorageError, StorageUnreachable, TrainingError
from trainworks.grammar import nearest
from trainworks.progress import Bar
from trainworks.storage import aws, manifest, s3

log = logging.getLogger(__name__)

POLL, PATIENCE = 30.0, 1200.0
"""Seconds between two questions after a job, and how long one may stay without an answer; jobs take hours."""

BOMB = 20
"""Times the size of an archive that what it unpacks to may have."""

VARIABLE = "TRAINWORKS_SAGEMAKER_"

S = TypeVar("S", bound=Section)
T = TypeVar("T")


@dataclass(frozen=True)
class Deployment:
    """Where jobs run: facts of a deployment, not knobs.

    ``role`` is the ARN of the execution role, ``image`` the training image under a tag or digest that never moves,
    ``instance`` a type such as ml.g5.xlarge, ``bucket`` a bucket's name, with a prefix if need be (``bucket/prefix``).
    """

    role: str
    image: str
    instance: str
    bucket: str

    def __post_init__(self) -> None:
        tag = self.image.rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            raise ValueError(
                f"{VARIABLE}IMAGE = {self.image!r}: expected a tag or digest that never moves, because it names the job; "
                "else an old model would be taken for a new one"
            )

    @classmethod
    def from_environment(cls) -> "Deployment":
        """The deployment that ``$TRAINWORKS_SAGEMAKER_ROLE``, ``_IMAGE``, ``_INSTANCE`` and ``_BUCKET`` state.

        Raises:
            ValueError: some are not set; the message names them all.
        """
        names = [f.name for f in fields(cls)]
        if missing := [VARIABLE + name.upper() for name in names if not os.environ.get(VARIABLE + name.upper())]:
            raise ValueError(f"training on SageMaker needs the environment variables {', '.join(missing)}; set them where the task runs")
        return cls(**{name: os.environ[VARIABLE + name.upper()] for name in names})


@dataclass(frozen=True)
class Job:
    """What a training job is asked to do.

    ``inputs`` maps a channel to a folder with a manifest, or to several, which become sub-folders named by their
    digests. Values of ``hyperparameters`` are strings. Each of ``metrics`` is read from lines
    such as ``metrics epoch=2 val_loss=0.5``; the first word keeps out what progress bars say. ``limit`` is for all of it,
    waiting for spot instances included; SageMaker allows 28 days, and an account 5 until it asks for more.
    """

    name: str
    inputs: Mapping[str, Path | Sequence[Path]]
    hyperparameters: Mapping[str, str]
    metrics: Sequence[str] = ()
    limit: timedelta = timedelta(days=1)
    environment: Mapping[str, str] = field(default_factory=dict)

    def digest(self, deployment: Deployment) -> str:
        """Sixteen hexadecimal digits of everything the model depends on."""
        inputs = {channel: [manifest.digest(folder) for folder in _folders(content)] for channel, content in self.inputs.items()}
        known = [self.name, inputs, dict(self.hyperparameters), dict(self.environment), deployment.image, deployment.instance]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def hyperparameters(section: Section) -> dict[str, str]:
    """Every knob as SageMaker wants it: a string."""
    return {name: str(value) for name, value in facts.knobs(section).items()}


def knobs(section: type[S], texts: Mapping[str, str]) -> S:
    """The inverse of :func:`hyperparameters`; a knob that *texts* does not name has its default.

    Raises:
        ValueError: no such knob, or a text that is no value of its type.
    """
    types = get_type_hints(section)
    allowed = [f.name for f in fields(section)]  # type: ignore[arg-type]
    values = {}
    for name, text in texts.items():
        if name not in allowed:
            raise ValueError(f"unknown hyperparameter {name!r}, expected one of {', '.join(allowed)}{nearest(name, allowed)}")
        try:
            values[name] = types[name](text)
        except ValueError as error:
            raise ValueError(f"--{name} = {text!r}: expected {_expected(types[name])}") from error
    return section(**values)


def run(job: Job, deployment: Deployment, out: Path) -> str:
    """Have *job* done and put its model, verified, into the empty folder *out*; returns the job's name.

    Runs on spot instances, with checkpoints. Ctrl-C and SIGTERM, by which Flyte aborts a task, stop the job.

    Raises:
        TrainingError: the job cannot be started, or ended without a model; has SageMaker's reason.
        StorageUnreachable: SageMaker gave no answer for PATIENCE; the job goes on, and the same run again joins it.
        IntegrityError: the model is not the one its manifest names.
    """
    client = _client()
    digest = job.digest(deployment)
    attempt = 0
    while True:
        attempt += 1
        name = f"{job.name}-{digest}" + (f"-{attempt}" if attempt > 1 else "")
        known = _describe(client, name)
        before = known["TrainingJobStatus"] if known else None
        if before == "Stopping":
            _follow(client, name)  # its last checkpoint may still be on the way
        if before in ("Failed", "Stopped", "Stopping"):
            continue
        with _stopped_on_abort(client, name):
            if before is None:
                _create(client, _request(job, deployment, name, digest))
            ended = _follow(client, name)
        try:
            _fetch(ended, out)
            return name
        except FileNotFoundError as error:
            if before != "Completed":
                raise TrainingError(f"SageMaker job {name} has left no model: {error}") from error
            log.warning("%s: its model is gone from S3, training again", name)


def unpack(archive: Path, folder: Path) -> None:
    """Extract a model.tar.gz into *folder* and verify it by the manifest in it.

    Raises:
        IntegrityError: the archive is damaged, has a link, a device or a name that leaves the folder, unpacks to more than a
            model can, or a file is not the one its manifest names.
    """
    try:
        with _Bounded(archive) as content, tarfile.open(fileobj=content, mode="r|") as tar:
            tar.extractall(folder, filter=_plain)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise IntegrityError(f"{archive.name}: {error}; delete it from S3, and the next run trains again") from error
    manifest.verify(folder)


class _Bounded(gzip.GzipFile):
    """What is in a compressed *archive*, as far as a model goes: weights hardly compress."""

    def __init__(self, archive: Path):
        super().__init__(archive)
        self.left = BOMB * archive.stat().st_size + 2**24

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.left -= len(content)
        if self.left < 0:
            raise tarfile.ReadError(f"unpacks to more than {BOMB} times its size")
        return content


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Files and folders inside *folder*, and nothing else: no link or device has a place in a model."""
    if not (member.isreg() or member.isdir()) or member.name.startswith("/"):
        raise tarfile.ReadError(f"has {member.name!r}, which is no file or folder inside the model")
    return tarfile.data_filter(member, folder)


def _expected(kind: Any) -> str:
    if issubclass(kind, Enum):
        return f"one of {', '.join(member.value for member in kind)}"
    return {int: "a whole number", float: "a number"}[kind]


def _client() -> Any:
    with aws.explained("SageMaker", aws.SAGEMAKER):
        return aws.client(aws.SAGEMAKER)


def _asked(name: str, ask: Callable[[], T]) -> T:
    """What *ask* gives about the job *name*; a service that does not answer, or is asked too often, is asked again for a while.

    Raises:
        StorageUnreachable: nothing for PATIENCE; the job goes on.
        StorageError: the service refuses.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with aws.explained(name, aws.SAGEMAKER):
                return ask()
        except StorageUnreachable as error:
            if time.monotonic() > until:
                raise StorageUnreachable(f"{error}; if it was started, the job goes on, and the same run again joins it") from error
            log.warning("%s; asking again in %.0f s", error, POLL)
            time.sleep(POLL)


def _folders(content: Path | Sequence[Path]) -> list[Path]:
    return [content] if isinstance(content, Path) else sorted(content, key=manifest.digest)


def _describe(client: Any, name: str) -> dict[str, Any] | None:
    def describe() -> dict[str, Any] | None:
        try:
            return client.describe_training_job(TrainingJobName=name)
        except client.exceptions.ClientError as error:
            # The service answers an unknown name with a ValidationException, whatever its model says.
            if error.response["Error"]["Code"] == "ResourceNotFound" or "not found" in error.response["Error"]["Message"]:
                return None
            raise

    return _asked(name, describe)


def _upload(job: Job, bucket: str, digest: str) -> list[dict[str, Any]]:
    """The job's input channels, their folders uploaded under their digests, each content once.

    Several folders are one channel by a manifest file, which lists objects below one prefix.
    """
    inputs = f"{s3.SCHEME}{bucket}/inputs/"
    channels = []
    for channel, content in job.inputs.items():
        listed: list[Any] = [{"prefix": inputs}]
        for folder in Bar(_folders(content), f"upload {channel}"):
            # The manifest goes last: where it is, the folder is whole.
            files = [f"{manifest.digest(folder)}/{file}" for file in [*sorted(manifest.read(folder)["files"]), manifest.NAME]]
            if s3.stat(inputs + files[-1]) is None:
                for file in files:
                    s3.upload(folder / file.partition("/")[2], inputs + file)
            listed += files
        if isinstance(content, Path):
            source = {"S3DataType": "S3Prefix", "S3Uri": f"{inputs}{manifest.digest(content)}/"}
        else:
            source = {"S3DataType": "ManifestFile", "S3Uri": f"{s3.SCHEME}{bucket}/jobs/{digest}/{channel}.manifest"}
            s3.put(source["S3Uri"], json.dumps(listed).encode())
        channels.append({"ChannelName": channel, "DataSource": {"S3DataSource": {**source, "S3DataDistributionType": "FullyReplicated"}}})
    return channels


def _request(job: Job, deployment: Deployment, name: str, digest: str) -> dict[str, Any]:
    """The body of CreateTrainingJob; its inputs are uploaded."""
    root = f"{s3.SCHEME}{deployment.bucket}/jobs/{digest}"
    size = sum(
        file["size"] for content in job.inputs.values() for folder in _folders(content) for file in manifest.read(folder)["files"].values()
    )
    return {
        "TrainingJobName": name,
        "RoleArn": deployment.role,
        "AlgorithmSpecification": {
            "TrainingImage": deployment.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": metric, "Regex": rf"metrics .*\b{re.escape(metric)}=([-+.0-9eE]+)"} for metric in job.metrics],
        },
        "HyperParameters": dict(job.hyperparameters),
        "Environment": dict(job.environment),
        "InputDataConfig": _upload(job, deployment.bucket, digest),
        "OutputDataConfig": {"S3OutputPath": f"{root}/output"},
        "TensorBoardOutputConfig": {"S3OutputPath": f"{root}/tensorboard"},
        "CheckpointConfig": {"S3Uri": f"{root}/checkpoints"},
        # Beside the inputs lies what is decoded from them, and the checkpoints.
        "ResourceConfig": {"InstanceType": deployment.instance, "InstanceCount": 1, "VolumeSizeInGB": 50 + int(20e-9 * size)},
        "EnableManagedSpotTraining": True,
        "StoppingCondition": dict.fromkeys(("MaxRuntimeInSeconds", "MaxWaitTimeInSeconds"), int(job.limit.total_seconds())),
    }


def _create(client: Any, request: dict[str, Any]) -> None:
    """Start a job, unless somebody else just has; or this run, by a request whose answer was lost."""
    name = request["TrainingJobName"]

    def create() -> str:
        try:
            client.create_training_job(**request)
            return f"started on {request['ResourceConfig']['InstanceType']}"
        except client.exceptions.ResourceInUse:
            return "joined"

    try:
        log.info("%s: %s", name, _asked(name, create))
    except StorageUnreachable:
        raise
    except StorageError as error:
        raise TrainingError(f"SageMaker does not start {error}") from error


def _follow(client: Any, name: str) -> dict[str, Any]:
    """The description of a job once it has ended; what happens to it meanwhile is logged."""
    logged = 0
    while True:
        job = _asked(name, partial(client.describe_training_job, TrainingJobName=name))
        steps = job.get("SecondaryStatusTransitions", [])
        for step in steps[logged:]:
            log.info("%s: %s %s", name, step["Status"], step.get("StatusMessage", ""))
        logged = len(steps)
        if job["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            reached = job.get("FinalMetricDataList", [])
            log.info("%s: %s", name, " ".join(f"{metric['MetricName']}={metric['Value']:.4g}" for metric in reached))
            return job
        time.sleep(POLL)


@contextmanager
def _stopped_on_abort(client: Any, name: str) -> Iterator[None]:
    """Stop the job if this process is told to end, whoever started it: nobody would be left to look at it."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # flytekit makes the latter of Ctrl-C
        log.warning("%s: stopping it", name)
        try:
            with aws.explained(name, aws.SAGEMAKER):
                client.stop_training_job(TrainingJobName=name)
        except StorageError as error:
            log.warning("%s; stop it by hand if it runs", error)
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _fetch(job: Mapping[str, Any], out: Path) -> None:
    name, status = job["TrainingJobName"], job["TrainingJobStatus"]
    if status != "Completed":
        raise TrainingError(
            f"SageMaker job {name} ended as {job['SecondaryStatus']}: {job.get('FailureReason', 'no reason given')}\n"
            f"its log is in CloudWatch, group /aws/sagemaker/TrainingJobs, stream {name}"
        )
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        archive = Path(scratch) / "model.tar.gz"
        s3.download(job["ModelArtifacts"]["S3ModelArtifacts"], archive)
        unpack(archive, out)
