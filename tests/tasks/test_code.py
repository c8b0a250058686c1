"""A stage's cache version follows its code: all of it, and nothing but code."""

import sys

import pytest

from tasks import code


@pytest.fixture
def version(tmp_path, monkeypatch):
    """Write a small library and give the version of its module `stage`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "LIBRARY", "toylib")
    (tmp_path / "toylib").mkdir()

    def version(files):
        for name, text in {"__init__": "", **files}.items():
            (tmp_path / "toylib" / (name if "." in name else f"{name}.py")).write_text(text)
        code._parsed.cache_clear()
        code._path.cache_clear()
        for module in [m for m in sys.modules if m.startswith("toylib")]:
            del sys.modules[module]
        return code.CodeOf("stage").get_version("", None)

    return version


STAGE = "from toylib import near\nfrom toylib.far import f\n\ndef stage():\n    return f(near.x)\n"
FILES = {
    "stage": STAGE,
    "near": "x = 1\n",
    "far": "from toylib.further import y\n\ndef f(x):\n    return x + y\n",
    "further": "y = 2\n",
    "aside": "z = 1\n",
}


@pytest.mark.parametrize("changed", [{"stage": STAGE + "a = 1\n"}, {"near": "x = 2\n"}, {"further": "y = 3\n"}, {"stage.html": "<p>"}])
def test_a_change_of_code_is_a_new_version(version, changed):
    """In the module itself, in what it imports, in what that imports, in a template beside it."""
    assert version(FILES) != version({**FILES, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"stage": "# why\n" + STAGE},
        {"stage": STAGE.replace("    return", '    """Do it."""\n    return')},
        {"near": "x  =  1\n"},
        {"aside": "z = 2\n"},
    ],
)
def test_anything_else_is_not(version, changed):
    """A comment, a docstring, white space, a module the stage does not import."""
    assert version(FILES) == version({**FILES, **changed})


def test_a_module_is_read_once_however_many_stages_stand_on_it():
    """Reading and parsing is most of what a version costs, and every `pyflyte` asks for all of them."""
    code._parsed.cache_clear()
    stages = [f"trainworks.photostock.{name}" for name in ("preparation.prepare", "curation.curate", "preparation.prepare")]
    closures = [code._closure(stage) for stage in stages]
    assert code._parsed.cache_info().misses == len(set().union(*closures)) < sum(map(len, closures))


def test_every_stage_of_photostock_has_a_version_of_its_own():
    """The closure of a stage reaches the code it stands on."""
    from trainworks.storage import manifest

    closure = code._closure("trainworks.photostock.preparation.prepare")
    assert {"trainworks.photostock.preparation.decode", "trainworks.photostock.preprocessing.pixels", manifest.__name__} <= closure
    assert "trainworks.photostock.training.train" not in closure
