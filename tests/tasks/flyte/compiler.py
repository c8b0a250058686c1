"""What a workflow must be like to be registered: the rules of propeller's compiler."""

from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

from flyteidl.core import interface_pb2, workflow_pb2

from tests.tasks.flyte import types
from tests.tasks.flyte.refused import Refused

Variables = dict[str, types.Type]


def branches(node: Any) -> list[Any]:
    """The nodes between which a branch node chooses, in order, and last the one for *else*."""
    choice = node.branch_node.if_else
    otherwise = [choice.else_node] if choice.HasField("else_node") else []
    return [choice.case.then_node, *(case.then_node for case in choice.other), *otherwise]


def compiled(workflow: Any) -> Any:
    """*workflow* as Admin keeps it: upstream nodes in order, and what is in a branch named after it: .../validators/node.go."""
    copy = workflow_pb2.WorkflowTemplate()
    copy.CopyFrom(workflow)
    for node in copy.nodes:
        node.upstream_node_ids.sort()
        if node.WhichOneof("target") == "branch_node":
            for inner in branches(node):
                inner.id = f"{node.id}-{inner.id}"
                inner.upstream_node_ids.sort()
    return copy


def compile_workflow(workflow: Any, task: Callable[[Any], Any], within: Iterable[Any] = ()) -> None:
    """Refuse a *workflow* with what its compiler collects: flytepropeller/pkg/compiler/workflow_compiler.go.

    *task* gives the template of an identifier, or nothing; *within* are the workflows that it runs as nodes, which are compiled first.
    """
    known = {types.name(each.id): each for each in within}
    errors = list(dict.fromkeys(error for each in (*known.values(), workflow) for error in _Compiler(each, task, known).errors()))
    if errors:
        lines = (f"Error {number}: Code: {code}, Node Id: {node}, Description: {what}" for number, (code, node, what) in enumerate(errors))
        collected = "\n\t".join([f"Collected Errors: {len(errors)}", *lines])
        raise Refused(f"failed to compile workflow for [{types.name(workflow.id)}] with err: {collected}\n")


Error = tuple[str, str, str]
"""Code, node and description."""


