"""A digest of code: another one when a module computes anything else, the same after a comment, a docstring or a change elsewhere."""

import ast
import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import NamedTuple

LIBRARY = "trainworks"

_INCLUDED = re.compile(r"""{%-?\s*(?:extends|include|from|import)\s+["']([^"']+)["']""")


def digest(*modules: str) -> str:
    """Hexadecimal SHA-256 of *modules*, such as ``trainworks.splits``, and of every module of the library that they reach.

    Code is compared as parsed, without docstrings. A template beside a module (``page.html`` beside ``page.py``) belongs to it,
    and so does every template that it extends, includes or imports from.
    """
    total = hashlib.sha256()
    for name in sorted(closure(*modules)):
        total.update(_parsed(name).code)
    return total.hexdigest()


def closure(*modules: str) -> set[str]:
    """*modules* and every module of the library that they import, wherever they import it, with what these import in turn.

    A package is among them only if a name is taken from its ``__init__``: those of the library are empty.
    """
    seen: set[str] = set()
    todo = set(modules)
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
    if path is None:
        raise ModuleNotFoundError(f"no module {name} in {_folders()[0]}", name=name)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    imports: set[str] = set()
    for node in _blocks_and_statements(tree):
        body = getattr(node, "body", None)
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            del body[0]
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                module = f"{source}.{alias.name}"
                imports.add(module if _path(module) else source)
    words: list[str] = []
    _spell(tree, words.append)
    code = "\n".join([" ".join(words), *_templates(path.with_suffix(".html"))])
    return _Module(code.encode(), frozenset(module for module in imports if _path(module)))


def _blocks_and_statements(node: ast.AST) -> Iterator[ast.AST]:
    """*node* and all statements in it; ``ast.walk`` would visit every expression, ten times as many."""
    yield node
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        for inner in getattr(node, field, ()):
            yield from _blocks_and_statements(inner)


def _spell(node: ast.AST, say: Callable[[str], object]) -> None:
    """What `ast.dump` says, in half its time; not whether a name is loaded or stored, which its place tells."""
    say(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name)
        if isinstance(value, ast.AST):
            if name != "ctx":
                _spell(value, say)
        elif isinstance(value, list):
            say("[")
            for item in value:
                _spell(item, say) if isinstance(item, ast.AST) else say(repr(item))
            say("]")
        else:
            say(repr(value))


def _templates(path: Path) -> list[str]:
    """The texts of the template at *path*, if there is one, and of all that it is made of, each once."""
    texts: dict[Path, str] = {}
    todo = [path]
    while todo:
        path = todo.pop()
        if path not in texts and path.is_file():
            texts[path] = path.read_text()
            todo += [folder / name for name in _INCLUDED.findall(texts[path]) for folder in _folders()]
    return [texts[path] for path in sorted(texts)]


@functools.cache
def _path(name: str) -> Path | None:
    """The file of a module, found without importing its parents; None for a name that is no module of the library."""
    library, *parts = name.split(".")
    if library != LIBRARY:
        return None
    bases = [folder.joinpath(*parts) for folder in _folders()]
    return next((path for base in bases for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _folders() -> list[Path]:
    """The library's own, where its templates' names start too; and where else its rooms are."""
    spec = find_spec(LIBRARY)
    assert spec is not None and spec.submodule_search_locations is not None
    return [Path(folder) for folder in spec.submodule_search_locations]
