"""What the tasks ask of a cluster: processors, memory, a GPU and its pod, whom to tell. Facts of a deployment, no knobs.

What differs between clusters comes from the environment of ``pyflyte register``: ``TRAINWORKS_ACCELERATOR``, such as
``L4``, ``TRAINWORKS_GPUS``, how many of them fine-tuning gets, and ``TRAINWORKS_NOTIFY``, e-mail addresses with commas between them.
"""

import os
from functools import cached_property

from flytekit import PodTemplate, Resources
from flytekit.extras import accelerators
from flytekit.extras.accelerators import GPUAccelerator

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


class GpuPod(PodTemplate):
    """A pod with shared memory, leave to run on GPU nodes, and TensorBoard on port 6006 beside the task.

    ``kubectl port-forward POD 6006`` shows the curves while they grow. A ``PodTemplate`` and not the ``Pod`` of
    flytekitplugins-pod: it is what that plugin's own warning asks for.
    Spot nodes are the cluster's to choose: Flyte puts its own tolerations on interruptible tasks, but for the last attempt.
    """

    def __init__(self) -> None:
        """Nothing is made before somebody serialises it: ``kubernetes`` takes half as long to import as all of flytekit."""

    @cached_property
    def pod_spec(self):  # type: ignore[override]
        """The ``V1PodSpec``."""
        from kubernetes import client as k8s

        # The whole folder: below a mount point of TensorBoard's alone, the task's user could not make its other folders.
        artifacts = k8s.V1VolumeMount(name="artifacts", mount_path=ARTIFACTS)
        shared_memory = k8s.V1VolumeMount(name="shared-memory", mount_path="/dev/shm")
        tensorboard = k8s.V1Container(
            name="tensorboard",
            image=GPU,  # is on the node already
            command=["tensorboard", "--bind_all", "--port", "6006", "--logdir", f"{ARTIFACTS}/tensorboard"],
            # The image says "all", which some container runtimes take for a request of every GPU.
            env=[k8s.V1EnvVar(name="NVIDIA_VISIBLE_DEVICES", value="void")],
            ports=[k8s.V1ContainerPort(container_port=6006)],
            resources=k8s.V1ResourceRequirements(requests={"cpu": "250m", "memory": "512Mi"}, limits={"memory": "2Gi"}),
            volume_mounts=[k8s.V1VolumeMount(name="artifacts", mount_path=ARTIFACTS, read_only=True)],
        )
        return k8s.V1PodSpec(
            containers=[k8s.V1Container(name="primary", volume_mounts=[artifacts, shared_memory]), tensorboard],
            tolerations=[k8s.V1Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")],
            volumes=[
                k8s.V1Volume(name="artifacts", empty_dir=k8s.V1EmptyDirVolumeSource()),
                # Kubernetes gives a container 64 MiB; ranks that exchange gradients need more. Bounded by the container's memory alone.
                k8s.V1Volume(name="shared-memory", empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory")),
            ],
        )