class _Compiler:
    def __init__(self, workflow: Any, task: Callable[[Any], Any], within: dict[str, Any]):
        self.workflow, self.task, self.within = workflow, task, within
        self.nodes = {node.id: node for node in workflow.nodes}

    def errors(self) -> Iterator[Error]:
        if not self.workflow.nodes:
            yield "NoNodesFound", self.workflow.id.name, f"Can't find any nodes in workflow [{self.workflow.id.name}]."
        yield from self._ids()
        missing = list(self._targets())
        yield from missing
        if missing:
            return
        for node in self.workflow.nodes:
            yield from self._bindings(node.id, node.inputs, self._inputs(node))
            for inner in branches(node) if self._is_branch(node) else ():
                yield from self._bindings(inner.id, inner.inputs, self._inputs(inner))
            if self._is_branch(node):
                yield from self._branch(node)
        yield from self._bindings("end-node", self.workflow.outputs, _kinds(self.workflow.interface.outputs))
        yield from self._order()

    def _ids(self) -> Iterator[Error]:
        """Every node has an id of its own: .../validators/node.go.

        Of two alike the real one keeps the first, and loses the other without a word.
        """
        ids = [node.id for node in self.workflow.nodes]
        if "" in ids:
            yield "ValueRequired", "<node>", "Value required [Id]."
        for each in sorted({each for each in ids if ids.count(each) > 1}):
            yield "DuplicateId", each, "Trying to insert two nodes with the same id."

    def _targets(self) -> Iterator[Error]:
        """What a node runs is registered: flytepropeller/pkg/compiler/workflow_compiler.go."""
        for node in self.workflow.nodes:
            for inner in branches(node) if self._is_branch(node) else [node]:
                reference = _reference(inner)
                if inner.WhichOneof("target") == "gate_node":
                    continue
                if reference is None:
                    yield "ValueRequired", inner.id, "Value required [Target]."
                elif self._runs(inner) is None:
                    kind = "Workflow" if inner.WhichOneof("target") == "workflow_node" else "Task"
                    yield f"{kind}ReferenceNotFound", "start-node", f"Referenced {kind} [{types.name(reference)}] not found."

    def _order(self) -> Iterator[Error]:
        """No node waits for itself, or for one that is not there: flytepropeller/pkg/compiler/workflow_compiler.go.

        The real one finds the latter out when it runs, unless nothing else leads to the node.
        """
        waits = {node.id: upstream(node) for node in self.workflow.nodes}
        for node, before in waits.items():
            for missing in sorted(before - waits.keys()):
                yield "UnreachableNodes", "start-node", f"The Workflow contain unreachable nodes [{node}], which waits for [{missing}]."
        try:
            list(TopologicalSorter(waits).static_order())
        except CycleError as error:
            yield "CycleDetected", "start-node", f"A cycle has been detected while traversing the Workflow [{'>'.join(error.args[1])}]."

    def _bindings(self, node: str, bindings: Any, expected: Variables | None) -> Iterator[Error]:
        """Each input is bound once and to its type, and no other is: flytepropeller/pkg/compiler/validators/bindings.go."""
        bound: set[str] = set()
        for binding in bindings:
            if expected is not None and binding.var not in expected:
                yield "VariableNameNotFound", node, f"Variable [{binding.var}] not found on node [{node}]."
            elif binding.var in bound:
                yield "ParameterBoundMoreThanOnce", node, f"Input [{binding.var}] is bound more than once."
            else:
                bound.add(binding.var)
                yield from self._binding(node, binding.var, binding.binding, None if expected is None else expected[binding.var])
        for name, kind in (expected or {}).items():
            if name not in bound and types.NONE not in kind.union_type.variants:
                yield "ParameterNotBound", node, f"Parameter not bound [{name}]."

    def _binding(self, node: str, name: str, data: Any, expected: types.Type | None) -> Iterator[Error]:
        """A constant, an output of another node, or a list or map of those: flytepropeller/pkg/compiler/validators/bindings.go."""
        kind = data.WhichOneof("value")
        if kind == "promise":
            yield from self._promise(node, name, data.promise, expected)
        elif kind == "scalar":
            yield from _constant(node, name, data.scalar, expected)
        elif kind in ("collection", "map"):
            field = "collection_type" if kind == "collection" else "map_value_type"
            if expected is not None and expected.WhichOneof("type") != field:
                yield (
                    "MismatchingBindings",
                    node,
                    f"Input [{name}] on node [{node}] expects bindings of type [{types.name(expected)}].  Received [{kind}]",
                )
            for each in data.collection.bindings if kind == "collection" else data.map.bindings.values():
                yield from self._binding(node, name, each, None if expected is None else getattr(expected, field))
        else:
            yield "ParameterNotBound", node, f"Parameter not bound [{name}]."

    def _promise(self, node: str, name: str, promise: Any, expected: types.Type | None) -> Iterator[Error]:
        """An output of a node that is there: flytepropeller/pkg/compiler/validators/bindings.go."""
        if promise.node_id and promise.node_id not in self.nodes:
            yield "NodeReferenceNotFound", promise.node_id, f"Referenced node [{promise.node_id}] not found."
            yield "ParameterNotBound", node, f"Parameter not bound [{name}]."
            return
        given = self._promised(promise)
        if given is None:
            yield "VariableNameNotFound", promise.node_id, f"Variable [{promise.var}] not found on node [{promise.node_id}]."
        elif expected is not None and not types.castable(given, expected):
            yield (
                "MismatchingTypes",
                node,
                f"The output variable '{promise.var}' has type [{types.name(given)}], but it's assigned to the input variable "
                f"'{name}' which has type type [{types.name(expected)}].",
            )

    def _promised(self, promise: Any) -> types.Type | None:
        """The type of what is promised: flytepropeller/pkg/compiler/validators/bindings.go."""
        from_inputs = not promise.node_id
        variables = _kinds(self.workflow.interface.inputs) if from_inputs else self._outputs(self.nodes[promise.node_id])
        kind = variables.get(promise.var)
        for _ in promise.attr_path if kind else ():
            kind = kind.collection_type if kind.WhichOneof("type") == "collection_type" else kind.map_value_type
        return kind

    def _branch(self, node: Any) -> Iterator[Error]:
        """Every case has a condition and the same outputs, and there is one for all else: .../validators/branch.go and node.go."""
        choice = node.branch_node.if_else
        if not choice.HasField("else_node") and not choice.HasField("error"):
            yield "BranchNodeHasNoDefault", node.id, "Branch Node must have either the else case set or a default error."
        bound = {each.var: each.binding for each in node.inputs}
        for case in (choice.case, *choice.other):
            yield from self._condition(node.id, case.condition, bound)
        first, *others = [self._outputs(inner) for inner in branches(node)]
        for inner, outputs in zip(branches(node)[1:], others, strict=True):
            for name in sorted(first.keys() & outputs.keys()):
                if first[name] != outputs[name]:
                    yield "MismatchingTypes", inner.id, _mismatch(name, outputs[name], first[name])

    def _condition(self, node: str, condition: Any, bound: dict[str, Any]) -> Iterator[Error]:
        """Both sides are of one type, to the letter: flytepropeller/pkg/compiler/validators/condition.go."""
        if condition.WhichOneof("expr") == "conjunction":
            for side in (condition.conjunction.left_expression, condition.conjunction.right_expression):
                yield from self._condition(node, side, bound)
            return
        if condition.WhichOneof("expr") is None:
            yield "BranchNodeHasNoCondition", node, "One of the branches on the node doesn't have a condition."
            return
        kinds = []
        for operand in (condition.comparison.right_value, condition.comparison.left_value):
            if operand.WhichOneof("val") == "primitive":
                kinds.append(types.of_primitive(operand.primitive))
            elif operand.var not in bound:
                yield "VariableNameNotFound", node, f"Variable [{operand.var}] not found on node [{node}]."
            else:
                data = bound[operand.var]
                kind = self._promised(data.promise) if data.HasField("promise") else types.of_scalar(data.scalar)
                if kind is not None:  # else it was collected with the bindings
                    kinds.append(kind)
        if len(kinds) == 2 and kinds[0] != kinds[1]:
            yield "MismatchingTypes", node, _mismatch("RightValue", *kinds)

    def _is_branch(self, node: Any) -> bool:
        return node.WhichOneof("target") == "branch_node"

    def _template(self, node: Any) -> interface_pb2.TypedInterface:
        template = self._runs(node)
        return template.interface if template is not None else interface_pb2.TypedInterface()

    def _runs(self, node: Any) -> Any:
        """The template of the task or workflow behind a node, if there is one."""
        reference = _reference(node)
        if reference is None:
            return None
        return self.within.get(types.name(reference)) if node.WhichOneof("target") == "workflow_node" else self.task(reference)

    def _inputs(self, node: Any) -> Variables | None:
        """What must be bound; nothing in particular for a branch, which is given what its conditions and cases need."""
        return None if self._is_branch(node) else _kinds(self._template(node).inputs)

    def _outputs(self, node: Any) -> Variables:
        """What a node gives; a branch, what all of its cases have: flytepropeller/pkg/compiler/validators/branch.go."""
        if node.WhichOneof("target") == "gate_node":  # what somebody is asked for: flytepropeller/pkg/compiler/validators/interface.go
            return {node.gate_node.signal.output_variable_name: node.gate_node.signal.type}
        if not self._is_branch(node):
            return _kinds(self._template(node).outputs)
        first, *others = [self._outputs(inner) for inner in branches(node)]
        return {name: kind for name, kind in first.items() if all(name in outputs for outputs in others)}


