"""A launch, as a cluster carries it out: what is registered runs in pods of its own, through `pyflyte-execute`."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flyteidl.core import catalog_pb2, execution_pb2
from flytekit.configuration import Config
from flytekit.remote import FlyteRemote

from tasks import cluster
from tests.conftest import write_catalogue
from tests.tasks.flyte.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # flytekit's own

ROOT = Path(__file__).parents[2]

KNOBS: dict[str, Any] = {"image": "squash(32)", "batch_size": 16, "gallery": 10, "stored_size": 64}
"""The smallest pipeline."""

CACHED = {
    *("untouched", "curate", "finetune-on-cpu", "trace", "export", "export-untouched"),
    *("evaluate", "behave", "prepare-judging", "report", "package"),
}
"""Nodes whose outputs Flyte remembers, but for those of map tasks."""


class Flyte:
    """A cluster on which everything is registered once, with a drawn catalogue in its bucket."""

    def __init__(self, folder: Path, s3_endpoint: str):
        self.cluster = Cluster(folder, s3_endpoint, "flyte")
        self.bucket, self.kubelet = self.cluster.bucket, self.cluster.kubelet
        for path in write_catalogue(folder / "catalogue", 60).iterdir():
            self.cluster.store.put(f"{self.bucket}/catalogue/{path.name}", path.read_bytes())
        own = {"FLYTE_PLATFORM_URL": self.cluster.endpoint, "FLYTE_PLATFORM_INSECURE": "true", "HOME": str(folder), "COLUMNS": "200"}
        facts = {"TRAINWORKS_SIZE": "laptop", "TRAINWORKS_ARTIFACTS": f"{self.bucket}/artifacts"}
        command = [Path(sys.executable).with_name("pyflyte"), "--config", "flyte.config.yaml", "register", "workflows"]
        command += ["--version", "v1", "--destination-dir", ".", "--env", f"TRAINWORKS_ARTIFACTS={self.bucket}/artifacts"]
        self.environment = {**os.environ, **own, **facts}
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        self.remote = FlyteRemote(Config.for_endpoint(self.cluster.endpoint, insecure=True), "flytesnacks", "development")
        self.kubelet.forks.wait()

    def launch(self, plan: str, **inputs: Any) -> Any:
        """Start a launch plan."""
        return self.remote.execute(self.remote.fetch_launch_plan(name=plan, version="v1"), inputs=inputs, wait=False)

    def smoke(self, **inputs: Any) -> Any:
        """Start PhotoStock's smoke plan on the drawn catalogue."""
        return self.launch("photostock.smoke", source=f"{self.bucket}/catalogue/catalogue.jsonl", **KNOBS, **inputs)

    def until(self, holds: Callable[[], object], seconds: float = 300) -> None:
        """Wait for it."""
        last = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < last
            time.sleep(0.05)

    def followed(self, execution: Any) -> Any:
        """The *execution*, when it has ended, with all that Admin tells of it."""
        self.until(lambda: self.cluster.ended(execution.id.name))
        return self.remote.sync_execution(execution, sync_nodes=True)

    def pods(self, execution: Any) -> list[str]:
        """The pods of an execution that were started, by node and attempt."""
        prefix = f"{execution.id.name}-"
        return [name.removeprefix(prefix) for name in self.kubelet.names if name.startswith(prefix)]

    def told(self, execution: Any) -> str:
        """Why it failed, with the logs of its pods."""
        error = execution.error.message if execution.error else ""
        return "\n\n".join([error, *(f"{name}\n{self.kubelet.log(name)[-3000:]}" for name in self.kubelet.names)])


@pytest.fixture(scope="module")
def flyte(tmp_path_factory, s3_server):
    """See `Flyte`."""
    flyte = Flyte(tmp_path_factory.mktemp("flyte"), s3_server)
    yield flyte
    flyte.cluster.close()


def nodes(execution: Any) -> dict[str, Any]:
    """Those of an execution that was synced, and those within them, by their ids."""
    found = {}
    for name, node in execution.node_executions.items():
        found[name] = node
        found |= {inner.id.node_id: inner for inner in node._underlying_node_executions or []}
    return found


@pytest.fixture(scope="module")
def first(flyte):
    """The smoke plan to its end; the pod that trains is killed once it has written a checkpoint."""
    execution = flyte.smoke(epochs=6, release_to=f"{flyte.bucket}/release")
    trains = f"{execution.id.name}-finetune-on-cpu-0"
    flyte.until(lambda: trains in flyte.kubelet.names or flyte.cluster.ended(execution.id.name))
    flyte.until(lambda: flyte.cluster.store.names("artifacts/resume/") or flyte.cluster.ended(execution.id.name))
    flyte.kubelet.kill(trains)
    return flyte.followed(execution)


def test_a_run_ends_with_a_release_though_the_pod_that_trains_was_killed(flyte, first):
    """From the catalogue in the bucket to the pointer at the released version, each node in a pod of its own."""
    assert first.is_successful, flyte.told(first)
    released = first.outputs.get("bundle")
    assert released.startswith(f"{flyte.bucket}/release/versions/")
    folder = released.removeprefix(f"{flyte.bucket}/")
    assert {f"{folder}/manifest.json", f"{folder}/report.html", f"{folder}/image_encoder.onnx"} <= set(flyte.cluster.store.names(folder))
    assert all(node.closure.phase == execution_pb2.NodeExecution.SUCCEEDED for node in nodes(first).values())
    assert {"finetune-on-gpu", "finetune-on-sagemaker"}.isdisjoint(nodes(first)), "the branch took one way"


