"""What documents say of the house is so: links lead somewhere, paths exist, imports work, and what is marked as runnable runs."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRACKED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
DOCUMENTS = [ROOT / name for name in TRACKED]
FOLDERS = ("tests", "docs", "experiments", "tasks", "workflows", "trainworks", "benchmarks", "images", ".github", ".ci")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def blocks(document: Path, kind: str) -> list[str]:
    """The fenced blocks of a document that begin with *kind*."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """What its headings are called in a link: lower case, hyphens for spaces, other punctuation left out."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_links_lead_somewhere(document):
    """To a file or folder of the house, and to a heading that it has."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@every_document
def test_paths_exist(document):
    """Every path below a folder of the house, in text and in commands."""
    named = re.findall(rf"(?<![\w./:\-])((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]+\w)(?![\w/]*[$*<{{…])", document.read_text())
    assert not [name for name in named if not (ROOT / name).exists()]


@every_document
def test_tests_that_are_named_exist(document):
    """By the words after -k, or by name after two colons."""
    for path, words in re.findall(r"`(tests/[\w/]+\.py)(?: -k |::)([^`]+)`", document.read_text()):
        names = re.findall(r"def (test_\w+)", (ROOT / path).read_text())
        for word in words.strip('"').split(" or "):
            assert any(word in name for name in names), f"{path} has no test called {word}"


@every_document
def test_imports_work(document):
    """Whatever a snippet takes from the library is there."""
    for module, names in re.findall(r"^from (trainworks[\w.]*) import ([\w, ]+)$", document.read_text(), re.MULTILINE):
        imported = import_module(module)
        assert all(hasattr(imported, name) or find_spec(f"{module}.{name}") for name in names.split(", "))


RUNNABLE = [
    pytest.param(line, id=f"{document.relative_to(ROOT).as_posix()}: {line.partition('#')[0].strip()}")
    for document in DOCUMENTS
    for block in blocks(document, "sh runnable")
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", RUNNABLE)
def test_what_is_marked_as_runnable_runs(line, tmp_path):
    """In the root of the house, as whoever copies it would."""
    command = line.replace(".venv/bin/", f"{shlex.quote(str(Path(sys.executable).parent))}/")
    environment = {**os.environ, "HOME": str(tmp_path), "TRAINWORKS_ARTIFACTS": str(tmp_path)}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_has_its_two_commands_early():
    """Within 25 lines: the demo, and the tests."""
    head = "\n".join((ROOT / "README.md").read_text().splitlines()[:25])
    assert re.search(r"^make demo\b", head, re.MULTILINE) and re.search(r"^make test\b", head, re.MULTILINE)


def test_the_map_of_the_house_shows_every_folder():
    """In the README, folders of the hall and of every room; in a room's own page, its folders."""
    folders = [path.parent for path in ROOT.glob("trainworks/**/__init__.py")]
    readme = (ROOT / "README.md").read_text()
    assert not [folder.name for folder in folders if f"{folder.name}/" not in readme]
    for room in (path.parent for path in ROOT.glob("trainworks/*/facts.py")):
        page = (ROOT / f"docs/{room.name}.md").read_text()
        assert not [folder.name for folder in folders if folder.parent == room and f"{folder.name}/" not in page]


def test_documents_are_found_from_the_readme():
    """Following links from one document to the next; but for the end of the benchmark's results, which is copied into them."""
    unread, read = [ROOT / "README.md"], set()
    while unread:
        document = unread.pop()
        read.add(document)
        targets = {(document.parent / link).resolve() for link in re.findall(r"\]\(([^)\s:#]+)", prose(document))}
        unread += targets & set(DOCUMENTS) - read
    assert set(DOCUMENTS) - read == {ROOT / "benchmarks/missed.md"}
