"""The report's section on behaviour, with what PhotoStock's checks measure."""

import json
from pathlib import Path

from markupsafe import Markup

from trainworks.report import behaviour_section
from trainworks.report.behaviour_section import Example
from trainworks.report.page import render

IMAGES = ("picture", "changed")
"""What an example calls its pictures: as it is, and changed."""

_NUMBERS = {"overlap": "answers kept", "similarity": "cosine", "score_before": "score before", "score_after": "score after"}
_SHARES = frozenset({"overlap"})


def section(folder: Path) -> Markup:
    """The section of ``behaviour.json`` in *folder* as HTML for ``report.html``, with its pictures in it."""
    content = behaviour_section.content(folder, IMAGES, _numbers)
    return Markup(render("photostock/report/behaviour_section.html", **content))


def pictures(folder: Path) -> set[str]:
    """The ids of the pictures that the section shows: they are owed their credits."""
    checks = json.loads((folder / "behaviour.json").read_text())["checks"]
    return {example["id"] for check in checks.values() for example in check["examples"] if "picture" in example}


def _numbers(example: Example) -> str:
    numbers = [
        f"{words} {100 * example[name]:.0f} %" if name in _SHARES else f"{words} {example[name]:.2f}".replace("-", "−")
        for name, words in _NUMBERS.items()
        if name in example
    ]
    if "score_after" not in example and "difference" in example:
        numbers.append(f"differs by {example['difference']:.1e}")
    return ", ".join(numbers)
