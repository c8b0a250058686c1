"""A digest of code follows all that a module computes with, and nothing else."""

import sys
from pathlib import Path

import pytest

from trainworks import code

ROOT = Path(__file__).parents[1]


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """Write a small library and give the digest of its module `stage`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "LIBRARY", "toylib")
    caches = (code._parsed, code._path)

    def clear():
        for cache in caches:
            cache.cache_clear()
        for module in [m for m in sys.modules if m.startswith("toylib")]:
            del sys.modules[module]

    def digest(files):
        for name, text in {"__init__": "", "room/__init__": "", **files}.items():
            path = tmp_path / "toylib" / (name if "." in name else f"{name}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        clear()
        return code.digest("toylib.stage")

    yield digest
    clear()


STAGE = "from toylib import near\nfrom toylib.far import f\n\ndef stage():\n    return f(near.x)\n"
FILES = {
    "stage": STAGE,
    "stage.html": '{% extends "frame.html" %}{%- from "room/table.html" import table %}',
    "frame.html": "<html>",
    "room/table.html": "<table>",
    "room/list.html": "<ul>",
    "near": "x = 1\n",
    "far": "def f(x):\n    from .room import further\n    return x + further.y\n",
    "room/further": "from ..limits import BOUND as y\n",
    "limits": "BOUND = 2\n",
    "room/aside": "z = 1\n",
}


@pytest.mark.parametrize(
    "changed",
    [
        {"stage": STAGE + "a = 1\n"},
        {"near": "x = 2\n"},
        {"room/further": "y = 3\n"},
        {"limits": "BOUND = 3\n"},
        {"stage.html": "<p>"},
        {"frame.html": "<p>"},
        {"room/table.html": "<p>"},
    ],
    ids=lambda files: next(iter(files)),
)
def test_a_change_of_code_is_another_digest(digest, changed):
    """In the module itself, in what it imports at its top or later, in what that imports, in a template and in what it is made of."""
    assert digest(FILES) != digest({**FILES, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"stage": "# why\n" + STAGE},
        {"stage": STAGE.replace("    return", '    """Do it."""\n    return')},
        {"near": "x  =  1\n"},
        {"room/aside": "z = 2\n"},
        {"room/list.html": "<p>"},
    ],
)
def test_anything_else_is_not(digest, changed):
    """A comment, a docstring, white space, a module or a template that the stage does not reach."""
    assert digest(FILES) == digest({**FILES, **changed})


def test_a_package_counts_only_for_what_is_taken_from_it(digest):
    """Its modules are named one by one, so that a new version of the library is not a new digest."""
    digest(FILES)
    assert code.closure("toylib.stage") == {f"toylib.{name}" for name in ("stage", "near", "far", "room.further", "limits")}
    versioned = {**FILES, "stage": "from toylib import version\n", "__init__": "version = 1\n"}
    assert digest(versioned) != digest({**versioned, "__init__": "version = 2\n"})
    assert code.closure("toylib.stage") == {"toylib", "toylib.stage"}


def test_packages_hold_no_code():
    """Python runs a package's `__init__` with every module of it, and a digest would not see that."""
    full = [path for path in ROOT.glob("trainworks/*/**/__init__.py") if path.read_text()]
    assert not full


def test_a_module_that_is_none_is_refused():
    """A misspelt stage has no digest."""
    with pytest.raises(ModuleNotFoundError, match=r"no module trainworks.photostock.curration"):
        code.digest("trainworks.photostock.curration")


def test_a_module_is_read_once_however_many_stages_stand_on_it():
    """Reading and parsing is most of what a digest costs, and every `pyflyte` asks for all of them."""
    code._parsed.cache_clear()
    stages = [f"trainworks.photostock.{name}" for name in ("preparation.prepare", "curation.curate", "preparation.prepare")]
    closures = [code.closure(stage) for stage in stages]
    assert code._parsed.cache_info().misses == len(set().union(*closures)) < sum(map(len, closures))
