"""What Admin asks of tasks, launch plans and executions before it keeps them."""

import re
from typing import Any

from croniter import croniter
from flyteidl.core import execution_pb2, identifier_pb2, interface_pb2, literals_pb2
from kubernetes.utils.quantity import parse_quantity

from tests.tasks.flyte import types
from tests.tasks.flyte.pods import pod_of
from tests.tasks.flyte.refused import Refused

HELM = {"cpu": "2", "memory": "1Gi", "gpu": "1"}
"""The limits of a platform whose owner changed nothing: charts/flyte-core/values.yaml."""

NODES = 100
"""Of one workflow: flyteadmin/pkg/runtime/registration_validation_provider.go."""

FINAL = (
    execution_pb2.WorkflowExecution.SUCCEEDED,
    execution_pb2.WorkflowExecution.FAILED,
    execution_pb2.WorkflowExecution.TIMED_OUT,
    execution_pb2.WorkflowExecution.ABORTED,
)


def identifier(named: Any) -> None:
    """Nothing is left empty: flyteadmin/pkg/manager/impl/validation/validation.go."""
    for field in ("project", "domain", "name", "version"):
        if not getattr(named, field):
            raise Refused(f"missing {field}")


def task(template: Any, limits: dict[str, str]) -> None:
    """A task that says how it runs, in containers: flyteadmin/pkg/manager/impl/validation/task_validator.go."""
    if not template.type:
        raise Refused("missing type")
    if template.HasField("container") and not template.container.image:
        raise Refused("missing image")
    if template.HasField("k8s_pod"):
        for container in pod_of(template)["containers"]:
            if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", container["name"]):
                raise Refused(
                    "Collected Errors: 1\n\tError 0: Code: InvalidValue, Description: Invalid value [k8s pod spec container name]."
                )
            resources(container.get("resources", {}), limits)
    elif template.HasField("container"):
        entries = template.container.resources
        named = [{type(e).ResourceName.Name(e.name).lower(): e.value for e in each} for each in (entries.requests, entries.limits)]
        resources(dict(zip(("requests", "limits"), named, strict=True)), limits)


