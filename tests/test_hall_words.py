"""The hall has no word of a room: what every pipeline passes through reads as if none of them existed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted(path.parent.name for path in ROOT.glob("trainworks/*/facts.py"))
WORDS = (
    *(r"pictures?", r"captions?", r"text[- _]to[- _]image", r"recalls?", r"galler(?:y|ies)", r"contributors?"),
    *(r"skus?", r"demand", r"promotions?", r"prices?", *ROOMS, "supermegaretail"),
)
ROOMS_WORD = re.compile(rf"(?<![a-z])(?:{'|'.join(WORDS)})(?![a-z])|R@[\dk]", re.IGNORECASE)
HTML_CAPTION = re.compile(r"</?caption>|\bcaption(?=(?:, [a-z]+)* \{)")
"""The element of HTML, and style sheets' rules for it."""

OF_A_ROOM = {"workflows/launch_plans.py", "workflows/sweep.py"}
"""PhotoStock's workflows under names that its users know."""


def hall() -> list[str]:
    """Code and templates of the hall, as paths below the repository."""
    paths = [path for path in ROOT.glob("trainworks/**/*") if path.relative_to(ROOT).parts[1] not in ROOMS]
    for folder in ("tasks", "workflows"):
        paths += [path for path in ROOT.glob(f"{folder}/*") if not path.name.startswith(tuple(ROOMS))]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths if path.suffix in (".py", ".html", ".css", ".sql"))


def words_of_rooms(text: str) -> list[str]:
    """The lines of *text* in which a room's word stands, with it in front."""
    without_html = HTML_CAPTION.sub("", text)
    return [f"{word[0]}: {line.strip()}" for line in without_html.splitlines() if (word := ROOMS_WORD.search(line))]


@pytest.mark.parametrize("path", [path for path in hall() if path not in OF_A_ROOM])
def test_the_hall_has_no_word_of_a_room(path):
    """Neither in code nor in docstrings, comments or templates; what a room must say, it says through the typed contracts."""
    assert not words_of_rooms((ROOT / path).read_text())


def test_words_are_whole_in_any_case_and_within_names():
    """A name's parts are words; a word that only begins like one is another."""
    for line in ("by_caption", "R@10", "val_R@k", "Text-to-image", "two galleries", "Prices", "sku_id", "PhotoStock's", "<p>caption</p>"):
        assert words_of_rooms(line)
    for line in (
        "captioned",
        "figcaption { }",
        "<caption>{{ t.title }}</caption>",
        "caption { padding: 0 }",
        "demanding",
        "R@nk",
        "recalled",
    ):
        assert not words_of_rooms(line)
