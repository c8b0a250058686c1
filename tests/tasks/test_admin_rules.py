"""The stand-in for a control plane refuses what the real one refuses, and what we register passes; changed as it once was, it does not."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import condition_pb2, identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core import execution_pb2 as core_execution
from flyteidl.core import workflow_pb2 as core
from flyteidl.service import admin_pb2_grpc
from flytekit import LaunchPlan
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.tools.translator import get_serializable
from google.protobuf.json_format import ParseDict

from tests.tasks.fake_admin import FakeAdmin
from tests.tasks.flyte import admin_rules, compiler, nodes, pods, types
from tests.tasks.flyte.refused import Refused
from workflows import launch_plans, supermegaretail_plans
from workflows.photostock import photostock
from workflows.sweep import sweep

IMAGES = ImageConfig(images=[Image("cpu", "image", "c"), Image("gpu", "image", "g")])
SETTINGS = SerializationSettings(image_config=IMAGES, project="p", domain="d", version="v")
PLANS = [
    plan
    for module in (launch_plans, supermegaretail_plans)
    for value in vars(module).values()
    for plan in (value if isinstance(value, list) else [value])
    if isinstance(plan, LaunchPlan)
]

LARGE = {"cpu": "64", "memory": "512Gi", "gpu": "8"}
"""The limits of a platform that takes all of it."""


class Sent:
    """What a registration sends: ``tasks``, ``workflows`` and ``plans`` by name."""

    def __init__(self) -> None:
        entities: OrderedDict = OrderedDict()
        for each in (photostock, sweep, *PLANS):
            get_serializable(entities, SETTINGS, each)
        self.tasks: dict[str, Any] = {}
        self.workflows: dict[str, Any] = {}
        self.plans: dict[str, Any] = {}
        for entity in {id(entity): entity.to_flyte_idl() for entity in entities.values()}.values():
            if isinstance(entity, task_pb2.TaskSpec):
                self.tasks[entity.template.id.name] = entity.template
            elif isinstance(entity, workflow_pb2.WorkflowSpec):
                self.workflows[entity.template.id.name] = entity.template
            elif isinstance(entity, launch_plan_pb2.LaunchPlan):
                self.plans[entity.id.name] = entity.spec

    def admit(self, limits: dict[str, str] = LARGE) -> None:
        """Send it to the rules, in the order of a registration; then make every task's pod."""
        for name, template in self.tasks.items():
            admin_rules.task(template, limits)
            refusal = pods.refusal(f"e1-{name.split('.')[-1][:20].replace('_', '-')}-0", pods.completed(pods.pod_of(template), limits))
            if refusal:
                raise Refused(refusal)
        for template in self.workflows.values():
            compiler.compile_workflow(
                compiler.compiled(template), lambda reference: self.tasks.get(reference.name), self.workflows.values()
            )
        for spec in self.plans.values():
            admin_rules.launch_plan(SimpleNamespace(spec=spec), self.workflows[spec.workflow_id.name].interface)

    def node(self, name: str, workflow: str = "workflows.photostock.photostock") -> Any:
        """A node by its id."""
        return next(node for node in self.workflows[workflow].nodes if node.id == name)

    def change_pod(self, name: str, change: Callable[[dict], object]) -> None:
        """Replace the pod of the task *name* by what *change* makes of it."""
        template = self.tasks[name]
        pod = pods.pod_of(template)
        change(pod)
        ParseDict(pod, template.k8s_pod.pod_spec)


@pytest.fixture(scope="module")
def registered() -> Sent:
    """What is registered today."""
    return Sent()


@pytest.fixture
def sent(registered) -> Sent:
    """The same, to be changed."""
    return copy.deepcopy(registered)


def test_all_that_we_register_passes(registered):
    """Every task, workflow and launch plan, and every pod in a namespace that is restricted."""
    registered.admit()
    assert len(registered.tasks) >= 20 and len(registered.workflows) >= 3 and len(registered.plans) > 20


# What we register, changed: the mutation, and the words that it is refused with.


