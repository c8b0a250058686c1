"""A Flyte control plane in the test's process: it keeps what is registered, refuses what the real one refuses, starts nothing.

What starts something is :class:`tests.tasks.flyte.cluster.Cluster`.
"""

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NoReturn

import grpc
from flyteidl.admin import execution_pb2, launch_plan_pb2, project_pb2, task_pb2, version_pb2, workflow_pb2
from flyteidl.core import identifier_pb2
from flyteidl.service import admin_pb2_grpc, auth_pb2, auth_pb2_grpc, dataproxy_pb2, dataproxy_pb2_grpc

from tests.tasks.flyte import admin_rules, compiler
from tests.tasks.flyte.refused import Refused


class FakeAdmin(
    admin_pb2_grpc.AdminServiceServicer, dataproxy_pb2_grpc.DataProxyServiceServicer, auth_pb2_grpc.AuthMetadataServiceServicer
):
    """``tasks``, ``workflows``, ``plans``: requests by (project, domain, name, version); ``active``: version by launch plan.

    ``executions`` are requests in the order of arrival, ``uploads`` bytes by URI below *bucket*. *limits* are those of the platform.
    """

    def __init__(self, limits: dict[str, str] | None = None, bucket: str = "s3://flyte", version: str = "v1.16.8") -> None:
        self.limits, self.bucket, self.version = limits or {}, bucket, version
        self.tasks: dict[tuple, Any] = {}
        self.workflows: dict[tuple, Any] = {}
        self.plans: dict[tuple, Any] = {}
        self.active: dict[str, str] = {}
        self.executions: list[Any] = []
        self.uploads: dict[str, bytes] = {}
        self._files = ThreadingHTTPServer(("127.0.0.1", 0), self._receiver())
        Thread(target=self._files.serve_forever, daemon=True).start()
        self._server = grpc.server(ThreadPoolExecutor(8))
        admin_pb2_grpc.add_AdminServiceServicer_to_server(self, self._server)
        dataproxy_pb2_grpc.add_DataProxyServiceServicer_to_server(self, self._server)
        auth_pb2_grpc.add_AuthMetadataServiceServicer_to_server(self, self._server)
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.stop(None).wait()
        self._files.shutdown()
        self._files.server_close()

    def CreateTask(self, request, context):  # noqa: N802
        with _refusing(context):
            admin_rules.identifier(request.id)
            admin_rules.task(request.spec.template, self.limits)
        return _put(self.tasks, request, context, task_pb2.TaskCreateResponse())

    def CreateWorkflow(self, request, context):  # noqa: N802
        for each in (request.spec.template, *request.spec.sub_workflows):
            each.CopyFrom(compiler.compiled(each))
        with _refusing(context):
            admin_rules.identifier(request.id)
            admin_rules.workflow(request)
            compiler.compile_workflow(request.spec.template, self.template, request.spec.sub_workflows)
        return _put(self.workflows, request, context, workflow_pb2.WorkflowCreateResponse())

    def CreateLaunchPlan(self, request, context):  # noqa: N802
        workflow = _get(self.workflows, workflow_pb2.Workflow(id=request.spec.workflow_id), context)
        with _refusing(context):
            admin_rules.identifier(request.id)
            admin_rules.launch_plan(request, workflow.spec.template.interface)
        return _put(self.plans, request, context, launch_plan_pb2.LaunchPlanCreateResponse())

    def UpdateLaunchPlan(self, request, context):  # noqa: N802
        _get(self.plans, request, context)
        if request.state == launch_plan_pb2.ACTIVE:
            self.active[request.id.name] = request.id.version
        return launch_plan_pb2.LaunchPlanUpdateResponse()

    def GetTask(self, request, context):  # noqa: N802
        task = task_pb2.Task(id=request.id)
        task.closure.compiled_task.template.CopyFrom(_get(self.tasks, request, context).spec.template)
        return task

    def GetWorkflow(self, request, context):  # noqa: N802
        workflow = workflow_pb2.Workflow(id=request.id)
        compiled = workflow.closure.compiled_workflow
        spec = _get(self.workflows, request, context).spec
        compiled.primary.template.CopyFrom(spec.template)
        for each in spec.sub_workflows:
            compiled.sub_workflows.add().template.CopyFrom(each)
        for task in self.tasks.values():
            if task.id.version == request.id.version:
                compiled.tasks.add().template.CopyFrom(task.spec.template)
        return workflow

    def GetLaunchPlan(self, request, context):  # noqa: N802
        plan = _get(self.plans, request, context)
        closure = launch_plan_pb2.LaunchPlanClosure(expected_inputs=self._expected(plan))
        return launch_plan_pb2.LaunchPlan(id=plan.id, spec=plan.spec, closure=closure)

    def GetActiveLaunchPlan(self, request, context):  # noqa: N802
        version = self.active.get(request.id.name, "")
        named = identifier_pb2.Identifier(project=request.id.project, domain=request.id.domain, name=request.id.name, version=version)
        return self.GetLaunchPlan(launch_plan_pb2.LaunchPlan(id=named), context)

    def CreateExecution(self, request, context):  # noqa: N802
        self.inputs_of(request, context)
        self.executions.append(request)
        name = request.name or f"f{len(self.executions):019d}"
        started = identifier_pb2.WorkflowExecutionIdentifier(project=request.project, domain=request.domain, name=name)
        return execution_pb2.ExecutionCreateResponse(id=started)

    def inputs_of(self, request: Any, context: Any) -> Any:
        """What an execution starts with, of a launch plan or of a task alone."""
        launched = request.spec.launch_plan
        with _refusing(context):
            admin_rules.execution(request)
            if launched.resource_type == identifier_pb2.TASK:
                task = _get(self.tasks, task_pb2.Task(id=launched), context).spec.template
                return admin_rules.inputs(request.inputs.literals, {}, admin_rules.expected_inputs(task.interface, {}, {}).parameters)
            plan = _get(self.plans, launch_plan_pb2.LaunchPlan(id=launched), context)
            return admin_rules.inputs(request.inputs.literals, plan.spec.fixed_inputs.literals, self._expected(plan).parameters)

    def GetExecution(self, request, context):  # noqa: N802
        asked = next(asked for number, asked in enumerate(self.executions, 1) if request.id.name in (asked.name, f"f{number:019d}"))
        return execution_pb2.Execution(id=request.id, spec=asked.spec)

    def GetVersion(self, request, context):  # noqa: N802
        return version_pb2.GetVersionResponse(control_plane_version=version_pb2.Version(Version=self.version))

    def ListProjects(self, request, context):  # noqa: N802
        return project_pb2.Projects(projects=[project_pb2.Project(id="flytesnacks", name="flytesnacks")])

    def GetDomains(self, request, context):  # noqa: N802
        return project_pb2.GetDomainsResponse(domains=[project_pb2.Domain(id=name, name=name) for name in ("development", "production")])

    def CreateUploadLocation(self, request, context):  # noqa: N802
        name = f"{request.filename_root or request.content_md5.hex()}/{request.filename}"
        url = f"http://127.0.0.1:{self._files.server_port}/{name}"
        return dataproxy_pb2.CreateUploadLocationResponse(signed_url=url, native_url=f"{self.bucket}/{name}")

    def GetPublicClientConfig(self, request, context):  # noqa: N802
        return auth_pb2.PublicClientAuthConfigResponse()

    def template(self, reference: Any) -> Any:
        """The task of that identifier, or nothing."""
        request = self.tasks.get(_key(task_pb2.Task(id=reference)))
        return request.spec.template if request else None

    def _expected(self, plan: Any) -> Any:
        """What is open when *plan* is launched."""
        interface = self.workflows[_key(workflow_pb2.Workflow(id=plan.spec.workflow_id))].spec.template.interface
        return admin_rules.expected_inputs(interface, plan.spec.fixed_inputs.literals, plan.spec.default_inputs.parameters)

    def _receiver(self) -> type[BaseHTTPRequestHandler]:
        uploads, bucket = self.uploads, self.bucket

        class Receiver(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                whole = base64.b64encode(hashlib.md5(body).digest()).decode() == self.headers["Content-MD5"]
                if whole:
                    uploads[f"{bucket}{self.path}"] = body
                self.send_response(200 if whole else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        return Receiver


@contextmanager
def _refusing(context: Any) -> Iterator[None]:
    """What a rule refuses, as a gRPC status."""
    try:
        yield
    except Refused as refused:
        refuse(context, refused.code, str(refused))


def _key(request: Any) -> tuple:
    return request.id.project, request.id.domain, request.id.name, request.id.version


def _put(store: dict[tuple, Any], request: Any, context: Any, response: Any) -> Any:
    """A version never changes: the same again is known, anything else is refused."""
    there = store.setdefault(_key(request), request)
    if there is not request and there.SerializeToString(deterministic=True) == request.SerializeToString(deterministic=True):
        refuse(context, grpc.StatusCode.ALREADY_EXISTS, "with identical structure already exists")
    if there is not request:
        refuse(
            context,
            grpc.StatusCode.INVALID_ARGUMENT,
            f"{request.id.name} with different structure already exists. (Please register a new version)",
        )
    return response


def _get(store: dict[tuple, Any], request: Any, context: Any) -> Any:
    if _key(request) not in store:
        refuse(context, grpc.StatusCode.NOT_FOUND, f"no {_key(request)}")
    return store[_key(request)]


def refuse(context: Any, code: grpc.StatusCode, why: str) -> NoReturn:
    """Answer a request with a gRPC status."""
    context.abort(code, why)
    raise AssertionError("abort raises")
