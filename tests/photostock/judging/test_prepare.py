"""What is prepared for people: drawn by the rule, blind, and readable without this program."""

import base64
import csv
import io
from collections import Counter
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.photostock.judging import toy_tasks
from trainworks.photostock.evaluation import found
from trainworks.photostock.judging.prepare import EACH, HARD, LONGEST, chosen, is_hard


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tasks of one run."""
    return toy_tasks.prepared(tmp_path_factory.mktemp("prepared"))


def test_each_kind_has_its_share(folder):
    """Titles, words as people type them, and what was searched; at least HARD hard ones where there are as many."""
    tasks, _ = toy_tasks.content(folder)
    assert Counter(task["kind"] for task in tasks["tasks"]) == {"title": EACH, "single tag": 9, "search": 3}
    assert sum(task["hard"] for task in tasks["tasks"] if task["kind"] == "title") >= HARD
    assert not any(task["hard"] for task in tasks["tasks"] if task["kind"] == "search")
    assert len({task["id"] for task in tasks["tasks"]}) == len(tasks["tasks"])


def test_each_side_is_what_its_model_finds(folder):
    """By the key, which lies beside what people are given; both models are on either side."""
    tasks, key = toy_tasks.content(folder)
    table = pq.read_table(folder.parent / "run" / "metrics" / found.FILE).to_pylist()
    rows = {(row["kind"], row["query"]): row for row in table}
    pictures = {}
    for task in tasks["tasks"]:
        row, other = rows[task["kind"], task["query"]], {"left": "right", "right": "left"}[key["model_is"][task["id"]]]
        for side, ids in ((key["model_is"][task["id"]], row["found"]), (other, row["other_found"])):
            assert all(pictures.setdefault(name, id) == id for name, id in zip(task[side], ids, strict=True))
    assert len(set(pictures.values())) == len(pictures)
    assert set(key["model_is"].values()) == {"left", "right"} and key["other"] == "the untouched backbone"


def test_nothing_that_people_are_given_tells_the_sides_apart(folder):
    """Neither names, nor the key, nor ids of pictures."""
    _, key = toy_tasks.content(folder)
    for path in (path for path in (folder / "judging").rglob("*") if path.is_file()):
        assert not any(word in path.read_bytes() for word in (b"model_is", b"untouched", key["other"].encode(), b"p001"))


def test_the_same_seed_draws_the_same(folder, tmp_path):
    """Byte for byte; another seed draws other queries and other sides."""
    again, other = toy_tasks.prepared(tmp_path / "again"), toy_tasks.prepared(tmp_path / "other", seed=2)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert all((folder / name).read_bytes() == (again / name).read_bytes() for name in files)
    assert toy_tasks.content(other)[0]["tasks"] != toy_tasks.content(folder)[0]["tasks"]


def test_models_that_find_the_same_are_not_asked_about(tmp_path):
    """How many queries that are is told."""
    tasks, _ = toy_tasks.content(toy_tasks.prepared(tmp_path, other=1))
    assert tasks["tasks"] == [] and tasks["kinds"]["title"] == {"queries": 24, "alike": 24}


def test_the_page_opens_without_a_program(folder):
    """Every picture on it lies beside it; texts are escaped; there is no script."""
    images, page = [], (folder / "judging" / "index.html").read_text()

    class Images(HTMLParser):
        def handle_starttag(self, tag, attributes):
            assert tag != "script"
            images.extend(value for name, value in attributes if tag == "img" and name == "src")

    Images().feed(page)
    tasks, _ = toy_tasks.content(folder)
    assert len(images) == 2 * found.SHOWN * len(tasks["tasks"])
    for name in set(images):
        with Image.open(folder / "judging" / name) as image:
            assert max(image.size) <= LONGEST
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in page and "<b>a" not in page


def test_a_labelling_tool_imports_the_table(folder):
    """A row for each task, each side as one picture; no cell is a formula."""
    with (folder / "judging" / "tasks.csv").open(newline="") as file:
        csv.field_size_limit(1 << 24)
        rows = list(csv.DictReader(file))
    tasks, _ = toy_tasks.content(folder)
    assert [row["task"] for row in rows] == [task["id"] for task in tasks["tasks"]] and {row["tasks"] for row in rows} == {tasks["id"]}
    kind, _, picture = rows[0]["left"].partition(",")
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert kind == "data:image/jpeg;base64" and image.size == (3 * LONGEST + 16, 2 * LONGEST + 8)
    assert "'=SUM(A1)" in {row["query"] for row in rows}
    form = (folder / "judging" / "labelling.xml").read_text()
    assert all(f"${column}" in form for column in ("query", "left", "right"))


def test_hard_queries_come_first_where_there_are_few():
    """One model or both miss their picture."""
    rows = [
        {"kind": "title", "query": f"q{k}", "rank": 1, "other_rank": 11 if k < 3 else 2, "found": [], "other_found": []} for k in range(60)
    ]
    drawn = chosen(rows, seed=1)
    assert len(drawn) == EACH and sum(map(is_hard, drawn)) == 3
    assert chosen(list(reversed(rows)), seed=1) == drawn
