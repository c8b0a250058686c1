"""``trainworks cluster``: what a Flyte cluster lacks to run the pipelines, and whether their smoke plans go through on it."""

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from flyteidl.admin.task_execution_pb2 import TaskExecutionListRequest
from flyteidl.core.catalog_pb2 import CACHE_HIT
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution
from flytekit.clients.friendly import SynchronousFlyteClient
from flytekit.configuration import Config, FastSerializationSettings, ImageConfig, SerializationSettings
from flytekit.exceptions.base import FlyteException
from flytekit.remote import FlyteRemote, FlyteWorkflowExecution
from flytekit.remote.executions import FlyteNodeExecution
from rich.console import Console

from tasks.deployment import DATA, LARGE, accelerated, artifact_root
from tasks.experiments import EXPERIMENTS
from tasks.stage import step
from trainworks.errors import ClusterError
from trainworks.storage import places, s3

EVERY = 3.0
"""Seconds between two looks at an execution."""

PULL = 60.0
"""Seconds for which an image may fail to be pulled: a registry can stumble, a wrong name stays wrong."""

OLDEST = (1, 13)
"""The Flyte whose map tasks are what flytekit 1.16 sends."""

ROOT = Path(__file__).parents[1]

console = Console(highlight=False, soft_wrap=True)


@step()
def probe() -> None:
    """A pod that writes to the artifact root, reads it back and deletes it again."""
    from trainworks.storage import store

    store.check()


@step(LARGE)
def largest() -> None:
    """What asks for as much as any stage without a GPU; it is registered, which checks the limits, and never runs."""


@step(accelerated())
def largest_with_gpu() -> None:
    """The same of fine-tuning on GPUs."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``cluster`` to *commands*."""
    cluster = commands.add_parser("cluster", help="a Flyte cluster: does it run the pipelines?", description=__doc__)
    below = cluster.add_subparsers(required=True, metavar="COMMAND")
    for name, command, help in (
        ("check", _check, "what it lacks, each with what to do"),
        ("smoke", _smoke, "register, run the smoke plans and follow each to bundle and verdict"),
    ):
        parser = below.add_parser(name, help=help)
        parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="such as flyte.config.yaml")
        parser.add_argument("--project", "-p", default=os.environ.get("FLYTE_DEFAULT_PROJECT", "flytesnacks"))
        parser.add_argument("--domain", "-d", default=os.environ.get("FLYTE_DEFAULT_DOMAIN", "development"))
        if name == "smoke":
            parser.add_argument("--plan", help="the launch plan; without, the smoke plan of every pipeline")
        parser.set_defaults(command=command)
    upload = below.add_parser("upload", help=f"copy the folders below {DATA}/ to TRAINWORKS_DATA")
    upload.set_defaults(command=_upload)


def _check(chosen: argparse.Namespace) -> int:
    """Each line is one thing; the first that is wrong ends it."""
    checks = Checks(chosen.config, chosen.project, chosen.domain)
    for name in Checks.ORDER:
        try:
            with console.status(name):
                line = getattr(checks, name)()
        except (ClusterError, ValueError) as error:
            console.print(f"[red]✗[/] {name:8}", end=" ")
            console.print(str(error), markup=False)
            return 1
        console.print(f"[green]✓[/] {name:8}", end=" ")
        console.print(line, markup=False)
    return 0


