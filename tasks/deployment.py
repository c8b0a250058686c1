"""What the tasks ask of a cluster: processors, memory, a GPU and its pod, whom to notify. Facts of a deployment, no knobs.

What differs between clusters comes from the environment of ``pyflyte register``:

=========================== ==========================================================================================
``TRAINWORKS_ARTIFACTS``    ``s3://bucket/prefix``, where stages leave what they hand on, and their checkpoints
``TRAINWORKS_SIZE``         ``laptop``, ``standard`` (the default) or ``large``: what stages request
``TRAINWORKS_DATA``         ``s3://bucket/prefix``, which holds what experiments name as a folder below ``data``
``TRAINWORKS_ACCELERATOR``  the kind of GPU, such as ``L4``; any if not set
``TRAINWORKS_GPUS``         how many of them fine-tuning gets
``TRAINWORKS_SPARK``        how many executors a Spark task gets, where the cluster has Flyte's Spark plugin; one pod does it all if not set
``TRAINWORKS_NOTIFY``       e-mail addresses with commas between them that hear of a scheduled run that fails; nobody if not set
=========================== ==========================================================================================
"""

import os
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from flytekit import Email, PodTemplate, Resources, WorkflowExecutionPhase
from flytekit.extras import accelerators
from flytekit.extras.accelerators import GPUAccelerator

from trainworks.storage import places, s3, store

CPU = "{{.image.cpu.fqn}}:{{.image.cpu.version}}"
GPU = "{{.image.gpu.fqn}}:{{.image.gpu.version}}"
SPARK = "{{.image.spark.fqn}}:{{.image.spark.version}}"

SIZES = {
    "laptop": {"small": ("250m", "1Gi"), "medium": ("1", "2Gi"), "large": ("1", "3Gi"), "gpu": ("1", "3Gi")},
    "standard": {"small": ("1", "1Gi"), "medium": ("2", "4Gi"), "large": ("4", "16Gi"), "gpu": ("8", "32Gi")},
    "large": {"small": ("1", "2Gi"), "medium": ("4", "16Gi"), "large": ("8", "64Gi"), "gpu": ("8", "64Gi")},
}
"""Size of a deployment → kind of stage → processors and memory; those of ``gpu`` are for each GPU.

``laptop`` fits the sample into a sandbox of 2 processors and 4 GiB, ``large`` is for some million rows (docs/scale.md)."""

WORK = "/srv/trainworks"
"""Working directory and home of the images' user, empty but for what a run leaves there."""

DATA = "data"
"""The folder of this repository below which experiments look for data."""

USER = 1000
"""The user of the images."""


def requested(kind: str) -> Resources:
    """What a stage of this *kind* (``small``, ``medium``, ``large``) asks for.

    Raises:
        ValueError: ``TRAINWORKS_SIZE`` is no size.
    """
    cpu, memory = _size()[kind]
    return Resources(cpu=cpu, mem=memory)


def accelerated() -> Resources:
    """What fine-tuning on GPUs asks for: the rank of each GPU loads and augments its own examples."""
    cpu, memory = _size()["gpu"]
    return Resources(cpu=str(int(cpu) * gpus()), mem=f"{int(memory.removesuffix('Gi')) * gpus()}Gi", gpu=str(gpus()))


def _size() -> dict[str, tuple[str, str]]:
    size = os.environ.get("TRAINWORKS_SIZE") or "standard"
    if size not in SIZES:
        raise ValueError(f"TRAINWORKS_SIZE = {size!r}: expected one of {', '.join(SIZES)}")
    return SIZES[size]


SMALL, MEDIUM, LARGE = (requested(kind) for kind in ("small", "medium", "large"))


def accelerator() -> GPUAccelerator | None:
    """The kind of GPU to train on, by its name in ``flytekit.extras.accelerators``; none where any will do.

    Raises:
        ValueError: no such kind.
    """
    kinds = {name: kind for name, kind in vars(accelerators).items() if isinstance(kind, GPUAccelerator)}
    name = os.environ.get("TRAINWORKS_ACCELERATOR")
    if name and name not in kinds:
        raise ValueError(f"TRAINWORKS_ACCELERATOR = {name!r}: expected one of {', '.join(sorted(kinds))}, or nothing for any GPU")
    return kinds[name] if name else None