def compare_the_enum(sent: Sent) -> None:
    """As it was: the input itself, an Enum."""
    branch = sent.node("finetune")
    for binding in branch.inputs:
        if binding.var.endswith("train_on"):
            binding.binding.promise.CopyFrom(types_pb2.OutputReference(node_id="", var="train_on"))


def bind_a_text_as_number(sent: Sent) -> None:
    """`seed` from a text."""
    next(b for b in sent.node("untouched").inputs if b.var == "seed").binding.promise.var = "backbone"


def forget_an_input(sent: Sent) -> None:
    """`export` without its checkpoint."""
    node = sent.node("export")
    kept = [binding for binding in node.inputs if binding.var != "checkpoint"]
    del node.inputs[:]
    node.inputs.extend(kept)


def bind_twice(sent: Sent) -> None:
    """`export` with two checkpoints."""
    node = sent.node("export")
    node.inputs.add().CopyFrom(next(binding for binding in node.inputs if binding.var == "checkpoint"))


def bind_what_is_not_asked_for(sent: Sent) -> None:
    """`acquire` with a prompt."""
    sent.node("acquire").inputs[0].var = "prompt"


def take_what_is_not_given(sent: Sent) -> None:
    """Another output of `check`."""
    next(b for b in sent.node("untouched").inputs if b.var == "weights_digest").binding.promise.var = "digest"


def rename_a_node(sent: Sent) -> None:
    """And nobody who takes from it."""
    sent.node("curate").id = "curation"


def two_nodes_alike(sent: Sent) -> None:
    """As both exports would be."""
    sent.node("export-untouched").id = "export"


def wait_for_nobody(sent: Sent) -> None:
    """`acquire` after a node that is not there."""
    sent.node("acquire").upstream_node_ids.append("download")


def wait_for_oneself(sent: Sent) -> None:
    """`untouched` after what waits for it."""
    sent.node("untouched").upstream_node_ids.append("report")


def no_else(sent: Sent) -> None:
    """Nothing trains on a GPU."""
    sent.node("finetune").branch_node.if_else.ClearField("else_node")


def map_over_one(sent: Sent) -> None:
    """`prepare` of a text instead of a list."""
    node = sent.node("prepare")
    binding = next(binding for binding in node.inputs if binding.var == "rows").binding
    binding.promise.CopyFrom(types_pb2.OutputReference(node_id="", var="source"))


def bind_another_enum_value(sent: Sent) -> None:
    """A sampler that there is not."""
    node = sent.node("search", "workflows.sweep.sweep")
    binding = next(binding for binding in node.inputs if binding.var == "sampler").binding
    binding.scalar.primitive.string_value = "bayes"


def an_unknown_workflow(sent: Sent) -> None:
    """`watch` without the workflow that it trains with."""
    del sent.workflows["workflows.supermegaretail.retrain"]


def an_unknown_task(sent: Sent) -> None:
    """`curate` was not registered."""
    del sent.tasks["tasks.photostock.curate"]


def sidecar(pod: dict) -> dict:
    """TensorBoard's container."""
    return next(container for container in pod["containers"] if container["name"] == "tensorboard")


def primary(pod: dict) -> dict:
    """The task's own container."""
    return next(container for container in pod["containers"] if container["name"] == "primary")