class Checks:
    """What is looked at, in `ORDER`: each look gives a line of what it saw, or raises a `ClusterError` or ValueError with what to do."""

    ORDER = ("facts", "admin", "project", "images", "code", "limits", "pod")

    def __init__(self, file: Path, project: str, domain: str):
        self.file, self.project_name, self.domain_name = file, project, domain
        self.remote = _remote(file, project, domain)
        self.settings: SerializationSettings

    def facts(self) -> str:
        """What is read at registration."""
        return f"TRAINWORKS_ARTIFACTS={artifact_root()}, TRAINWORKS_SIZE={os.environ.get('TRAINWORKS_SIZE') or 'standard'}"

    def admin(self) -> str:
        """Whether Flyte answers, and is new enough."""
        endpoint = self.remote.config.platform.endpoint.removeprefix("dns:///")
        host, _, port = endpoint.partition(":")
        try:
            socket.create_connection((host, int(port or 443)), timeout=5).close()
        except OSError as error:
            raise ClusterError(
                f"{endpoint} does not answer ({error}): is it up, and reachable from here? See admin.endpoint in {self.file}"
            ) from None
        try:
            version = self.remote.client.get_control_plane_version()
        except FlyteException as error:
            raise ClusterError(
                f"{endpoint} answers, but not as Flyte's Admin ({_said(error)}); see admin.insecure and admin.authType in {self.file}"
            ) from None
        number = re.match(r"v?(\d+)\.(\d+)", version)
        if number and (int(number[1]), int(number[2])) < OLDEST:
            raise ClusterError(f"{endpoint} is Flyte {version}: expected {'.'.join(map(str, OLDEST))} or newer")
        return f"{endpoint}, Flyte {version}" if number else f"{endpoint}, a Flyte that does not say its version"

    def project(self) -> str:
        """Whether project and domain are there."""
        projects = [each.id for each in self.remote.client.list_projects_paginated(limit=1000)[0]]
        if (name := self.project_name) not in projects:
            raise ClusterError(
                f"no project {name!r}, there are {', '.join(projects)}: name one by --project, "
                f"or flytectl create project --id {name} --name {name}"
            )
        domains = [each.id for each in self.remote.client.get_domains()]
        if self.domain_name not in domains:
            raise ClusterError(f"no domain {self.domain_name!r}, there are {', '.join(domains)}: name one by --domain")
        return f"{name}, {self.domain_name}"

    def images(self) -> str:
        """Whether both images have a name of yours; only a pod shows that it can be pulled."""
        names = {image.name: image.full for image in ImageConfig.auto(str(self.file)).images or []}
        for wanted in ("cpu", "gpu"):
            if wanted not in names:
                raise ClusterError(f"{self.file} names no image {wanted!r}; see images in flyte.config.yaml")
            if ".example." in names[wanted]:
                raise ClusterError(
                    f"{self.file}: images.{wanted} = {names[wanted]} is an example; push the image and name it (docs/cluster.md, 4)"
                )
        return ", ".join(names[wanted] for wanted in ("cpu", "gpu"))

    def code(self) -> str:
        """Whether the code of this folder can be sent."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                _, url = self.remote.fast_package(ROOT, deref_symlinks=False, output=folder)
        except FlyteException as error:
            raise ClusterError(f"the code could not be sent to Flyte's bucket: {_said(error)}") from None
        self.settings = SerializationSettings(
            image_config=ImageConfig.auto(str(self.file)),
            project=self.project_name,
            domain=self.domain_name,
            version=f"check-{uuid.uuid4().hex[:8]}",
            fast_serialization_settings=FastSerializationSettings(enabled=True, destination_dir=".", distribution_location=url),
        )
        return f"sent as {self.settings.version}"

    def limits(self) -> str:
        """Whether the platform's limits admit what the largest stages request: Admin refuses to register what exceeds them."""
        try:
            for task in (largest, largest_with_gpu):
                self.remote.register_task(task, self.settings)
        except FlyteException as error:
            raise ClusterError(f"{_said(error)}: raise the limits (docs/cluster.md, 5), or register with TRAINWORKS_SIZE=laptop") from None
        gpu = accelerated()
        return f"admit {LARGE.cpu} CPUs with {LARGE.mem}, and {gpu.cpu} CPUs with {gpu.mem} and {gpu.gpu} GPU"

    def pod(self) -> str:
        """Whether a pod starts, finds its code, and may write to the artifact root."""
        execution = self.remote.execute(self.remote.register_task(probe, self.settings), inputs={}, wait=False)
        if failure := _follow(self.remote, execution, quiet=True):
            raise ClusterError(failure)
        return f"wrote to {artifact_root()} and read it back"


def _remote(file: Path, project: str, domain: str) -> FlyteRemote:
    if not file.is_file():
        raise ClusterError(
            f"{file}: no such file; flyte.config.yaml is for a sandbox, flyte.production.yaml an example for a cluster of your own"
        )
    return FlyteRemote(Config.auto(str(file)), project, domain)


def _smoke(chosen: argparse.Namespace) -> int:
    """Registers under a version of its own, as the README says, so that nobody's plans change."""
    remote = _remote(chosen.config, chosen.project, chosen.domain)
    artifact_root()
    version = f"smoke-{time.strftime('%Y%m%d-%H%M%S')}"
    where = ["--project", chosen.project, "--domain", chosen.domain, "--version", version]
    command = [
        Path(sys.executable).with_name("pyflyte"),
        "--config",
        chosen.config,
        "register",
        "workflows",
        "--destination-dir",
        ".",
        *where,
    ]
    started = time.monotonic()
    registered = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if registered.returncode:
        raise ClusterError(f"registration was refused:\n{registered.stdout}{registered.stderr}")
    count = registered.stdout.count("[✔]")
    console.print(f"registered {count} entities as {version} in {time.monotonic() - started:.0f} s")
    plans = [chosen.plan] if chosen.plan else [f"{file.parent.name}.smoke" for file in sorted(EXPERIMENTS.glob("*/smoke.yaml"))]
    return max(_launch(remote, plan, version) for plan in plans)


def _launch(remote: FlyteRemote, plan: str, version: str) -> int:
    """Launch *plan* and follow it; gives the exit status."""
    execution = remote.execute(remote.fetch_launch_plan(name=plan, version=version), inputs={}, wait=False)
    console.print(f"{plan}: {remote.generate_console_url(execution)}")
    failure = _follow(remote, execution)
    if failure:
        console.print(f"[red]✗[/] {plan}: ", end="")
        console.print(failure, markup=False)
        return 1
    outputs = remote.sync_execution(execution).outputs
    console.print(f"[green]✓[/] {plan}")
    for name in ("bundle", "report", "released", "why"):
        console.print(f"  {name:9} {outputs.get(name)}", markup=False)
    return 0


