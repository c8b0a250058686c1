"""Walks the compiled graph of a workflow as propeller does, and runs its tasks' pods.

It covers bindings, branches, map tasks, dynamic workflows, the cache and retries. Whoever asks for ``cache_serialize`` does not
wait here for another execution; sub-workflows and launch plans as nodes, and gates, there are none.
"""

import re
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from flyteidl.admin import node_execution_pb2, task_execution_pb2
from flyteidl.core import catalog_pb2, compiler_pb2, dynamic_job_pb2, errors_pb2, execution_pb2, identifier_pb2, literals_pb2, workflow_pb2
from flyteidl.event import event_pb2

from tests.tasks.flyte import compiler, pods
from tests.tasks.flyte.kubelet import Kubelet
from tests.tasks.flyte.nodes import NOTHING, Failed, Literals, bound, catalogue_key, holds, items
from tests.tasks.flyte.refused import Refused

Phase = execution_pb2.NodeExecution
TaskPhase = execution_pb2.TaskExecution
Error = execution_pb2.ExecutionError
Cache = catalog_pb2.CatalogCacheStatus

SYSTEM_FAILURES = 3
"""Attempts that the platform may lose, beside those of the task: flytepropeller/pkg/controller/config/config.go."""


@dataclass
class Node:
    """One execution of a node: what Admin tells of it, and what it was given and gave."""

    told: node_execution_pb2.NodeExecution
    parent: "Node | None"
    inputs: Literals = field(default_factory=dict)
    outputs: Literals = field(default_factory=dict)
    dynamic: compiler_pb2.CompiledWorkflowClosure | None = None
    attempts: list[task_execution_pb2.TaskExecution] = field(default_factory=list)

    def enter(self, phase: int) -> None:
        """Begin a phase, and note when."""
        closure = self.told.closure
        closure.phase = phase
        closure.updated_at.GetCurrentTime()
        if phase == Phase.RUNNING:
            closure.started_at.GetCurrentTime()
        closure.duration.FromNanoseconds(max(0, closure.updated_at.ToNanoseconds() - closure.started_at.ToNanoseconds()))