def resources(asked: dict[str, dict[str, str]], limits: dict[str, str]) -> None:
    """Requests are at most limits, those at most the platform's, of GPUs both equal: flyteadmin/.../validation/task_validator.go.

    Compared as whole numbers, rounded up, as the real one does.
    """

    def whole(quantity: str) -> int:
        return -int(-parse_quantity(quantity) // 1)

    own = asked.get("limits", {})
    for name, request in asked.get("requests", {}).items():
        limit, platform, label = own.get(name), limits.get(name), name.upper()
        if name == "gpu" and limit and whole(limit) != whole(request):
            raise Refused("For extended resource 'gpu' the default value must equal the limit value")
        if limit and whole(limit) < whole(request):
            raise Refused(f"Requested {label} default [{request}] is greater than the limit [{limit}]. Please fix your configuration")
        for word, value in (("limit", limit), ("default", request)):
            if value and platform and whole(value) > whole(platform):
                raise Refused(
                    f"Requested {label} {word} [{value}] is greater than current limit set in the platform configuration "
                    f"[{platform}]. Please contact Flyte Admins to change these limits or consult the configuration"
                )


def workflow(request: Any) -> None:
    """Not more nodes than the platform takes: flyteadmin/pkg/manager/impl/validation/workflow_validator.go."""
    number = len(request.spec.template.nodes)
    if number > NODES:
        raise Refused(f"number of nodes in workflow [{request.id}] exceeds limit ({number} > {NODES})")


def launch_plan(request: Any, interface: Any) -> None:
    """Inputs that the workflow has, of its types; a schedule that can start; mails with somebody to read them: launch_plan_validator.go."""
    labels(request.spec.labels.values)
    expected = expected_inputs(interface, request.spec.fixed_inputs.literals, request.spec.default_inputs.parameters)
    schedule(request.spec.entity_metadata.schedule, expected)
    notifications(request.spec.entity_metadata.notifications)


def expected_inputs(interface: Any, fixed: Any, defaults: Any) -> Any:
    """What is open at launch: flyteadmin/pkg/manager/impl/validation/launch_plan_validator.go."""
    variables = interface.inputs.variables
    for name, parameter in defaults.items():
        if name not in variables:
            raise Refused(f"unexpected default_input {name}")
        if not types.castable(parameter.var.type, variables[name].type):
            raise Refused(
                f"invalid default_input wrong type {name}, expected {types.name(parameter.var.type)}, "
                f"got {types.name(variables[name].type)} instead"
            )
        if parameter.HasField("default") and not types.castable(types.of_literal(parameter.default), parameter.var.type):
            raise Refused(f"Type mismatch for Parameter {name} in default_inputs has type {types.name(parameter.var.type)}")
    for name, literal in fixed.items():
        if name not in variables:
            raise Refused(f"unexpected fixed_input {name}")
        if not types.castable(types.of_literal(literal), variables[name].type):
            raise Refused(f"invalid fixed_input wrong type {name}, expected {types.name(variables[name].type)}")
    required = {name: interface_pb2.Parameter(var=variable, required=True) for name, variable in variables.items() if name not in fixed}
    return interface_pb2.ParameterMap(parameters={**required, **{name: defaults[name] for name in defaults}})


def schedule(planned: Any, expected: Any) -> None:
    """A time that there is, and nothing left open at that time: flyteadmin/pkg/manager/impl/validation/launch_plan_validator.go."""
    if planned.WhichOneof("ScheduleExpression") is None:
        return
    for name, parameter in sorted(expected.parameters.items()):
        if parameter.required and name != planned.kickoff_time_input_arg:
            raise Refused(f"Cannot create a launch plan with a schedule if there is an unbound required input. [{name}] is required")
    cron = planned.cron_expression or planned.cron_schedule.schedule
    if cron and not cron.startswith("@") and (len(cron.split()) != 5 or not croniter.is_valid(cron)):
        raise Refused(f"Invalid cron expression: failed to parse {cron!r}")


def notifications(asked: Any) -> None:
    """Somebody hears, and of an end: flyteadmin/pkg/manager/impl/validation/notifications_validator.go."""
    for each in asked:
        kind = each.WhichOneof("type")
        if kind is None:
            raise Refused("invalid value for notification type")
        recipients = getattr(each, kind).recipients_email
        if not recipients:
            raise Refused("missing recipients")
        if "" in recipients:
            raise Refused("missing recipient")
        if set(each.phases) - set(FINAL):
            raise Refused("invalid value for phase")


def labels(given: Any) -> None:
    """At most 16, as Kubernetes takes them: flyteadmin/pkg/manager/impl/validation/validation.go."""
    if len(given) > 16:
        raise Refused("labels map cannot exceed 16 entries")
    for key, value in given.items():
        if not re.fullmatch(r"([-a-z0-9.]{1,253}/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?", key):
            raise Refused(f"invalid label key [{key}]: name part must consist of alphanumeric characters, '-', '_' or '.'")
        if not re.fullmatch(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?", value):
            raise Refused(f"invalid label value [{value}]: a valid label must be an empty string or consist of alphanumeric characters")


def execution(request: Any) -> None:
    """A name that Kubernetes takes, and mails that somebody reads: flyteadmin/pkg/manager/impl/validation/execution_validator.go."""
    if len(request.name) > 63:
        raise Refused(f"size of name exceeded length 63 : {request.name.lower()}")
    if request.name and not re.fullmatch(r"[a-z][a-z\-0-9]*", request.name.lower()):
        raise Refused(f"invalid name format: {request.name.lower()}, does not match regex '^[a-z][a-z\\-0-9]*$'")
    if request.spec.launch_plan.resource_type not in (identifier_pb2.LAUNCH_PLAN, identifier_pb2.TASK):
        raise Refused(f"Invalid reference entity resource type [{request.spec.launch_plan.resource_type}]")
    notifications(request.spec.notifications.notifications)
    labels(request.spec.labels.values)


def inputs(given: Any, fixed: Any, expected: Any) -> literals_pb2.LiteralMap:
    """What an execution starts with, none missing, none of another type, none that is fixed: execution_validator.go."""
    values = {}
    for name, literal in given.items():
        if name not in expected:  # nor may what is fixed be given
            raise Refused(f"invalid input {name}")
        if not types.castable(types.of_literal(literal), expected[name].var.type):
            raise Refused(
                f"invalid {name} input wrong type. Expected {types.name(expected[name].var.type)}, "
                f"but got {types.name(types.of_literal(literal))}"
            )
        values[name] = literal
    for name, parameter in expected.items():
        if name not in values and parameter.required:
            raise Refused(f"expected_inputs {name} missing")
        values.setdefault(name, parameter.default)
    return literals_pb2.LiteralMap(literals={**values, **{name: fixed[name] for name in fixed}})