def _follow(remote: FlyteRemote, execution: FlyteWorkflowExecution, quiet: bool = False) -> str:
    """Print what its nodes do until the *execution* has ended; gives why it failed, or nothing."""
    said: dict[str, str] = {}
    stuck: dict[str, float] = {}
    while True:
        execution = remote.sync_execution(execution, sync_nodes=True)
        for node in sorted(_nodes(execution.node_executions.values()), key=lambda node: node.closure.created_at):
            state = _state(remote, node)
            if said.get(node.id.node_id) != state and not quiet:
                console.print(f"{time.strftime('%H:%M:%S')}  {node.metadata.spec_node_id:20} {state}", markup=False)
            said[node.id.node_id] = state
            if re.search(r"ErrImagePull|ImagePullBackOff|InvalidImageName|pulling image", state):
                since = stuck.setdefault(node.id.node_id, time.monotonic())
                if time.monotonic() - since > PULL:
                    remote.terminate(execution, "the image cannot be pulled")
                    return f"{node.id.node_id}: {state}: push the image, or mend its name under images in the configuration"
        if execution.is_done:
            return "" if execution.is_successful else _why(execution)
        time.sleep(EVERY)


def _nodes(nodes: Iterable[FlyteNodeExecution]) -> Iterator[FlyteNodeExecution]:
    """Those that work: of a condition or a round of trials, the nodes within."""
    for node in nodes:
        if node.metadata.is_parent_node:
            yield from _nodes(node._underlying_node_executions or [])
        elif node.id.node_id != "start-node":
            yield node


def _state(remote: FlyteRemote, node: FlyteNodeExecution) -> str:
    """What is to be said of a *node*: its phase, how long it took, whether its output was known, and why it waits."""
    phase = NodeExecution.Phase.Name(node.closure.phase).lower()
    if node.closure.phase == NodeExecution.SUCCEEDED:
        known = node.closure.task_node_metadata and node.closure.task_node_metadata.cache_status == CACHE_HIT
        return "from the cache" if known else f"done in {node.closure.duration.total_seconds():.0f} s"
    reason = _waits_for(remote, node) if node.closure.phase in (NodeExecution.QUEUED, NodeExecution.RUNNING) else ""
    return f"{phase}: {reason[:300]}" if reason else phase


def _waits_for(remote: FlyteRemote, node: FlyteNodeExecution) -> str:
    """Why the pod of a *node* does not run yet, in Kubernetes' words; nothing if it runs."""
    request = TaskExecutionListRequest(node_execution_id=node.id.to_flyte_idl(), limit=10)
    # flytekit's own class of it leaves the reason out.
    attempts = super(SynchronousFlyteClient, remote.client).list_task_executions_paginated(request).task_executions
    waiting = (TaskExecution.QUEUED, TaskExecution.INITIALIZING, TaskExecution.WAITING_FOR_RESOURCES)
    reasons = [attempt.closure.reason for attempt in attempts if attempt.closure.phase in waiting]
    return " ".join(reasons[-1].split()) if reasons else ""


def _why(execution: FlyteWorkflowExecution) -> str:
    """The failed node with its sentence, the end of what it said, and where its logs are."""
    nodes = _nodes(execution.node_executions.values())
    failed = [node for node in nodes if node.closure.phase == NodeExecution.FAILED and node.closure.error]
    if not failed:
        return execution.error.message if execution.error else "it was terminated"
    first = min(failed, key=lambda node: node.closure.updated_at or node.closure.created_at)
    logs = [log.uri for task in first.task_executions or [] for log in task.closure.logs or []]
    lines = first.closure.error.message.strip().splitlines()
    shown = lines if len(lines) <= 12 else [lines[0], "…", *lines[-10:]]
    return "\n".join([f"{first.metadata.spec_node_id}: {shown[0]}", *shown[1:], *(f"log: {uri}" for uri in logs)])


def _said(error: BaseException) -> str:
    """What Admin says, without gRPC's frame around it."""
    details = re.search(r'details = "(.*?)"\n', str(error), re.DOTALL)
    return " ".join((details[1] if details else str(error).splitlines()[0]).split())


def _upload(chosen: argparse.Namespace) -> int:
    """Files that are there with their size are not sent again."""
    place = places.of_environment("TRAINWORKS_DATA")
    if not s3.is_uri(place):
        raise ClusterError(f"TRAINWORKS_DATA = {place!r}: expected {s3.SCHEME}bucket/prefix")
    folder = ROOT / DATA
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if not files:
        raise ClusterError(f"{folder}: holds no data; make openclipart brings some")
    there = {entry.name: entry.size for entry in s3.listing(place)}
    new = {name: path for name, path in files.items() if there.get(name) != path.stat().st_size}
    s3.each(lambda name: s3.upload(new[name], f"{place.rstrip('/')}/{name}"), {name: path.stat().st_size for name, path in new.items()})
    console.print(f"{place}: {len(new)} files sent, {len(files) - len(new)} were there")
    return 0