def upstream(node: Any) -> set[str]:
    """The nodes for which *node* waits, by order or by what is bound: flytepropeller/pkg/compiler/workflow_compiler.go."""
    inner = branches(node) if node.WhichOneof("target") == "branch_node" else []
    named = {each for one in (node, *inner) for each in one.upstream_node_ids}
    bound = {promise.node_id for one in (node, *inner) for binding in one.inputs for promise in promises(binding.binding)}
    return (named | bound) - {"", "start-node", node.id, *(one.id for one in inner)}


def promises(data: Any) -> Iterator[Any]:
    """All promises within a binding."""
    if data.HasField("promise"):
        yield data.promise
    for each in (*data.collection.bindings, *data.map.bindings.values()):
        yield from promises(each)


def _constant(node: str, name: str, scalar: Any, expected: types.Type | None) -> Iterator[Error]:
    """A constant of the type, and of an Enum one of its values: flytepropeller/pkg/compiler/validators/bindings.go."""
    if expected is None:
        return
    if not types.castable(types.of_scalar(scalar), expected):
        yield "MismatchingTypes", node, _mismatch(name, types.of_scalar(scalar), expected)
    values, value = expected.enum_type.values, scalar.primitive.string_value
    if expected.WhichOneof("type") == "enum_type" and value not in values:
        said = f"Input [{name}] on node [{node}] is an Enum and expects value to be one of [[{' '.join(values)}]].  Received [{value}]"
        yield "IllegalEnumValue", node, said


def _mismatch(name: str, given: types.Type, expected: types.Type) -> str:
    return f"Variable [{name}] (type [{types.name(given)}]) doesn't match expected type [{types.name(expected)}]."


def _reference(node: Any) -> Any:
    """The task behind a node, or behind each of its items, or the workflow that it is."""
    target = node.WhichOneof("target")
    if target == "workflow_node":
        return node.workflow_node.sub_workflow_ref
    if target == "array_node":
        return _reference(node.array_node.node)
    return node.task_node.reference_id if target == "task_node" else None


def _kinds(variables: Any) -> Variables:
    return {name: variable.type for name, variable in variables.variables.items()}