class Walk:
    """One execution. ``nodes`` are those that began, by their ids, ``dn`` of a dynamic one with its parent's before.

    *task* gives the template of an identifier; *store* has ``put`` and ``get`` of bytes by URI; *catalogue* outlives the execution.
    """

    def __init__(
        self,
        identifier: Any,
        task: Callable[[Any], Any],
        store: Any,
        kubelet: Kubelet,
        catalogue: dict[str, Literals],
        limits: dict[str, str],
        overwrite: bool = False,
    ):
        self.id, self.store, self.kubelet, self.catalogue, self.limits = identifier, store, kubelet, catalogue, limits
        self.overwrite = overwrite
        self.nodes: dict[str, Node] = {}
        self.stopped = Event()
        self._task, self._own = task, {}

    def run(self, nodes: Any, outputs: Any, inputs: Literals, parent: Node | None = None) -> Literals:
        """What the graph gives; each node starts when those before it have ended. The first that fails stops all that run."""
        given = {"": inputs}
        waiting, running = {node.id: node for node in nodes}, {}
        with ThreadPoolExecutor(max(1, len(waiting))) as pool:
            while waiting or running:
                for node in [node for node in waiting.values() if compiler.upstream(node) <= given.keys()]:
                    del waiting[node.id]
                    running[pool.submit(self._node, node, given, parent)] = node.id
                for ended in wait(running, return_when=FIRST_COMPLETED)[0]:
                    given[running.pop(ended)] = self._result(ended)
        return {binding.var: bound(binding.binding, given) for binding in outputs}

    def stop(self) -> None:
        """Stop what runs."""
        self.stopped.set()
        self.kubelet.terminate(f"{self.id.name}-")

    def _result(self, ended: Future) -> Literals:
        try:
            return ended.result()
        except BaseException:
            self.stop()
            raise

    def _template(self, reference: Any) -> Any:
        return self._own.get(reference.name) or self._task(reference)

    def _node(self, node: Any, given: dict[str, Literals], parent: Node | None) -> Literals:
        """Run one node and keep what is to be told of it."""
        unique = node.id if parent is None or not parent.told.metadata.is_dynamic else f"{parent.told.id.node_id}-0-{node.id}"
        told = node_execution_pb2.NodeExecution(id=identifier_pb2.NodeExecutionIdentifier(node_id=unique, execution_id=self.id))
        told.metadata.spec_node_id = node.id
        told.closure.created_at.GetCurrentTime()
        target = node.WhichOneof("target")
        told.metadata.is_parent_node, told.metadata.is_array = target == "branch_node", target == "array_node"
        entry = self.nodes[unique] = Node(told, parent)
        entry.enter(Phase.RUNNING)
        try:
            entry.inputs = {binding.var: bound(binding.binding, given) for binding in node.inputs}
            run = {"branch_node": self._branch, "array_node": self._array, "task_node": self._single}[target]
            entry.outputs = run(entry, node, given)
        except Failed as failed:
            told.closure.error.CopyFrom(failed.error)
            entry.enter(Phase.ABORTED if self.stopped.is_set() else Phase.FAILED)
            raise
        entry.enter(Phase.SUCCEEDED)
        return entry.outputs

    def _branch(self, entry: Node, node: Any, given: dict[str, Literals]) -> Literals:
        """The first case whose condition holds: flytepropeller/pkg/controller/nodes/branch/evaluator.go."""
        choice = node.branch_node.if_else
        cases = [case.then_node for case in (choice.case, *choice.other) if holds(case.condition, entry.inputs)]
        return self._node((cases or [choice.else_node])[0], given, entry)

    def _single(self, entry: Node, node: Any, given: dict[str, Literals]) -> Literals:
        template = self._template(node.task_node.reference_id)
        outputs, status = self._remembered(entry, template, entry.inputs)
        entry.told.closure.task_node_metadata.cache_status = status
        return outputs

    def _array(self, entry: Node, node: Any, given: dict[str, Literals]) -> Literals:
        """Every item by itself; a list of what each gave, with nothing for those that failed: flytepropeller/.../nodes/array/handler.go."""
        array, each = node.array_node, items(entry.inputs, list(node.array_node.bound_inputs))
        template = self._template(array.node.task_node.reference_id)
        told = self._attempt(entry, template, 0)
        needed = len(each)
        if array.WhichOneof("success_criteria") == "min_successes":
            needed = array.min_successes
        elif array.WhichOneof("success_criteria") == "min_success_ratio":
            needed = -int(-array.min_success_ratio * len(each) // 1)

        def one(index: int) -> Literals | Failed:
            resource = event_pb2.ExternalResourceInfo(external_id=f"{entry.told.id.node_id}-n{index}", index=index)
            try:
                outputs, resource.cache_status = self._remembered(entry, template, each[index], index)
                resource.phase = TaskPhase.SUCCEEDED
                return outputs
            except Failed as failed:
                resource.phase = TaskPhase.FAILED
                return failed
            finally:
                told.closure.metadata.external_resources.append(resource)

        with ThreadPoolExecutor(max(1, len(each))) as pool:
            results = list(pool.map(one, range(len(each))))
        failures = {index: result for index, result in enumerate(results) if isinstance(result, Failed)}
        if len(each) - len(failures) < needed:
            told.closure.phase = TaskPhase.FAILED
            raise Failed("", "\n".join(f"[{index}]: {failure.error.message}" for index, failure in failures.items()))
        told.closure.phase = TaskPhase.SUCCEEDED
        names = template.interface.outputs.variables
        return {
            name: literals_pb2.Literal(
                collection=literals_pb2.LiteralCollection(
                    literals=[NOTHING if index in failures else result[name] for index, result in enumerate(results)]
                )
            )
            for name in names
        }

    def _remembered(self, entry: Node, template: Any, inputs: Literals, index: int | None = None) -> tuple[Literals, int]:
        """What a task gives, and what the catalogue had to do with it: flytepropeller/pkg/controller/nodes/cache.go."""
        if not template.metadata.discoverable:
            return self._tried(entry, template, inputs, index), Cache.CACHE_DISABLED
        key = catalogue_key(template, inputs)
        if key in self.catalogue and not self.overwrite:
            return self.catalogue[key], Cache.CACHE_HIT
        outputs = self.catalogue[key] = self._tried(entry, template, inputs, index)
        return outputs, Cache.CACHE_POPULATED

    def _tried(self, entry: Node, template: Any, inputs: Literals, index: int | None) -> Literals:
        """What one attempt after the other gives, until one succeeds or none is left: flytepropeller/pkg/controller/nodes/executor.go."""
        tries = template.metadata.retries.retries + 1
        lost = attempt = 0
        while True:
            told = self._attempt(entry, template, attempt) if index is None else None
            try:
                outputs = self._pod(entry, template, inputs, attempt, index, told)
                if told:
                    self._enter(told, TaskPhase.SUCCEEDED)
                return outputs
            except Failed as failed:
                if told:
                    told.closure.error.CopyFrom(failed.error)
                    self._enter(told, TaskPhase.ABORTED if self.stopped.is_set() else TaskPhase.FAILED)
                if not failed.retryable or self.stopped.is_set():
                    raise
                attempt += 1
                lost += failed.error.kind == Error.SYSTEM
                if lost > SYSTEM_FAILURES or attempt - lost >= tries:
                    kind = Error.ErrorKind.Name(failed.error.kind)
                    message = f"[{attempt}/{tries}] currentAttempt done. Last Error: {kind}::{failed.error.message}"
                    raise Failed("RetriesExhausted|" + failed.error.code, message, failed.error.kind) from None

    def _attempt(self, entry: Node, template: Any, number: int) -> Any:
        """Begin to tell of an attempt."""
        told = task_execution_pb2.TaskExecution(
            id=identifier_pb2.TaskExecutionIdentifier(task_id=template.id, node_execution_id=entry.told.id, retry_attempt=number)
        )
        told.closure.created_at.GetCurrentTime()
        told.closure.started_at.GetCurrentTime()
        told.closure.task_type = template.type
        self._enter(told, TaskPhase.QUEUED)
        entry.attempts.append(told)
        return told

    def _enter(self, told: Any, phase: int, reason: str = "") -> None:
        told.closure.phase, told.closure.reason = phase, reason
        told.closure.updated_at.GetCurrentTime()
        told.closure.duration.FromNanoseconds(told.closure.updated_at.ToNanoseconds() - told.closure.started_at.ToNanoseconds())

    def _pod(self, entry: Node, template: Any, inputs: Literals, attempt: int, index: int | None, told: Any) -> Literals:
        """Make a task's pod and run it: flytepropeller/pkg/controller/nodes/task/k8s/plugin_manager.go."""
        unique = entry.told.id.node_id + ("" if index is None else f"-n{index}")
        name = f"{self.id.name}-{unique}-{attempt}"
        pod = pods.completed(pods.pod_of(template), self.limits)
        if refusal := pods.refusal(name, pod):
            forbidden = "is forbidden" in refusal
            raise Failed("RuntimeFailure" if forbidden else "BadTaskFormat", refusal, retryable=forbidden)
        if image := self.kubelet.missing_image(pod):
            if told:
                waits = f'[ContainersNotReady|ImagePullBackOff]: containers with unready status: [primary]|Back-off pulling image "{image}"'
                self._enter(told, TaskPhase.INITIALIZING, waits)
            self.stopped.wait()
            raise Failed("Aborted", "terminated")
        places = _Places(self.store.bucket, f"{self.id.project}-{self.id.domain}-{self.id.name}", unique, attempt)
        # An item of a map task is told its number, and takes it out of the lists by itself.
        self.store.put(places.inputs, literals_pb2.LiteralMap(literals=entry.inputs).SerializeToString())
        container = next(each for each in pod["containers"] if each["name"] == pods.PRIMARY)
        container["args"] = [places.rendered(argument) for argument in container["args"]]
        if told:
            self._enter(told, TaskPhase.RUNNING)
        code = self.kubelet.run(name, pod, self._environment(template, attempt, index), self.stopped)
        return self._collected(name, code, places, entry, template, inputs)

    def _environment(self, template: Any, attempt: int, index: int | None) -> dict[str, str]:
        """flyteplugins/.../flytek8s/k8s_resource_adds.go and flytepropeller/.../nodes/array/execution_context.go."""
        environment = {
            "FLYTE_INTERNAL_EXECUTION_ID": self.id.name,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": self.id.project,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": self.id.domain,
            "FLYTE_ATTEMPT_NUMBER": str(attempt),
            **{f"FLYTE_INTERNAL_TASK_{part.upper()}": getattr(template.id, part) for part in ("project", "domain", "name", "version")},
        }
        if index is not None:
            environment |= {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX", "FLYTE_K8S_ARRAY_INDEX": str(index)}
        return environment

    def _collected(self, name: str, code: int, places: "_Places", entry: Node, template: Any, inputs: Literals) -> Literals:
        """What a pod that ended has left: its error, its outputs, or the nodes to run in its place."""
        if self.stopped.is_set():
            raise Failed("Aborted", "terminated")
        if code == -9:  # what is lost is tried again and not the task's fault: flyteplugins/.../flytek8s/pod_helper.go
            raise Failed("Interrupted", "[primary] terminated with exit code (137). Reason [Error].", Error.SYSTEM, retryable=True)
        if code:
            last = "\n".join(self.kubelet.log(name).splitlines()[-80:])[-2048:]
            message = f"[primary] terminated with exit code ({code}). Reason [Error]. Message: \n{last}."
            raise Failed("Error", f"Pod failed. No message received from kubernetes.\r\n{message}", retryable=True)
        if document := self.store.get(f"{places.outputs}/error.pb"):
            error = errors_pb2.ErrorDocument.FromString(document).error
            raise Failed(error.code, error.message, error.origin, retryable=error.kind == errors_pb2.ContainerError.RECOVERABLE)
        if futures := self.store.get(f"{places.outputs}/futures.pb"):
            return self._dynamic(dynamic_job_pb2.DynamicJobSpec.FromString(futures), entry, template, inputs)
        outputs = self.store.get(f"{places.outputs}/outputs.pb")
        if outputs is None:
            raise Failed("OutputsNotFound", f"outputs.pb of {name} not found", Error.SYSTEM, retryable=True)
        return dict(literals_pb2.LiteralMap.FromString(outputs).literals)

    def _dynamic(self, spec: Any, entry: Node, template: Any, inputs: Literals) -> Literals:
        """The nodes that a task made, compiled and run as its own: flytepropeller/pkg/controller/nodes/dynamic/dynamic_workflow.go."""
        self._own |= {task.id.name: task for task in spec.tasks}
        workflow = workflow_pb2.WorkflowTemplate(id=template.id, nodes=spec.nodes, outputs=spec.outputs, interface=template.interface)
        workflow = compiler.compiled(workflow)
        try:
            compiler.compile_workflow(workflow, self._template)
        except Refused as refused:
            raise Failed("DynamicWorkflowBuildFailed", str(refused)) from None
        tasks = [compiler_pb2.CompiledTask(template=task) for task in spec.tasks]
        entry.dynamic = compiler_pb2.CompiledWorkflowClosure(primary=compiler_pb2.CompiledWorkflow(template=workflow), tasks=tasks)
        entry.told.metadata.is_dynamic = entry.told.metadata.is_parent_node = True
        return self.run(workflow.nodes, workflow.outputs, inputs, entry)


class _Places:
    """Where an attempt reads and writes: flyteplugins/go/tasks/pluginmachinery/ioutils."""

    def __init__(self, bucket: str, execution: str, node: str, attempt: int):
        node_folder = f"{bucket}/metadata/propeller/{execution}/{node}/data"
        self.inputs, self.outputs, self.task = f"{node_folder}/inputs.pb", f"{node_folder}/{attempt}", f"{node_folder}/task.pb"
        self.raw, before = (f"{bucket}/data/{execution}-{node}-{number}" for number in (attempt, attempt - 1))
        self.checkpoints = f"{self.raw}/_flytecheckpoints"
        self.checkpoints_before = f"{before}/_flytecheckpoints" if attempt else '""'

    def rendered(self, argument: str) -> str:
        """*argument* with what propeller puts into it: flyteplugins/go/tasks/pluginmachinery/core/template/template.go."""
        values = {
            "input": self.inputs,
            "outputprefix": self.outputs,
            "rawoutputdataprefix": self.raw,
            "checkpointoutputprefix": self.checkpoints,
            "prevcheckpointprefix": self.checkpoints_before,
            "tasktemplatepath": self.task,
        }
        return re.sub(r"{{\s*[.$](\w+)\s*}}", lambda match: values[match[1].lower()], argument)
