"""The report's section on behaviour: each check's rate with its interval, and the worst failing examples side by side.

A room's template extends ``behaviour_section.html`` and says in the block ``intro`` what its checks ask of the model.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainworks.report.page import cell

Example = Mapping[str, Any]
"""A failing example of ``behaviour.json``: ``id``, ``what`` was done, its numbers, and what it shows."""


def content(folder: Path, images: Sequence[str], numbers: Callable[[Example], str]) -> dict[str, Any]:
    """What ``behaviour_section.html`` takes: the ``checks`` and the ``criterion`` of ``behaviour.json`` in *folder*.

    An example shows its ``title``, the texts ``before`` and ``after``, and the *images* as they are named: as it is, then changed;
    each where it has one. *numbers* puts what was measured on an example into words.
    """
    behaviour = json.loads((folder / "behaviour.json").read_text())
    checks = {
        name: {**check, "shown": [_shown(example, folder, images, numbers(example)) for example in check["examples"]]}
        for name, check in behaviour["checks"].items()
    }
    return {"checks": checks, "criterion": behaviour["criterion"]}


def _shown(example: Example, folder: Path, images: Sequence[str], numbers: str) -> dict[str, Any]:
    """One failing example: images as ``data:`` URIs with words for who cannot see them, numbers in words."""
    title = cell(example.get("title", ""))
    names = [name for name in images if name in example]
    words = [title] if len(names) == 1 else [f"{title}, as it is", f"{title}, {example['what']}"]
    shown = [{"uri": _uri(folder / example[name]), "words": text} for name, text in zip(names, words, strict=False)]
    texts = {name: example[name] for name in ("before", "after") if name in example}
    return {"what": example["what"], "title": title, "numbers": numbers, "images": shown, **texts}


def _uri(file: Path) -> str:
    return f"data:image/webp;base64,{base64.b64encode(file.read_bytes()).decode()}"