FINETUNE, EXPORT = "tasks.photostock.finetune", "tasks.photostock.export"
POD_CHANGES: dict[str, tuple[str, Callable[[dict], object], str]] = {
    "sidecar without limits": (
        FINETUNE,
        lambda pod: sidecar(pod)["resources"].pop("limits"),
        r'spec.containers\[1\].resources.requests: Invalid value: "250m": must be less than or equal to cpu limit of 0',
    ),
    "sidecar limited in CPU only": (
        FINETUNE,
        lambda pod: sidecar(pod)["resources"]["limits"].pop("memory"),
        r'"1Gi": must be less than or equal to memory limit of 0',
    ),
    "GPU requested, another number limited": (
        FINETUNE,
        lambda pod: primary(pod)["resources"].update(limits={"gpu": "2"}),
        "the default value must equal the limit value",
    ),
    "sidecar with a GPU": (
        FINETUNE,
        lambda pod: sidecar(pod)["resources"]["requests"].update({"nvidia.com/gpu": "1"}),
        "must be equal to nvidia.com/gpu limit of 0",
    ),
    "a volume that is not there": (FINETUNE, lambda pod: pod["volumes"].pop(0), 'volumeMounts.*Not found: "work"'),
    "two mounts at one place": (
        FINETUNE,
        lambda pod: [mount.update(mountPath="/dev/shm") for mount in primary(pod)["volumeMounts"]],
        "/dev/shm.*must be unique",
    ),
    "two volumes of one name": (FINETUNE, lambda pod: pod["volumes"].append(pod["volumes"][0]), 'Duplicate value: "work"'),
    "a container with an underscore": (FINETUNE, lambda pod: sidecar(pod).update(name="tensor_board"), "k8s pod spec container name"),
    "two containers of one name": (FINETUNE, lambda pod: sidecar(pod).update(name="primary"), 'Duplicate value: "primary"'),
    "a port too far": (FINETUNE, lambda pod: sidecar(pod)["ports"][0].update(containerPort=70000), "must be between 1 and 65535"),
    "a variable that no shell knows": (
        EXPORT,
        lambda pod: primary(pod).setdefault("env", []).append({"name": "A B", "value": ""}),
        "a valid environment variable name",
    ),
    "root": (
        EXPORT,
        lambda pod: (pod["securityContext"].pop("runAsNonRoot"), primary(pod)["securityContext"].pop("runAsNonRoot")),
        r'violates PodSecurity "restricted:latest": runAsNonRoot != true \(container "primary"',
    ),
    "user 0": (EXPORT, lambda pod: pod["securityContext"].update(runAsUser=0), "runAsUser=0"),
    "privileges": (
        FINETUNE,
        lambda pod: sidecar(pod)["securityContext"].pop("allowPrivilegeEscalation"),
        r'allowPrivilegeEscalation != false \(container "tensorboard"',
    ),
    "capabilities": (EXPORT, lambda pod: primary(pod)["securityContext"].pop("capabilities"), "unrestricted capabilities"),
    "any system call": (
        EXPORT,
        lambda pod: (pod["securityContext"].pop("seccompProfile"), primary(pod)["securityContext"].pop("seccompProfile")),
        "seccompProfile",
    ),
    "a folder of the node": (
        FINETUNE,
        lambda pod: pod["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
        "restricted volume types",
    ),
}


@pytest.mark.parametrize("change", POD_CHANGES)
def test_a_pod_of_ours_that_a_cluster_would_refuse_is_refused(change, sent):
    """At registration, or when the API server gets it; in its words."""
    name, mutate, says = POD_CHANGES[change]
    sent.change_pod(name, mutate)
    with pytest.raises(Refused, match=says):
        sent.admit()


@pytest.mark.parametrize(
    ("mutate", "says"),
    [
        (
            compare_the_enum,
            r"Code: MismatchingTypes, Node Id: finetune, Description: Variable \[RightValue\] \(type \[simple:STRING\]\) "
            r"doesn't match expected type \[enum_type",
        ),
        (bind_a_text_as_number, r"MismatchingTypes, Node Id: untouched.*'backbone' has type \[simple:STRING\].*'seed'"),
        (forget_an_input, r"ParameterNotBound, Node Id: export, Description: Parameter not bound \[checkpoint\]"),
        (bind_twice, r"ParameterBoundMoreThanOnce, Node Id: export"),
        (bind_what_is_not_asked_for, r"VariableNameNotFound, Node Id: acquire, Description: Variable \[prompt\] not found"),
        (take_what_is_not_given, r"VariableNameNotFound, Node Id: check, Description: Variable \[digest\] not found on node \[check\]"),
        (rename_a_node, r"NodeReferenceNotFound, Node Id: curate, Description: Referenced node \[curate\] not found"),
        (two_nodes_alike, "DuplicateId, Node Id: export, Description: Trying to insert two nodes with the same id"),
        (wait_for_nobody, r"UnreachableNodes.*\[download\]"),
        (wait_for_oneself, "CycleDetected.*untouched"),
        (no_else, "BranchNodeHasNoDefault, Node Id: finetune"),
        (map_over_one, r"MismatchingTypes, Node Id: prepare.*'source' has type \[simple:STRING\].*collection_type"),
        (bind_another_enum_value, r"IllegalEnumValue, Node Id: search.*\[grid random tpe\]\].*Received \[bayes\]"),
        (an_unknown_workflow, r"WorkflowReferenceNotFound.*\[.*workflows.supermegaretail.retrain.*\] not found"),
        (an_unknown_task, r"TaskReferenceNotFound.*\[.*tasks.photostock.curate.*\] not found"),
    ],
)
def test_a_workflow_of_ours_that_does_not_compile_is_refused(mutate, says, sent):
    """With the compiler's code, the node and what is wrong."""
    mutate(sent)
    with pytest.raises(Refused, match=says):
        sent.admit()


def mail_to(*recipients: str, phase: int = core_execution.WorkflowExecution.FAILED) -> Any:
    """A notification."""
    return common_pb2.Notification(phases=[phase], email=common_pb2.EmailNotification(recipients_email=recipients))


PLAN_CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "six fields": (
        lambda spec: setattr(spec.entity_metadata.schedule.cron_schedule, "schedule", "0 0 2 * * *"),
        "Invalid cron expression: failed to parse '0 0 2",
    ),
    "hour 25": (
        lambda spec: setattr(spec.entity_metadata.schedule.cron_schedule, "schedule", "0 25 * * *"),
        "Invalid cron expression",
    ),
    "an input left open": (
        lambda spec: spec.fixed_inputs.literals.pop("source"),
        r"with a schedule if there is an unbound required input. \[source\] is required",
    ),
    "nobody to tell": (lambda spec: spec.entity_metadata.notifications.append(mail_to()), "missing recipients"),
    "an empty address": (lambda spec: spec.entity_metadata.notifications.append(mail_to("a@example.com", "")), "missing recipient$"),
    "told of a start": (
        lambda spec: spec.entity_metadata.notifications.append(mail_to("a@example.com", phase=core_execution.WorkflowExecution.RUNNING)),
        "invalid value for phase",
    ),
    "seventeen labels": (lambda spec: spec.labels.values.update({f"label-{n}": "" for n in range(17)}), "labels map cannot exceed 16"),
    "a label with a blank": (lambda spec: spec.labels.values.update({"pipeline": "photo stock"}), r"invalid label value \[photo stock\]"),
    "an input that there is not": (
        lambda spec: spec.fixed_inputs.literals["epocs"].CopyFrom(literal(1)),
        "unexpected fixed_input epocs",
    ),
    "a default of another type": (
        lambda spec: spec.default_inputs.parameters["epochs"].default.CopyFrom(literal("one")),
        "Type mismatch for Parameter epochs",
    ),
    "a fixed input of another type": (
        lambda spec: spec.fixed_inputs.literals["source"].CopyFrom(literal(1)),
        "invalid fixed_input wrong type source",
    ),
}