def gpus() -> int:
    """How many GPUs the task that fine-tunes has.

    Raises:
        ValueError: not a number from 1 on.
    """
    number = os.environ.get("TRAINWORKS_GPUS", "1")
    if not number.isdecimal() or int(number) < 1:
        raise ValueError(f"TRAINWORKS_GPUS = {number!r}: expected how many GPUs of one node fine-tuning gets, such as 4")
    return int(number)


def spark(kind: str) -> dict[str, Any]:
    """What makes a Flyte Spark task of a stage of this *kind*, as arguments of ``step``; nothing without ``TRAINWORKS_SPARK``.

    Raises:
        ValueError: not a number from 1 on.
    """
    number = os.environ.get("TRAINWORKS_SPARK")
    if not number:
        return {}
    if not number.isdecimal() or int(number) < 1:
        raise ValueError(f"TRAINWORKS_SPARK = {number!r}: expected how many executors a Spark task gets, such as 4")
    from flytekitplugins.spark import Spark  # seconds, and pyspark: only for who asked for it

    cpu, memory = _size()[kind]
    each = {"cores": cpu, "memory": memory.replace("i", "").lower()}
    asked = {f"spark.{role}.{what}": value for role in ("driver", "executor") for what, value in each.items()}
    config = Spark(
        spark_conf=asked | {"spark.executor.instances": number},
        executor_path="/usr/local/bin/python3",
        applications_path="local:///usr/local/bin/entrypoint.py",
        driver_pod=StagePod(read_only=False),
        executor_pod=StagePod(read_only=False),
    )
    return {"task_config": config, "image": SPARK, "environment": registered_with()}


def registered_with() -> dict[str, str]:
    """The facts of this deployment that a task needs in its pod too, as its environment."""
    names = ("TRAINWORKS_ACCELERATOR", "TRAINWORKS_GPUS", "TRAINWORKS_SIZE", "TRAINWORKS_SPARK")
    facts = {name: os.environ[name] for name in names if name in os.environ}
    return facts | ({"TRAINWORKS_ARTIFACTS": root} if (root := store.remote()) else {})


def artifact_root() -> str:
    """Where the stages of a cluster leave what they hand on.

    Raises:
        ValueError: nowhere, or on this machine.
    """
    if root := store.remote():
        return root
    raise ValueError(
        f"TRAINWORKS_ARTIFACTS = {os.environ.get('TRAINWORKS_ARTIFACTS', '')!r}: expected {s3.SCHEME}bucket/prefix, "
        "which every pod of the cluster can write to"
    )


def recipients() -> list[str]:
    """E-mail addresses that hear of a scheduled run that fails; none unless they were stated."""
    return [address.strip() for address in os.environ.get("TRAINWORKS_NOTIFY", "").split(",") if address.strip()]


def notifications() -> list[Email]:
    """What tells `recipients` of a scheduled run that ends badly."""
    ends = [WorkflowExecutionPhase.FAILED, WorkflowExecutionPhase.TIMED_OUT, WorkflowExecutionPhase.ABORTED]
    return [Email(ends, recipients())] if recipients() else []


def data(folder: str) -> str:
    """Where a cluster finds the local *folder* of an experiment: ``data/x`` is ``x`` below ``TRAINWORKS_DATA``.

    Raises:
        LookupError: it finds it nowhere.
        ValueError: ``TRAINWORKS_DATA`` is no place on S3.
    """
    place = places.of_environment("TRAINWORKS_DATA")
    if place and not s3.is_uri(place):
        raise ValueError(f"TRAINWORKS_DATA = {place!r}: expected {s3.SCHEME}bucket/prefix")
    parts = PurePosixPath(folder).parts
    if not place or parts[0] != DATA:
        raise LookupError(folder)
    return "/".join([place, *parts[1:]])


