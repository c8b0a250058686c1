"""Types of values, and which may be given where another is expected."""

from collections.abc import Iterable
from typing import Any

from flyteidl.core import types_pb2
from google.protobuf import text_format

Type = types_pb2.LiteralType
NONE = Type(simple=types_pb2.NONE)


def name(kind: Any) -> str:
    """*kind*, or an identifier, as messages have it: flytepropeller/pkg/compiler/common/pretty_print.go."""
    return text_format.MessageToString(kind, as_one_line=True).replace(": ", ":")


def castable(given: Type, expected: Type) -> bool:
    """Whether a value of type *given* may be bound where *expected* is: flytepropeller/pkg/compiler/validators/typing.go."""
    if given.WhichOneof("type") == "union_type" and len(given.union_type.variants) == 1:
        given = given.union_type.variants[0]
    kind = expected.WhichOneof("type")
    if kind in ("collection_type", "map_value_type"):
        inner = getattr(given, kind) if given.WhichOneof("type") == kind else None
        return inner is not None and (inner == NONE or castable(inner, getattr(expected, kind)))
    if kind == "blob":
        formats = given.blob.format, expected.blob.format
        return given.WhichOneof("type") == "blob" and ("" in formats or formats[0] == formats[1])
    if kind == "union_type":
        variants = list(expected.union_type.variants)
        if given.WhichOneof("type") == "union_type":
            return all(any(castable(each, variant) for variant in variants) for each in given.union_type.variants)
        return sum(castable(given, variant) for variant in variants) == 1
    return _same(given, expected)


def _same(given: Type, expected: Type) -> bool:
    """Whether two types without others inside agree; text may be given as an Enum, and an Enum as text."""
    if {given.WhichOneof("type"), expected.WhichOneof("type")} == {"enum_type", "simple"}:
        return types_pb2.STRING in (given.simple, expected.simple)
    if given.structure.tag and given.structure.tag != expected.structure.tag:
        return False
    bare = [Type(), Type()]
    for copy, kind in zip(bare, (given, expected), strict=True):
        copy.CopyFrom(kind)
        for field in ("structure", "metadata", "annotation"):
            copy.ClearField(field)
    return bare[0] == bare[1]


def of_scalar(scalar: Any) -> Type:
    """The type of a constant: flytepropeller/pkg/compiler/validators/utils.go."""
    kind = scalar.WhichOneof("value")
    if kind == "primitive":
        return of_primitive(scalar.primitive)
    if kind == "blob":
        return Type(blob=scalar.blob.metadata.type)
    if kind == "union":
        return Type(union_type=types_pb2.UnionType(variants=[scalar.union.type]))
    return {"none_type": NONE, "binary": Type(simple=types_pb2.STRUCT), "generic": Type(simple=types_pb2.STRUCT)}[kind]


def of_primitive(primitive: Any) -> Type:
    """The type of a number, a text, a truth or a time: flytepropeller/pkg/compiler/validators/utils.go."""
    kind = {"string_value": "STRING", "float_value": "FLOAT"}.get(primitive.WhichOneof("value"), primitive.WhichOneof("value").upper())
    return Type(simple=types_pb2.SimpleType.Value(kind))


def of_literal(literal: Any) -> Type:
    """The type of a value: flytepropeller/pkg/compiler/validators/utils.go."""
    kind = literal.WhichOneof("value")
    if kind == "collection":
        return Type(collection_type=_of_all(literal.collection.literals))
    if kind == "map":
        return Type(map_value_type=_of_all(literal.map.literals.values()))
    return of_scalar(literal.scalar)


def _of_all(literals: Iterable[Any]) -> Type:
    """The one type of many values: none if there are none, a union if they differ."""
    kinds = {name(kind): kind for kind in map(of_literal, literals)}
    if len(kinds) > 1:
        return Type(union_type=types_pb2.UnionType(variants=[kinds[key] for key in sorted(kinds)]))
    return next(iter(kinds.values()), NONE)
