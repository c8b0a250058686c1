"""Experiment files as inputs of launch plans."""

from enum import Enum
from pathlib import Path
from typing import Any

import rich_click as click
import yaml
from flytekit import LaunchPlan
from flytekit.core.interface import Interface
from flytekit.core.workflow import WorkflowBase

from tasks.deployment import DATA, data
from trainworks.storage import places, s3

SAMPLE = "sample"
"""The source that every pipeline has within."""

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


class Plan(LaunchPlan):
    """A launch plan that ``pyflyte run FILE NAME`` starts with its own inputs: flytekit 1.16 takes the workflow's defaults there."""

    @property
    def python_interface(self) -> Interface:
        """The workflow's, with this plan's defaults and without what it fixes."""
        interface = self.workflow.python_interface
        inputs = {name: (kind, self.saved_inputs.get(name, default)) for name, (kind, default) in interface.inputs_with_defaults.items()}
        open_inputs = {name: inputs[name] for name in self.parameters.parameters}
        return Interface(open_inputs, interface.outputs, docstring=interface.docstring)


def names(pipeline: str) -> list[str]:
    """The experiments of a *pipeline*, by the names of their files."""
    return sorted(path.stem for path in (EXPERIMENTS / pipeline).glob("*.yaml"))


def plan(workflow: WorkflowBase, name: str, fixed: tuple[str, ...] = (), **more: Any) -> Plan | None:
    """The launch plan *name* of the experiment of that name: its inputs, open to change at launch but for the *fixed* ones.

    Plan ``pipeline.smoke`` is of ``experiments/pipeline/smoke.yaml``. What is registered can run: without its data there is no plan,
    and `name_left_out` names it.
    """
    defaults = inputs(workflow, name.replace(".", "/"))
    if "release_to" in workflow.python_interface.inputs:
        defaults.setdefault("release_to", "")  # an experiment
    source = places.parse("source", defaults["source"])
    if source != SAMPLE and not s3.is_uri(source):
        try:
            defaults["source"] = data(source)
        except LookupError:
            _left_out.append(name)
            return None
    fixed_inputs = {knob: defaults.pop(knob) for knob in fixed}
    return Plan.create(name, workflow, defaults, fixed_inputs, **more)


def name_left_out() -> None:
    """Say on the terminal which plans there are not, and what to do."""
    if _left_out:
        click.echo(
            f"launch plans left out, since no cluster finds their data: {', '.join(_left_out)}. "
            f"Set TRAINWORKS_DATA={s3.SCHEME}bucket/prefix, which holds what is below {DATA}/ here",
            err=True,
        )
        _left_out.clear()


_left_out: list[str] = []


def inputs(workflow: WorkflowBase, experiment: str) -> dict[str, Any]:
    """The inputs of *workflow* in the file of *experiment*, as ``pipeline/smoke``.

    Raises:
        ValueError: a name that is no input, or a value of another type; names the file and what was expected.
    """
    from trainworks.grammar import nearest

    kinds = workflow.python_interface.inputs
    values: dict[str, Any] = {}
    for name, value in yaml.safe_load((EXPERIMENTS / f"{experiment}.yaml").read_text()).items():
        if name not in kinds:
            raise ValueError(f"experiments/{experiment}.yaml: {workflow.name} has no input {name!r}{nearest(name, kinds)}")
        try:
            values[name] = _typed(kinds[name], value)
        except ValueError as error:
            raise ValueError(f"experiments/{experiment}.yaml: {name} = {value!r}: {error}") from error
    return values


def _typed(kind: type, value: Any) -> Any:
    """*value* of YAML as *kind*: a whole number may be a float, a word an Enum's value; no other type is converted."""
    if issubclass(kind, Enum):
        names = [item.value for item in kind]
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return kind(value)
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise ValueError(f"expected {kind.__name__}, found {type(value).__name__}")