def use_credentials_of_flyte() -> None:
    """Let AWS's own libraries use the store that Flyte gives its pods, as on a sandbox, where the pod has nothing of AWS's own."""
    if any(name in os.environ for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ENDPOINT_URL")):
        return
    names = {"ENDPOINT": "ENDPOINT_URL", "ACCESS_KEY_ID": "ACCESS_KEY_ID", "SECRET_ACCESS_KEY": "SECRET_ACCESS_KEY"}
    for flyte, aws in names.items():
        if value := os.environ.get(f"FLYTE_AWS_{flyte}"):
            os.environ[f"AWS_{aws}"] = value


class StagePod(PodTemplate):
    """The pod of a stage, as a namespace with the Pod Security Standard *restricted* admits it.

    If *read_only*, the stage can write to `WORK` and ``/tmp`` alone, which are the pod's and end with it.
    A ``PodTemplate`` and not the ``Pod`` of flytekitplugins-pod: it is what that plugin's own warning asks for.
    """

    def __init__(self, read_only: bool = True) -> None:
        """Nothing is made before somebody serialises it: ``kubernetes`` takes half as long to import as all of flytekit."""
        self.read_only = read_only

    @cached_property
    def pod_spec(self):  # type: ignore[override]
        """The ``V1PodSpec``."""
        return self._pod_spec()

    def _pod_spec(self, mounts: tuple = (), sidecars: tuple = (), volumes: tuple = (), **more: Any) -> Any:
        from kubernetes import client as k8s

        container = k8s.V1Container(name="primary", security_context=_restricted(self.read_only), volume_mounts=[*_mounts(), *mounts])
        return k8s.V1PodSpec(
            containers=[container, *sidecars],
            volumes=[*(k8s.V1Volume(name=name, empty_dir=k8s.V1EmptyDirVolumeSource()) for name in ("work", "tmp")), *volumes],
            automount_service_account_token=False,  # no stage asks the cluster anything
            security_context=k8s.V1PodSecurityContext(
                run_as_non_root=True, run_as_user=USER, fs_group=USER, seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault")
            ),
            **more,
        )


class GpuPod(StagePod):
    """A pod with shared memory, leave to run on GPU nodes, and TensorBoard on port 6006 beside the task.

    ``kubectl port-forward POD 6006`` shows the curves while they grow.
    Spot nodes are the cluster's to choose: Flyte puts its own tolerations on interruptible tasks, but for the last attempt.
    """

    def __init__(self) -> None:
        """The task can write anywhere: NVIDIA's runtime writes to a root that it hands a GPU to, and may fail where it can not."""
        super().__init__(read_only=False)

    @cached_property
    def pod_spec(self):  # type: ignore[override]
        """The ``V1PodSpec``."""
        from kubernetes import client as k8s

        # Requests and limits, both, for both: Flyte completes what is missing with a limit of 0, which Kubernetes refuses.
        resources = {"cpu": "250m", "memory": "1Gi"}
        tensorboard = k8s.V1Container(
            name="tensorboard",
            image=GPU,  # is on the node already
            command=["tensorboard", "--bind_all", "--port", "6006", "--logdir", f"{WORK}/artifacts/tensorboard"],
            # The image says "all", which some container runtimes take for a request of every GPU.
            env=[k8s.V1EnvVar(name="NVIDIA_VISIBLE_DEVICES", value="void")],
            ports=[k8s.V1ContainerPort(container_port=6006)],
            resources=k8s.V1ResourceRequirements(requests=resources, limits=resources),
            security_context=_restricted(),
            volume_mounts=_mounts(read_only=True),
        )
        return self._pod_spec(
            mounts=(k8s.V1VolumeMount(name="shared-memory", mount_path="/dev/shm"),),
            sidecars=(tensorboard,),
            # Kubernetes gives a container 64 MiB; ranks that exchange gradients need more. Bounded by the container's memory alone.
            volumes=(k8s.V1Volume(name="shared-memory", empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory")),),
            tolerations=[k8s.V1Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")],
        )


def _mounts(read_only: bool | None = None) -> list[Any]:
    """The folders of a pod that its containers can write to; `WORK` only unless *read_only*."""
    from kubernetes import client as k8s

    return [k8s.V1VolumeMount(name="work", mount_path=WORK, read_only=read_only), k8s.V1VolumeMount(name="tmp", mount_path="/tmp")]


def _restricted(read_only: bool = True) -> Any:
    """The security context of a container that needs no privilege."""
    from kubernetes import client as k8s

    return k8s.V1SecurityContext(
        allow_privilege_escalation=False,
        capabilities=k8s.V1Capabilities(drop=["ALL"]),
        run_as_non_root=True,
        read_only_root_filesystem=read_only,
        seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
    )
