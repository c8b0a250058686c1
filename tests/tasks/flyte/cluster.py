"""A control plane that also runs what is launched: Admin, propeller, a catalogue, and pods as processes, over a bucket of moto's."""

import traceback
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import grpc
from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import execution_pb2 as core_execution
from flyteidl.core import identifier_pb2, literals_pb2, workflow_pb2

from tests.tasks.fake_admin import FakeAdmin, refuse
from tests.tasks.flyte.kubelet import Kubelet
from tests.tasks.flyte.nodes import Failed, Literals
from tests.tasks.flyte.propeller import Node, Walk

Phase = core_execution.WorkflowExecution


class Bucket:
    """An S3 bucket at *endpoint*."""

    def __init__(self, endpoint: str, name: str):
        own = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self._client, self.bucket = boto3.client("s3", endpoint_url=endpoint, **own), f"s3://{name}"
        self._client.create_bucket(Bucket=name)

    def put(self, uri: str, content: bytes) -> None:
        """Write an object."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self._client.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, uri: str) -> bytes | None:
        """Read an object; nothing if there is none."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey:
            return None

    def names(self, folder: str) -> list[str]:
        """The objects below *folder*."""
        listed = self._client.list_objects_v2(Bucket=self.bucket.removeprefix("s3://"), Prefix=folder)
        return [each["Key"] for each in listed.get("Contents", [])]


class Execution:
    """One execution: what Admin tells of it."""

    def __init__(self, walk: Walk, spec: Any, inputs: Literals):
        self.walk, self.inputs, self.outputs = walk, inputs, literals_pb2.LiteralMap()
        self.told = execution_pb2.Execution(id=walk.id, spec=spec)
        self.told.closure.phase = Phase.RUNNING
        for moment in (self.told.closure.created_at, self.told.closure.started_at, self.told.closure.updated_at):
            moment.GetCurrentTime()

    def run(self, workflow: Any) -> None:
        """To its end, whatever that is."""
        closure = self.told.closure
        try:
            outputs = self.walk.run(workflow.nodes, workflow.outputs, self.inputs)
            self.outputs.CopyFrom(literals_pb2.LiteralMap(literals=outputs))
            phase = Phase.SUCCEEDED
        except Failed as failed:
            phase = Phase.ABORTED if closure.HasField("abort_metadata") else Phase.FAILED
            if phase == Phase.FAILED:
                closure.error.CopyFrom(failed.error)
        except Exception:  # a fault of the stand-in ends the test, not its patience
            closure.error.message = traceback.format_exc()
            phase = Phase.FAILED
        closure.updated_at.GetCurrentTime()
        closure.duration.FromNanoseconds(closure.updated_at.ToNanoseconds() - closure.started_at.ToNanoseconds())
        closure.phase = phase