def literal(value: str | int) -> literals_pb2.Literal:
    """A text or a whole number."""
    primitive = literals_pb2.Primitive(**{"string_value" if isinstance(value, str) else "integer": value})
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=primitive))


@pytest.mark.parametrize("change", PLAN_CHANGES)
def test_a_launch_plan_of_ours_that_admin_would_refuse_is_refused(change, sent):
    """The nightly one, which has a schedule and inputs that are fixed."""
    mutate, says = PLAN_CHANGES[change]
    mutate(sent.plans["photostock.nightly"])
    with pytest.raises(Refused, match=says):
        sent.admit()


def test_the_charts_own_limits_refuse_the_standard_size(sent):
    """Whoever changed nothing has 2 CPU, 1 GiB and one GPU."""
    with pytest.raises(Refused, match=r"MEMORY default \[\d+Gi\] is greater than current limit set in the platform configuration \[1Gi\]"):
        sent.admit(admin_rules.HELM)


@pytest.mark.parametrize(
    ("limits", "says"),
    [({"cpu": "6"}, r"CPU default \[8\]"), ({"memory": "20Gi"}, r"MEMORY default \[32Gi\]"), ({"gpu": "1"}, r"GPU default \[2\]")],
)
def test_a_task_that_asks_for_more_than_the_platform_gives_is_refused(limits, says, sent):
    """Of CPU, memory or GPUs."""
    sent.change_pod(FINETUNE, lambda pod: primary(pod)["resources"]["requests"].update(gpu="2"))
    with pytest.raises(Refused, match=says):
        sent.admit({**LARGE, **limits})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seed": literal("seven")}, r"invalid seed input wrong type. Expected simple:INTEGER, but got simple:STRING"),
        ({"epocs": literal(1)}, "invalid input epocs"),
        ({"source": literal("s3://bucket")}, "invalid input source"),
    ],
)
def test_a_launch_with_wrong_inputs_is_refused(given, says, registered):
    """Of another type, unknown, or fixed."""
    nightly = registered.plans["photostock.nightly"]
    interface = registered.workflows["workflows.photostock.photostock"].interface
    fixed = nightly.fixed_inputs.literals
    expected = admin_rules.expected_inputs(interface, fixed, nightly.default_inputs.parameters).parameters
    with pytest.raises(Refused, match=says):
        admin_rules.inputs(given, fixed, expected)
    assert admin_rules.inputs({"seed": literal(7)}, fixed, expected).literals["seed"] == literal(7)


