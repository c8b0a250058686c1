"""What the nodes of a workflow are given and give: literals, and the keys they are remembered by."""

import hashlib
from typing import Any

from flyteidl.core import condition_pb2, execution_pb2, literals_pb2

Literals = dict[str, Any]

NOTHING = literals_pb2.Literal(scalar=literals_pb2.Scalar(none_type=literals_pb2.Void()))


class Failed(Exception):
    """A node that failed, with Flyte's *error*; it may be tried again if it is *retryable*."""

    def __init__(self, code: str, message: str, kind: int = execution_pb2.ExecutionError.USER, retryable: bool = False):
        super().__init__(message)
        self.error = execution_pb2.ExecutionError(code=code, message=message, kind=kind)
        self.retryable = retryable


def bound(data: Any, given: dict[str, Literals]) -> Any:
    """The literal of a binding, from what each node gave: flytepropeller/pkg/controller/nodes/resolve.go."""
    kind = data.WhichOneof("value")
    if kind == "scalar":
        return literals_pb2.Literal(scalar=data.scalar)
    if kind == "collection":
        items = [bound(each, given) for each in data.collection.bindings]
        return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=items))
    if kind == "map":
        entries = {name: bound(each, given) for name, each in data.map.bindings.items()}
        return literals_pb2.Literal(map=literals_pb2.LiteralMap(literals=entries))
    literal = given[data.promise.node_id][data.promise.var]
    for step in data.promise.attr_path:
        within = literal.collection.literals if literal.HasField("collection") else literal.map.literals
        literal = within[getattr(step, step.WhichOneof("value"))]
    return literal


def holds(condition: Any, inputs: Literals) -> bool:
    """Whether a branch is taken: flytepropeller/pkg/controller/nodes/branch/evaluator.go."""
    if condition.WhichOneof("expr") == "conjunction":
        sides = [holds(side, inputs) for side in (condition.conjunction.left_expression, condition.conjunction.right_expression)]
        return any(sides) if condition.conjunction.operator == condition_pb2.ConjunctionExpression.OR else all(sides)
    left, right = (
        _value(operand.primitive if operand.WhichOneof("val") == "primitive" else inputs[operand.var].scalar.primitive)
        for operand in (condition.comparison.left_value, condition.comparison.right_value)
    )
    compare = {
        condition_pb2.ComparisonExpression.EQ: left == right,
        condition_pb2.ComparisonExpression.NEQ: left != right,
    }
    return compare[condition.comparison.operator]


def _value(primitive: Any) -> Any:
    return getattr(primitive, primitive.WhichOneof("value"))


def items(inputs: Literals, kept_whole: list[str]) -> list[Literals]:
    """The inputs of each item of a map task: every list is mapped over: flytepropeller/pkg/controller/nodes/array/handler.go."""
    lists = {name: literal.collection.literals for name, literal in inputs.items() if literal.HasField("collection")}
    mapped = {name: values for name, values in lists.items() if name not in kept_whole}
    if not mapped:
        raise Failed("InvalidArrayLength", "no input array provided")
    lengths = [len(values) for values in mapped.values()]
    for length in lengths:
        if length != lengths[0]:
            raise Failed("InvalidArrayLength", f"input arrays have different lengths: expecting '{lengths[0]}' found '{length}'")
    return [{**inputs, **{name: values[index] for name, values in mapped.items()}} for index in range(lengths[0])]


def catalogue_key(template: Any, inputs: Literals) -> str:
    """What a task's outputs are remembered by: .../catalog/datacatalog/transformer.go, flyteplugins/.../catalog/hashing.go.

    Its name, interface and version, and its inputs but for those that are ignored; of a literal with a hash, that alone.
    """
    ignored = template.metadata.cache_ignore_input_vars
    hashed = literals_pb2.LiteralMap(literals={name: _hashed(each) for name, each in inputs.items() if name not in ignored})
    parts = [template.id.project, template.id.domain, template.id.name, template.metadata.discovery_version]
    whole = [part.encode() for part in parts] + [each.SerializeToString(deterministic=True) for each in (template.interface, hashed)]
    return hashlib.sha256(b"\0".join(whole)).hexdigest()


def _hashed(literal: Any) -> Any:
    if literal.hash:
        return literals_pb2.Literal(hash=literal.hash)
    if literal.HasField("collection"):
        return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=map(_hashed, literal.collection.literals)))
    if literal.HasField("map"):
        entries = {name: _hashed(each) for name, each in literal.map.literals.items()}
        return literals_pb2.Literal(map=literals_pb2.LiteralMap(literals=entries))
    return literal