def test_a_pod_that_was_killed_is_tried_again_and_goes_on(flyte, first):
    """The second attempt is told its number, finds the first one's checkpoint, and what is done with is removed."""
    lost, second = nodes(first)["finetune-on-cpu"].task_executions
    assert (lost.closure.error.code, second.id.retry_attempt) == ("Interrupted", 1)
    assert second.closure.phase == execution_pb2.TaskExecution.SUCCEEDED
    assert re.search("resume +goes on from .*ckpt", flyte.kubelet.log(f"{first.id.name}-finetune-on-cpu-1"))
    assert not flyte.cluster.store.names("artifacts/resume/")


def test_launched_again_every_stage_is_found_in_the_cache(flyte, first):
    """By the content of its inputs; what must look again looks again, and the release is the same."""
    again = flyte.followed(flyte.smoke(epochs=6, release_to=f"{flyte.bucket}/release"))
    assert again.is_successful, flyte.told(again)
    tasks = {name: node.closure.task_node_metadata for name, node in nodes(again).items()}
    assert {name for name, task in tasks.items() if task and task.cache_status == catalog_pb2.CACHE_HIT} == CACHED
    pods = {name.rpartition("-")[0] for name in flyte.pods(again)}
    assert pods == {"check", "acquire", "shards-to-embed", "last-release", "release-now"}
    assert again.outputs.get("bundle") == first.outputs.get("bundle")


def test_a_bad_knob_is_told_within_a_hundred_characters(flyte):
    """All that lists of executions show; one pod is all it costs."""
    execution = flyte.followed(flyte.smoke(epochs=-1))
    assert "epochs = -1" in execution.error.message[:100], execution.error.message
    assert flyte.pods(execution) == ["check-0"]


def test_an_image_that_cannot_be_pulled_is_told_soon(flyte, monkeypatch):
    """The run is stopped, and the sentence has the image and what to do."""
    monkeypatch.setattr(flyte.kubelet, "pulled", set())
    monkeypatch.setattr(cluster, "PULL", 0.3)
    monkeypatch.setattr(cluster, "EVERY", 0.1)
    execution = flyte.smoke()
    said = cluster._follow(flyte.remote, execution, quiet=True)
    assert re.search('check: .*Back-off pulling image "localhost:30000/.*": push the image, or mend its name', said), said
    flyte.until(lambda: flyte.cluster.ended(execution.id.name))
    assert flyte.cluster.runs[execution.id.name].told.closure.phase == execution_pb2.WorkflowExecution.ABORTED
    assert not flyte.pods(execution)


def test_a_cluster_that_lacks_nothing_passes_its_check(flyte):
    """Last of all a pod writes to the artifact root, with what the platform gives it."""
    command = [sys.executable, "-m", "trainworks", "cluster", "check", "--config", "flyte.config.yaml"]
    done = subprocess.run(command, cwd=ROOT, env=flyte.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pod      wrote to s3://flyte/artifacts and read it back" in done.stdout


def test_the_other_pipeline_goes_through_by_one_command(flyte):
    """`trainworks cluster smoke` registers it, follows it node by node, and ends with what was released."""
    command = [sys.executable, "-m", "trainworks", "cluster", "smoke", "--config", "flyte.config.yaml", "--plan", "supermegaretail.smoke"]
    done = subprocess.run(command, cwd=ROOT, env=flyte.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"registered \d+ entities as smoke-", done.stdout)
    assert re.search(r"backtest +done in", done.stdout), done.stdout
    assert re.search(r"bundle +s3://flyte/artifacts/smoke/versions/.*\n.*\n +released +True\n +why +every gate holds", done.stdout), (
        done.stdout
    )


def test_its_release_forecasts_shard_by_shard(flyte):
    """A pod for each shard, of which there is one; launched again there is none to map over, and the file is the same."""
    where = {"release": f"{flyte.bucket}/artifacts/smoke", "source": "sample", "forecasts_to": f"{flyte.bucket}/forecasts"}
    first, again = (flyte.followed(flyte.launch("workflows.supermegaretail.forecast", **where)) for _ in range(2))
    assert first.is_successful and again.is_successful, flyte.told(first) + flyte.told(again)
    assert [len([pod for pod in flyte.pods(each) if pod.startswith("forecast")]) for each in (first, again)] == [1, 0]
    place = first.outputs.get("o0")
    assert again.outputs.get("o0") == place and flyte.cluster.store.get(place).startswith(b"PAR1")


def test_a_sweep_tries_its_settings_in_pods(flyte):
    """A round is made in a pod, and run as a map task; the winner's file is left in the bucket. Its panel is that of the smoke plan."""
    tried = {"space": "head = empirical | negative_binomial", "trials": 2, "parallel": 2, "sampler": "grid"}
    execution = flyte.followed(flyte.launch("supermegaretail.sweep", source="sample", models="exponential_smoothing", origins=2, **tried))
    assert execution.is_successful, flyte.told(execution)
    rounds = nodes(execution)["search-0-trials-1"].task_executions[0].closure.metadata.external_resources
    assert [each.phase for each in rounds] == [execution_pb2.TaskExecution.SUCCEEDED] * 2
    assert b"head" in flyte.cluster.store.get(execution.outputs.get("winner"))