@pytest.mark.parametrize(
    ("name", "says"), [("e" * 64, "exceeded length 63"), ("Über", "invalid name format"), ("1st", "invalid name format")]
)
def test_an_execution_has_a_name_that_kubernetes_takes(name, says):
    """Or none, and is given one."""
    plan = identifier_pb2.Identifier(resource_type=identifier_pb2.LAUNCH_PLAN)
    with pytest.raises(Refused, match=says):
        admin_rules.execution(execution_pb2.ExecutionCreateRequest(name=name, spec=execution_pb2.ExecutionSpec(launch_plan=plan)))


# Cases that nothing of ours comes near to.


def variables(**kinds: types_pb2.LiteralType) -> interface_pb2.VariableMap:
    """An interface's half."""
    return interface_pb2.VariableMap(variables={name: interface_pb2.Variable(type=kind) for name, kind in kinds.items()})


NUMBER, TEXT = types_pb2.LiteralType(simple=types_pb2.INTEGER), types_pb2.LiteralType(simple=types_pb2.STRING)
LIST = types_pb2.LiteralType(collection_type=NUMBER)
MAYBE = types_pb2.LiteralType(union_type=types_pb2.UnionType(variants=[NUMBER, types_pb2.LiteralType(simple=types_pb2.NONE)]))
CHOICE = types_pb2.LiteralType(enum_type=types_pb2.EnumType(values=["a", "b"]))


@pytest.mark.parametrize(
    ("given", "expected", "may"),
    [
        (NUMBER, NUMBER, True),
        (NUMBER, TEXT, False),
        (CHOICE, TEXT, True),
        (TEXT, CHOICE, True),
        (CHOICE, NUMBER, False),
        (NUMBER, MAYBE, True),
        (TEXT, MAYBE, False),
        (MAYBE, NUMBER, False),
        (MAYBE, MAYBE, True),
        (LIST, LIST, True),
        (NUMBER, LIST, False),
        (LIST, NUMBER, False),
        (types_pb2.LiteralType(collection_type=types_pb2.LiteralType(simple=types_pb2.NONE)), LIST, True),
    ],
)
def test_which_type_may_be_given_for_which(given, expected, may):
    """Text and Enums for each other, an empty list for any list, what may be nothing only where nothing is allowed."""
    assert types.castable(given, expected) is may


