"""A task is cached until the library code behind it changes; a comment or a docstring costs no GPU hours."""

import ast
import functools
import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

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
            digest.update(_fingerprint(name))
        return digest.hexdigest()


def _closure(module: str) -> set[str]:
    seen: set[str] = set()
    todo = {module}
    while todo:
        seen.add(name := todo.pop())
        todo |= set(_imports(name)) - seen
    return seen


def _imports(name: str) -> Iterator[str]:
    for node in ast.walk(_parsed(name)):
        named = []
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (found for found in named if found.split(".")[0] == LIBRARY and _path(found))


def _fingerprint(name: str) -> bytes:
    path = _path(name)
    assert path is not None
    template = path.with_suffix(".html")
    return ast.dump(_parsed(name)).encode() + (template.read_bytes() if template.exists() else b"")


@functools.cache
def _parsed(name: str) -> ast.Module:
    path = _path(name)
    assert path is not None
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            del body[0]
    return tree


@functools.cache
def _path(name: str) -> Path | None:
    """The file of a library module, found without importing its parents."""
    spec = find_spec(LIBRARY)
    assert spec is not None and spec.origin is not None
    base = Path(spec.origin).parent.joinpath(*name.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
