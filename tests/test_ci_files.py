"""What guards and delivers the code: workflows of CI, hooks before a commit, the Makefile, and how the package is installed."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import trainworks

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
PIPELINES = sorted(path.parent.name for path in ROOT.glob("trainworks/*/facts.py"))

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def jobs(path: Path) -> dict[str, dict]:
    """The jobs of a workflow by name."""
    return yaml.safe_load(path.read_text())["jobs"]


def steps(path: Path) -> list[dict]:
    """The steps of all jobs of a workflow."""
    return [step for job in jobs(path).values() for step in job.get("steps", [])]


def commands(path: Path) -> str:
    """What all steps of a workflow run, continued lines joined."""
    return "\n".join(re.sub(r"\\\n\s*", "", step["run"]) for step in steps(path) if "run" in step)


def targets() -> set[str]:
    """What the Makefile can make."""
    return set(re.findall(r"^([\w./-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


@every_workflow
def test_jobs_have_a_machine_or_another_workflow_and_wait_for_jobs_that_exist(path):
    """And may read the repository, no more, unless a job says so."""
    content = yaml.safe_load(path.read_text())
    assert content["permissions"] == {"contents": "read"}
    for job in jobs(path).values():
        assert ("runs-on" in job and job["steps"]) or (ROOT / job["uses"]).is_file()
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= jobs(path).keys()


@every_workflow
def test_actions_are_pinned_by_a_version(path):
    """A branch of somebody else's repository would change under us."""
    actions = [step["uses"] for step in steps(path) if "uses" in step]
    assert actions
    assert not [action for action in actions if not re.fullmatch(r"[\w-]+/[\w-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", action)]


@every_workflow
def test_what_is_made_can_be_made(path):
    """Make targets, programs and files that its commands name."""
    text = commands(path)
    assert set(re.findall(r"\bmake ([\w./-]+)", text)) <= targets()
    assert all((Path(sys.executable).parent / program).exists() for program in re.findall(r"\.venv/bin/(\w[\w-]*)", text))
    assert all((ROOT / name).exists() for name in re.findall(r"(?:bash|--config) (\S+)", text))


def test_ci_runs_what_people_run():
    """`.ci/run`, on pushes, on changes proposed, and before a release; it is made of Makefile targets."""
    content = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert {"push", "pull_request", "workflow_call"} <= content[True].keys()  # YAML 1.1 reads the word "on" as true
    assert commands(ROOT / ".github/workflows/ci.yml") == "bash .ci/run"
    assert jobs(ROOT / ".github/workflows/release.yml")["check"]["uses"] == "./.github/workflows/ci.yml"
    made = set(re.findall(r"\bmake ([\w-]+)", (ROOT / ".ci/run").read_text()))
    assert {"check", "test"} <= made <= targets()


def test_a_release_starts_with_a_tag_and_builds_images_that_exist():
    """From the Dockerfiles, with arguments that they have."""
    path = ROOT / ".github/workflows/release.yml"
    assert yaml.safe_load(path.read_text())[True] == {"push": {"tags": ["v*"]}}
    for kind in jobs(path)["images"]["strategy"]["matrix"]["kind"]:
        declared = re.findall(r"^ARG (\w+)", (ROOT / f"images/{kind}.Dockerfile").read_text(), re.MULTILINE)
        assert set(re.findall(r'--build-arg "?(\w+)=', commands(path))) <= set(declared)


@pytest.mark.filterwarnings("ignore")  # of the packages that flytekit's command line imports
def test_a_release_registers_with_options_and_launch_plans_that_exist():
    """Of this flytekit, and of our experiments."""
    from flytekit.clis.sdk_in_container.pyflyte import main

    text = commands(ROOT / ".github/workflows/release.yml")
    for line in re.findall(r"pyflyte --config \S+ (.*)", text):
        name = line.split()[0]
        known = {option for parameter in main.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", line)) <= known
    plans = set(re.findall(r"photostock\.(\w+)", text))
    assert plans and all((ROOT / f"experiments/photostock/{plan}.yaml").exists() for plan in plans)


def test_a_release_takes_secrets_and_variables_that_its_document_names():
    """So that whoever sets them up misses none."""
    text = (ROOT / ".github/workflows/release.yml").read_text()
    taken = set(re.findall(r"\b(?:secrets|vars)\.(\w+)", text))
    documented = (ROOT / "docs/delivery.md").read_text()
    assert taken and not [name for name in taken if f"`{name}`" not in documented]


def test_hooks_before_a_commit_are_the_tools_of_make_check():
    """From .venv, so that nothing is downloaded and versions are the same."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    makefile = (ROOT / "Makefile").read_text()
    for hook in hooks:
        program, *words = hook["entry"].removesuffix(" --force-exclude").split()
        assert " ".join([program.replace(".venv/bin", "$(BIN)"), *words]) in makefile


def test_the_command_that_is_installed_passes_its_status_on(monkeypatch):
    """`trainworks` ends as `python -m trainworks` does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["trainworks"].split(":")
    monkeypatch.setattr(sys, "argv", ["trainworks", "compare", "nowhere"])
    assert getattr(import_module(module), function)() == 1


def test_what_is_installed_has_types_a_licence_and_this_version():
    """The marker for type checkers is in the package, and the changelog knows the version."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "py.typed" in content["tool"]["setuptools"]["package-data"]["trainworks"]
    assert (ROOT / "trainworks" / "py.typed").is_file()
    assert content["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert f"\n## {trainworks.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def make(*arguments: str) -> subprocess.CompletedProcess:
    """What make would do, asked from a terminal and not, as `make test` asks, from within make."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_make_demo_runs_the_pipeline_that_is_named(pipeline):
    """Its own workflow, which exists."""
    done = make("demo", f"PIPELINE={pipeline}")
    assert done.stdout.splitlines()[-1] == f".venv/bin/pyflyte run workflows/{pipeline}.py {pipeline}"
    assert (ROOT / f"workflows/{pipeline}.py").exists()


def test_make_demo_says_which_pipelines_there_are():
    """Before anything is installed, to whoever asks for another."""
    done = make("demo", "PIPELINE=nonesuch")
    assert done.returncode == 2 and done.stdout == ""
    assert f"PIPELINE=nonesuch: no such pipeline; there are: {' '.join(PIPELINES)}" in done.stderr
