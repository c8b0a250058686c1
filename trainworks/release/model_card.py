"""The model card of a bundle, in Hugging Face's format: the frame that every pipeline's card has."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from trainworks.release import gates


def card(
    name: str,
    about: str,
    matter: Mapping[str, Any],
    sections: Mapping[str, Iterable[str]],
    verdict: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> str:
    """``README.md`` of a bundle: the front *matter* as YAML for a hub, then Markdown for people.

    Args:
        name, about: the title, and a sentence on what the model does.
        sections: heading → paragraphs; a section without any is left out.
        verdict: of the gates, which stands at the top.
        facts: ``commit``, ``data`` and ``seed``, as the manifest has them, which stand at the end.
    """
    paragraphs = [f"# {name}", about, f"**Gates:** {gates.why(verdict)}."]
    for heading, texts in sections.items():
        if texts := list(texts):
            paragraphs += [f"## {heading}", *texts]
    paragraphs += [
        "## Where it comes from",
        f"Commit `{facts['commit']}`, data `{facts['data']}`, seed {facts['seed']}. "
        "`manifest.json` has every knob, every package version and the SHA-256 of every file; `report.html` shows the run.",
    ]
    front = yaml.safe_dump(dict(matter), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n" + "\n\n".join(paragraphs) + "\n"


def behaviour(checks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The paragraphs on the *checks* of ``behaviour.json``; none without checks."""
    if not checks:
        return []
    rows = [
        (
            name.replace("_", " "),
            "–" if check["rate"] is None else percent(check["rate"], (check["low"], check["high"])),
            f"{check['cases']:,}",
            check["meaning"],
        )
        for name, check in checks.items()
    ]
    return [
        "How often the model does what it must, with 95 % intervals; poor rates are shown as they are.",
        table(["Check", "Rate", "Cases", "What it is the share of"], rows),
    ]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """*rows* under their *head* as Markdown; bars and line ends within a cell cannot break it."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in line) + " |" for line in lines)


def bullets(points: Iterable[str]) -> str:
    """*points* as a list in Markdown."""
    return "\n".join(f"- {point}" for point in points)


def percent(share: float, interval: Iterable[float] = ()) -> str:
    """``38.4 %``, or with its *interval* ``38.4 % (29.0 % to 47.0 %)``."""
    words, *ends = (f"{100 * value:.1f} %" for value in (share, *interval))
    return f"{words} ({' to '.join(ends)})" if ends else words