class Cluster(FakeAdmin):
    """``runs``: executions by name. Pods know the bucket as a sandbox's do, by ``FLYTE_AWS_*`` alone."""

    def __init__(self, folder: Path, s3_endpoint: str, bucket: str, limits: dict[str, str] | None = None):
        super().__init__(limits, f"s3://{bucket}")
        self.store = Bucket(s3_endpoint, bucket)
        given = {"FLYTE_AWS_ENDPOINT": s3_endpoint, "FLYTE_AWS_ACCESS_KEY_ID": "key", "FLYTE_AWS_SECRET_ACCESS_KEY": "secret"}
        self.kubelet = Kubelet(folder, given)
        self.catalogue: dict[str, Literals] = {}
        self.runs: dict[str, Execution] = {}

    def close(self) -> None:
        """End all."""
        for run in self.runs.values():
            run.walk.stopped.set()
        super().close()
        self.kubelet.forks.close()

    def CreateExecution(self, request, context):  # noqa: N802
        inputs = self.inputs_of(request, context)
        for uri, content in self.uploads.items():
            self.store.put(uri, content)
        response = super().CreateExecution(request, context)
        walk = Walk(response.id, self.template, self.store, self.kubelet, self.catalogue, self.limits, request.spec.overwrite_cache)
        run = self.runs[response.id.name] = Execution(walk, request.spec, dict(inputs.literals))
        Thread(target=run.run, args=[self.workflow_of(request.spec.launch_plan)], daemon=True).start()
        return response

    def ended(self, name: str) -> bool:
        """Whether an execution has."""
        return self.runs[name].told.closure.phase not in (Phase.UNDEFINED, Phase.QUEUED, Phase.RUNNING)

    def workflow_of(self, launched: Any) -> Any:
        """The workflow of a launch plan, or one made of a task alone."""
        if launched.resource_type == identifier_pb2.LAUNCH_PLAN:
            plan = next(plan for plan in self.plans.values() if plan.id == launched)
            return next(each for each in self.workflows.values() if each.id == plan.spec.workflow_id).spec.template
        interface = self.template(launched).interface
        node = workflow_pb2.Node(id="task", task_node=workflow_pb2.TaskNode(reference_id=launched))
        for name in interface.inputs.variables:
            node.inputs.add(var=name).binding.promise.var = name
        return workflow_pb2.WorkflowTemplate(nodes=[node])

    def GetExecution(self, request, context):  # noqa: N802
        return self._run(request.id, context).told

    def GetExecutionData(self, request, context):  # noqa: N802
        run = self._run(request.id, context)
        return execution_pb2.WorkflowExecutionGetDataResponse(
            full_inputs=literals_pb2.LiteralMap(literals=run.inputs), full_outputs=run.outputs
        )

    def TerminateExecution(self, request, context):  # noqa: N802
        run = self._run(request.id, context)
        run.told.closure.abort_metadata.cause = request.cause
        run.walk.stop()
        return execution_pb2.ExecutionTerminateResponse()

    def ListNodeExecutions(self, request, context):  # noqa: N802
        nodes = list(self._run(request.workflow_execution_id, context).walk.nodes.values())
        below = [node for node in nodes if (node.parent.told.id.node_id if node.parent else "") == request.unique_parent_id]
        return node_execution_pb2.NodeExecutionList(node_executions=[node.told for node in below])

    def GetNodeExecution(self, request, context):  # noqa: N802
        return self._node(request.id, context).told

    def GetNodeExecutionData(self, request, context):  # noqa: N802
        node = self._node(request.id, context)
        data = node_execution_pb2.NodeExecutionGetDataResponse(
            full_inputs=literals_pb2.LiteralMap(literals=node.inputs), full_outputs=literals_pb2.LiteralMap(literals=node.outputs)
        )
        if node.dynamic:
            data.dynamic_workflow.id.CopyFrom(node.dynamic.primary.template.id)
            data.dynamic_workflow.compiled_workflow.CopyFrom(node.dynamic)
        return data

    def ListTaskExecutions(self, request, context):  # noqa: N802
        return task_execution_pb2.TaskExecutionList(task_executions=self._node(request.node_execution_id, context).attempts)

    def GetTaskExecution(self, request, context):  # noqa: N802
        return next(each for each in self._node(request.id.node_execution_id, context).attempts if each.id == request.id)

    def GetTaskExecutionData(self, request, context):  # noqa: N802
        node = self._node(request.id.node_execution_id, context)
        full_inputs, full_outputs = (literals_pb2.LiteralMap(literals=each) for each in (node.inputs, node.outputs))
        return task_execution_pb2.TaskExecutionGetDataResponse(full_inputs=full_inputs, full_outputs=full_outputs)

    def _run(self, named: Any, context: Any) -> Execution:
        if named.name not in self.runs:
            refuse(context, grpc.StatusCode.NOT_FOUND, f"missing entity of type execution with identifier {named.name}")
        return self.runs[named.name]

    def _node(self, named: Any, context: Any) -> Node:
        nodes = self._run(named.execution_id, context).walk.nodes
        if named.node_id not in nodes:
            refuse(context, grpc.StatusCode.NOT_FOUND, f"missing entity of type node execution with identifier {named.node_id}")
        return nodes[named.node_id]
