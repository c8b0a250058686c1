"""What each stage depends on is frozen: its cache, and a training's checkpoints, live as long as none of it changes."""

import ast
from pathlib import Path

import pytest

from tests.test_imports import imports, names_of
from trainworks import code

ROOT = Path(__file__).parents[1]
FROZEN = Path(__file__).with_name("closures.txt")
HEAVY = ("torch", "open_clip", "pytorch_lightning", "timm", "transformers", "peft")


def stages() -> list[str]:
    """The modules behind the stages of all pipelines, each once."""
    nodes = [node for path in ROOT.glob("tasks/*.py") for node in ast.walk(ast.parse(path.read_text()))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "stage"]
    return sorted({call.args[0].value for call in calls})


def closures() -> str:
    """Each stage, and below it one a line the modules that it depends on."""
    lines = []
    for stage in stages():
        modules = sorted(module.removeprefix("trainworks.") for module in code.closure(f"trainworks.{stage}"))
        lines += [stage, *(f"    {module}" for module in modules), ""]
    return "\n".join(lines)


def test_what_a_stage_depends_on_changes_by_decision():
    """A new import re-keys a stage whenever the imported module changes."""
    assert closures() == FROZEN.read_text(), "if every new line is meant: python -m tests.test_closures"


@pytest.mark.parametrize(
    "stage", ["preparation.prepare", "curation.curate", "evaluation.evaluate", "evaluation.behaviour", "delivery.package"]
)
def test_stages_that_read_tables_and_bundles_need_no_torch(stage):
    """Not even in a function of a module that they only read a constant of."""
    modules = code.closure(f"trainworks.photostock.{stage}")
    paths = {module: ROOT / f"{module.replace('.', '/')}.py" for module in modules}
    assert {module for module, path in paths.items() if names_of(imports(path), *HEAVY)} == set()


if __name__ == "__main__":
    FROZEN.write_text(closures())
