"""What the tasks ask of a cluster: processors, memory, a GPU and its pod, whom to tell. Facts of a deployment, no knobs.

What differs between clusters comes from the environment of ``pyflyte register``: ``TRAINWORKS_ACCELERATOR``, such as
``L4``, ``TRAINWORKS_GPUS``, how many of them fine-tuning gets, and ``TRAINWORKS_NOTIFY``, e-mail addresses with commas between them.
"""

import os

from flytekit import PodTemplate, Resources
from flytekit.extras import accelerators
from flytekit.extras.accelerators import GPUAccelerator
from kubernetes.client import (
    V1Container,
    V1ContainerPort,
    V1EmptyDirVolumeSource,
    V1EnvVar,
    V1PodSpec,
    V1ResourceRequirements,
    V1Toleration,
    V1Volume,
    V1VolumeMount,
)

CPU = "{{.image.cpu.fqn}}:{{.image.cpu.version}}"
GPU = "{{.image.gpu.fqn}}:{{.image.gpu.version}}"

SMALL = Resources(cpu="1", mem="1Gi")
MEDIUM = Resources(cpu="2", mem="4Gi")
LARGE = Resources(cpu="4", mem="16Gi")

ARTIFACTS = "/srv/trainworks/artifacts"
"""Where a task's logs are while it runs: the folder ``artifacts`` of both images' working directory."""


def accelerator() -> GPUAccelerator | None:
    """The kind of GPU to train on, by its name in ``flytekit.extras.accelerators``; none where any will do.

    Raises:
        ValueError: no such kind.
    """
    known = {name: kind for name, kind in vars(accelerators).items() if isinstance(kind, GPUAccelerator)}
    if (name := os.environ.get("TRAINWORKS_ACCELERATOR")) and name not in known:
        raise ValueError(f"TRAINWORKS_ACCELERATOR = {name!r}: expected one of {', '.join(sorted(known))}, or nothing for any GPU")
    return known[name] if name else None


def gpus() -> int:
    """How many GPUs the task that fine-tunes has.

    Raises:
        ValueError: not a number from 1 on.
    """
    said = os.environ.get("TRAINWORKS_GPUS", "1")
    if not said.isdecimal() or int(said) < 1:
        raise ValueError(f"TRAINWORKS_GPUS = {said!r}: expected how many GPUs of one node fine-tuning gets, such as 4")
    return int(said)


def accelerated() -> Resources:
    """What fine-tuning asks for: each GPU's rank loads and augments its own pictures."""
    return Resources(cpu=str(8 * gpus()), mem=f"{32 * gpus()}Gi", gpu=str(gpus()))


def told() -> dict[str, str]:
    """What the registration was told of GPUs, as the environment of a task that must know it in its pod."""
    return {name: os.environ[name] for name in ("TRAINWORKS_ACCELERATOR", "TRAINWORKS_GPUS") if name in os.environ}


def notified() -> list[str]:
    """Who hears of a scheduled run that fails."""
    return os.environ.get("TRAINWORKS_NOTIFY", "photostock@example.com").split(",")


def gpu_pod() -> PodTemplate:
    """A pod with shared memory, leave to run on GPU nodes, and TensorBoard on port 6006 beside the task.

    ``kubectl port-forward POD 6006`` shows the curves while they grow. A ``PodTemplate`` and not the ``Pod`` of
    flytekitplugins-pod: it is what that plugin's own warning asks for.
    Spot nodes are the cluster's to choose: Flyte puts its own tolerations on interruptible tasks, but for the last attempt.
    """
    # The whole folder: below a mount point of TensorBoard's alone, the task's user could not make its other folders.
    artifacts = V1VolumeMount(name="artifacts", mount_path=ARTIFACTS)
    return PodTemplate(
        pod_spec=V1PodSpec(
            containers=[
                V1Container(name="primary", volume_mounts=[artifacts, V1VolumeMount(name="shared-memory", mount_path="/dev/shm")]),
                V1Container(
                    name="tensorboard",
                    image=GPU,  # is on the node already
                    command=["tensorboard", "--bind_all", "--port", "6006", "--logdir", f"{ARTIFACTS}/tensorboard"],
                    # The image says "all", which some container runtimes take for a request of every GPU.
                    env=[V1EnvVar(name="NVIDIA_VISIBLE_DEVICES", value="void")],
                    ports=[V1ContainerPort(container_port=6006)],
                    resources=V1ResourceRequirements(requests={"cpu": "250m", "memory": "512Mi"}, limits={"memory": "2Gi"}),
                    volume_mounts=[V1VolumeMount(name="artifacts", mount_path=ARTIFACTS, read_only=True)],
                ),
            ],
            tolerations=[V1Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")],
            volumes=[
                V1Volume(name="artifacts", empty_dir=V1EmptyDirVolumeSource()),
                # Kubernetes gives a container 64 MiB; ranks that exchange gradients need more. Bounded by the container's memory alone.
                V1Volume(name="shared-memory", empty_dir=V1EmptyDirVolumeSource(medium="Memory")),
            ],
        )
    )