def workflow(*bindings: literals_pb2.Binding, condition: Any = None) -> core.WorkflowTemplate:
    """One node, `n0`, of a task with a number and a list of numbers as inputs; in a branch, if there is a *condition*."""
    node = core.Node(id="n0", inputs=bindings, task_node=core.TaskNode(reference_id=identifier_pb2.Identifier(name="task")))
    if condition is not None:
        choice = core.IfElseBlock(case=core.IfBlock(condition=condition, then_node=node), else_node=node)
        node = core.Node(id="branch", inputs=bindings, branch_node=core.BranchNode(if_else=choice))
    return core.WorkflowTemplate(nodes=[node], interface=interface_pb2.TypedInterface(inputs=variables(number=NUMBER, choice=CHOICE)))


def promised(var: str, name: str, node: str = "") -> literals_pb2.Binding:
    """*var* bound to an output of *node*, or to an input."""
    return literals_pb2.Binding(var=var, binding=literals_pb2.BindingData(promise=types_pb2.OutputReference(node_id=node, var=name)))


def listed(*values: str | int) -> literals_pb2.Binding:
    """The list bound to constants."""
    constants = [literals_pb2.BindingData(scalar=literal(value).scalar) for value in values]
    return literals_pb2.Binding(
        var="numbers",
        binding=literals_pb2.BindingData(collection=literals_pb2.BindingDataCollection(bindings=constants)),
    )


def comparison(left: str, right: str | int) -> condition_pb2.BooleanExpression:
    """*left* == *right*."""
    return condition_pb2.BooleanExpression(
        comparison=condition_pb2.ComparisonExpression(
            left_value=condition_pb2.Operand(var=left), right_value=condition_pb2.Operand(primitive=literal(right).scalar.primitive)
        )
    )


BOTH = [promised("number", "number"), listed(1, 2)]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (workflow(*BOTH), ""),
        (workflow(promised("number", "number"), listed(1, "two")), r"MismatchingTypes, Node Id: n0.*Variable \[numbers\]"),
        (workflow(promised("number", "number")), r"ParameterNotBound, Node Id: n0.*\[numbers\]"),
        (workflow(listed(1), promised("number", "choice")), "MismatchingTypes, Node Id: n0"),
        (workflow(listed(1), promised("number", "number", "n9")), r"NodeReferenceNotFound, Node Id: n9"),
        (workflow(listed(1), literals_pb2.Binding(var="number", binding=listed(1).binding)), "MismatchingBindings, Node Id: n0"),
        (workflow(listed(1), literals_pb2.Binding(var="number")), "ParameterNotBound, Node Id: n0"),
        (core.WorkflowTemplate(), "NoNodesFound"),
        (workflow(*BOTH, condition=comparison("number", 1)), ""),
        (workflow(*BOTH, condition=comparison("number", "one")), r"MismatchingTypes, Node Id: branch.*\[RightValue\]"),
        (workflow(*BOTH, promised("choice", "choice"), condition=comparison("choice", "a")), "MismatchingTypes, Node Id: branch"),
        (workflow(*BOTH, condition=comparison("other", 1)), r"VariableNameNotFound, Node Id: branch.*\[other\]"),
        (workflow(*BOTH, condition=condition_pb2.BooleanExpression()), "BranchNodeHasNoCondition, Node Id: branch"),
    ],
)
def test_the_smallest_workflow_that_a_rule_refuses(template, says):
    """And the one beside it that passes."""
    interface = interface_pb2.TypedInterface(inputs=variables(number=NUMBER, numbers=LIST))

    def task(reference: Any) -> Any:
        return tasks_pb2.TaskTemplate(interface=interface)

    if not says:
        compiler.compile_workflow(template, task)
        return
    with pytest.raises(Refused, match=says):
        compiler.compile_workflow(template, task)


def test_a_workflow_of_too_many_nodes_is_refused():
    """A hundred are as many as a platform takes, unless its owner says otherwise."""
    template = core.WorkflowTemplate(nodes=[core.Node(id=f"n{number}") for number in range(101)])
    with pytest.raises(Refused, match=r"exceeds limit \(101 > 100\)"):
        admin_rules.workflow(workflow_pb2.WorkflowCreateRequest(spec=workflow_pb2.WorkflowSpec(template=template)))


