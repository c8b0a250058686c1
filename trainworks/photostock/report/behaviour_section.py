"""The report's section on behaviour: each check's rate with its interval, and the worst failing examples side by side."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from trainworks.report.page import render

_NUMBERS = {"overlap": "answers kept", "similarity": "cosine", "score_before": "score before", "score_after": "score after"}
_SHARES = frozenset({"overlap"})


def section(folder: Path) -> Markup:
    """The section of ``behaviour.json`` in *folder* as HTML for ``report.html``, with its pictures in it."""
    found = json.loads((folder / "behaviour.json").read_text())
    checks = found["checks"]
    return Markup(
        render(
            "photostock/report/behaviour_section.html",
            checks={name: {**check, "shown": [_shown(example, folder) for example in check["examples"]]} for name, check in checks.items()},
            criterion=found["criterion"],
        )
    )


def pictures(folder: Path) -> set[str]:
    """The ids of the pictures that the section shows: they are owed their credits."""
    checks = json.loads((folder / "behaviour.json").read_text())["checks"]
    return {example["id"] for check in checks.values() for example in check["examples"] if "picture" in example}


def _shown(example: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """One failing example: pictures as ``data:`` URIs, numbers in words."""
    uris = {
        name: f"data:image/webp;base64,{base64.b64encode((folder / example[name]).read_bytes()).decode()}"
        for name in ("picture", "changed")
        if name in example
    }
    numbers = [
        f"{words} {100 * example[name]:.0f} %" if name in _SHARES else f"{words} {example[name]:.2f}".replace("-", "−")
        for name, words in _NUMBERS.items()
        if name in example
    ]
    if "score_after" not in example and "difference" in example:
        numbers.append(f"differs by {example['difference']:.1e}")
    texts = {name: example[name] for name in ("before", "after") if name in example}
    return {"what": example["what"], "title": example.get("title", ""), "numbers": ", ".join(numbers), **uris, **texts}
