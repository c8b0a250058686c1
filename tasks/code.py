"""A task is cached until the library code behind it changes; a comment or a docstring costs no GPU hours."""

import ast
import functools
import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

LIBRARY = "trainworks"


class CodeOf:
    """Flytekit cache policy: the version is a hash of *module* and of every library module it imports.

    Code is compared as parsed, without docstrings. A template beside a module (``report.html``
    beside ``report.py``) belongs to it.
    """

    def __init__(self, module: str):
        self.module = f"{LIBRARY}.{module}"

    def get_version(self, salt: str, params: object) -> str:
        """Hexadecimal SHA-256 of the code; *params* is what flytekit passes, and is not needed."""
        digest = hashlib.sha256(salt.encode())
        for name in sorted(_closure(self.module)):
            digest.update(_parsed(name).code)
        return digest.hexdigest()


def _closure(module: str) -> set[str]:
    seen: set[str] = set()
    todo = {module}
    while todo:
        seen.add(name := todo.pop())
        todo |= _parsed(name).imports - seen
    return seen


class _Module(NamedTuple):
    code: bytes
    imports: frozenset[str]


@functools.cache  # every stage stands on much the same modules
def _parsed(name: str) -> _Module:
    """What counts of a library module, and which others it imports."""
    path = _path(name)
    assert path is not None
    tree = ast.parse(path.read_text())
    named: set[str] = set()
    for node in _blocks_and_statements(tree):
        body = getattr(node, "body", None)
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            del body[0]
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            named.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    template = path.with_suffix(".html")
    code = ast.dump(tree).encode() + (template.read_bytes() if template.exists() else b"")
    return _Module(code, frozenset(found for found in named if found.split(".")[0] == LIBRARY and _path(found)))


def _blocks_and_statements(node: ast.AST) -> Iterator[ast.AST]:
    """*node* and all statements in it; ``ast.walk`` would visit every expression, ten times as many."""
    yield node
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        for inner in getattr(node, field, ()):
            yield from _blocks_and_statements(inner)


@functools.cache
def _path(name: str) -> Path | None:
    """The file of a library module, found without importing its parents."""
    spec = find_spec(LIBRARY)
    assert spec is not None and spec.origin is not None
    base = Path(spec.origin).parent.joinpath(*name.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