@pytest.mark.parametrize(
    ("asked", "gets"),
    [
        ({}, {"cpu": ("100m", "100m"), "memory": ("500Mi", "500Mi")}),
        ({"requests": {"cpu": "1", "memory": "1Gi"}}, {"cpu": ("1", "1"), "memory": ("1Gi", "1Gi")}),
        ({"limits": {"cpu": "1"}}, {"cpu": ("1", "1"), "memory": ("500Mi", "500Mi")}),
        ({"requests": {"cpu": "8", "gpu": "1"}}, {"cpu": ("4", "4"), "memory": ("500Mi", "500Mi"), "nvidia.com/gpu": ("1", "1")}),
    ],
)
def test_what_a_tasks_own_container_does_not_say_is_filled_in(asked, gets):
    """A request by the limit, a limit by the request, both by the platform's default, and neither beyond what it gives."""
    pod = pods.completed({"containers": [{"name": "primary", "resources": asked}]}, {"cpu": "4", "memory": "8Gi", "gpu": "1"})
    resources = pod["containers"][0]["resources"]
    assert {name: (resources["requests"][name], resources["limits"][name]) for name in resources["requests"]} == gets


def numbers(*values: int) -> literals_pb2.Literal:
    """A list."""
    return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=map(literal, values)))


def test_every_list_of_a_map_task_is_mapped_over():
    """So they must be of one length; what is no list, or is bound whole, each item gets as it is."""
    given = {"a": numbers(1, 2), "b": numbers(3, 4), "c": literal("c")}
    assert nodes.items(given, []) == [
        {"a": literal(1), "b": literal(3), "c": literal("c")},
        {"a": literal(2), "b": literal(4), "c": literal("c")},
    ]
    assert nodes.items({**given, "b": numbers(5)}, ["b"])[1]["b"] == numbers(5)
    with pytest.raises(nodes.Failed, match="input arrays have different lengths: expecting '2' found '1'"):
        nodes.items({**given, "b": numbers(5)}, [])
    with pytest.raises(nodes.Failed, match="no input array provided"):
        nodes.items({"c": literal("c")}, [])


def test_a_cache_key_is_of_contents_where_there_are_any():
    """Of a literal with a hash, that alone: where it lies says nothing. Name, version, interface and all other inputs count."""

    def key(value: Any, **template: Any) -> str:
        named = identifier_pb2.Identifier(name=template.get("name", "task"))
        metadata = tasks_pb2.TaskMetadata(discovery_version=template.get("version", "1"))
        return nodes.catalogue_key(tasks_pb2.TaskTemplate(id=named, metadata=metadata), {"input": value})

    here, there = literal("s3://a"), literal("s3://b")
    assert key(here) != key(there)
    here.hash = there.hash = "content"
    assert key(here) == key(there) != key(here, version="2") != key(here, name="other")


@pytest.mark.parametrize("name", ["e1_n0", "E1", "e" * 254, ""])
def test_a_pod_has_a_name_that_dns_takes(name):
    """Lower case, digits and hyphens."""
    pod = pods.completed({"containers": [{"name": "primary"}]}, {})
    assert (pods.refusal(name, pod) or "").startswith(f'Pod "{name}" is invalid: metadata.name')


def test_a_refusal_comes_as_the_real_one_sends_it():
    """A gRPC status with the rule's words; and nothing is kept."""
    admin = FakeAdmin(admin_rules.HELM)
    try:
        stub = admin_pb2_grpc.AdminServiceStub(grpc.insecure_channel(admin.endpoint))
        named = identifier_pb2.Identifier(project="p", domain="d", name="task", version="v")
        request = task_pb2.TaskCreateRequest(id=named)
        request.spec.template.type = "python-task"
        ParseDict(
            {"containers": [{"name": "primary", "resources": {"requests": {"memory": "2Gi"}}}]}, request.spec.template.k8s_pod.pod_spec
        )
        with pytest.raises(grpc.RpcError) as refused:
            stub.CreateTask(request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details().startswith("Requested MEMORY default [2Gi] is greater than current limit")
        assert not admin.tasks
    finally:
        admin.close()
