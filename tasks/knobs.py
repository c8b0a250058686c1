"""One flat, typed Flyte input per knob, so that the console draws a form instead of a JSON box."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from trainworks.config import Section, meanings


def flat(collect: Callable[[type[Section], dict[str, Any]], Any], **sections: type[Section]) -> Callable[[Callable], Callable]:
    """Replace each parameter named in *sections* by one keyword parameter per knob of that section.

    The wrapped function gets them back through *collect*: ``build`` in a task, ``as_dict`` in a
    workflow, where values are promises and are passed on with ``**``. Knobs' meanings become
    the inputs' help texts.
    """

    def wrap(function: Callable) -> Callable:
        hints = get_type_hints(function, include_extras=True)
        parameters: list[inspect.Parameter] = []
        helps: dict[str, str] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in sections:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]))
                continue
            types = get_type_hints(sections[name])
            helps |= {knob: f"({name}) {meaning}" for knob, meaning in meanings(sections[name]).items()}
            for f in fields(sections[name]):  # type: ignore[arg-type]
                default = inspect.Parameter.empty if f.default is MISSING else f.default
                parameters.append(inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[f.name]))

        @functools.wraps(function)
        def flattened(**inputs: Any) -> Any:
            for name, section in sections.items():
                knobs = {f.name: inputs.pop(f.name) for f in fields(section)}  # type: ignore[arg-type]
                inputs[name] = collect(section, knobs)
            return function(**inputs)

        flattened.__signature__ = inspect.Signature(parameters, return_annotation=hints["return"])  # type: ignore[attr-defined]
        flattened.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": hints["return"]}
        flattened.__doc__ = _with_help(function.__doc__ or "", helps)
        return flattened

    return wrap


def build(section: type[Section], knobs: dict[str, Any]) -> Section:
    """The section itself: a task's values are real, and bad ones are refused here."""
    return section(**knobs)


def as_dict(section: type[Section], knobs: dict[str, Any]) -> dict[str, Any]:
    """The knobs by name: a workflow's values are promises, to be passed on."""
    return knobs


def _with_help(doc: str, helps: dict[str, str]) -> str:
    lines = [f"    {name}: {text}" for name, text in helps.items()]
    doc = inspect.cleandoc(doc)
    return "\n".join([doc, *(["", "Args:"] if lines and "Args:" not in doc else []), *lines])
