"""Who may import whom: the house stands only while these arrows hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted(path.parent.name for path in ROOT.glob("trainworks/*/facts.py"))


def imports(path: Path, top_level: bool = False) -> set[str]:
    """Dotted names that the module at *path* imports, anywhere or only at module level."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules(folder: str) -> list[Path]:
    """The modules below *folder*, as test parameters with readable names."""
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in sorted(ROOT.glob(f"{folder}/**/*.py"))]


def names_of(found: set[str], *packages: str) -> set[str]:
    """Those of *found* that are, or lie in, one of *packages*."""
    return {name for name in found if any(name == package or name.startswith(package + ".") for package in packages)}


@pytest.mark.parametrize("path", modules("trainworks"))
def test_the_library_knows_nothing_of_flyte(path):
    """A later move to another orchestrator touches tasks and workflows only."""
    assert not names_of(imports(path), "flytekit", "flytekitplugins", "tasks", "workflows")


@pytest.mark.parametrize("path", [p for p in modules("trainworks") if p.values[0].relative_to(ROOT).parts[1] not in ROOMS])
def test_the_hall_does_not_know_its_rooms(path):
    """What every pipeline passes through depends on none of them."""
    assert not names_of(imports(path), *(f"trainworks.{room}" for room in ROOMS))


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_do_not_know_each_other(room):
    """A pipeline can be taken away without another noticing."""
    others = [f"trainworks.{other}" for other in ROOMS if other != room]
    assert not {p: found for p in ROOT.glob(f"trainworks/{room}/**/*.py") if (found := names_of(imports(p), *others))}


@pytest.mark.parametrize("path", modules("workflows"))
def test_workflows_only_wire(path):
    """They know tasks, each other, a room's knobs, and flytekit."""
    allowed = names_of(imports(path), "flytekit", "functools", "tasks", "workflows") | {n for n in imports(path) if ".knobs" in n}
    assert not imports(path) - allowed


@pytest.mark.parametrize("path", modules("tasks"))
def test_tasks_import_stages_inside_their_body(path):
    """At module level only knobs, stores, manifest and the digest of code: listing and registering need none of a stage's packages."""
    own = names_of(imports(path, top_level=True), "trainworks") - {"trainworks"}
    knobs = {name for name in own if ".knobs" in name}
    assert own - knobs - names_of(own, "trainworks.code", "trainworks.config", "trainworks.errors", "trainworks.storage") == set()


def modules_loaded_by(statement: str) -> set[str]:
    """Top-level packages in memory after *statement* in a fresh process."""
    code = f"{statement}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split())


def test_listing_the_workflow_needs_no_torch():
    """What pyflyte run --help and register do first."""
    heavy = {"torch", "open_clip", "pytorch_lightning", "transformers", "onnxruntime", "matplotlib", "kubernetes"}
    assert not modules_loaded_by("import workflows.photostock") & heavy


def test_reading_a_dataset_needs_no_torch():
    """What is evaluated is what ships, so neither a dataset's index nor the stages that measure load what trains."""
    heavy = {"torch", "open_clip", "pytorch_lightning", "transformers", "timm"}
    stages = "trainworks.photostock.evaluation.evaluate, trainworks.photostock.evaluation.behaviour"
    assert not modules_loaded_by(f"import trainworks.photostock.curation.index, {stages}") & heavy


def test_serving_needs_no_training_package():
    """The search engine's process loads neither torch nor tables nor Flyte."""
    heavy = {"torch", "open_clip", "pytorch_lightning", "transformers", "pandas", "pyarrow", "flytekit", "onnx", "boto3"}
    assert not modules_loaded_by("import trainworks.photostock.search") & heavy
