"""Tasks for people: a query, what two models find for it side by side, and no word of which side is whose.

judging/          what is given to people: it holds nothing that tells the models apart
    index.html      every task on one page, which needs no program
    tasks.json      the same for `judge`
    tasks.csv       the same for labelling tools, the pictures of a side in one; labelling.xml is Label Studio's form for it
    pictures/       small, named by number
key.json          which side is whose
"""

import base64
import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from trainworks.photostock.evaluation import found
from trainworks.photostock.evaluation.found import lot
from trainworks.photostock.report.pictures import Picture, credits, thumbnails
from trainworks.report.page import render

SCHEMA = 1

EACH, HARD = 12, 4
"""Tasks of each kind of query, and how many of them at least are hard: one of the models misses their picture among its first ten."""

LONGEST = 192
"""Longer side of a picture in pixels."""

UNTOUCHED = "the untouched backbone"

RULE = (
    f"Of each kind of query up to {EACH} are drawn by a hash of seed and words, at least {HARD} of them hard: one of the models or both do "
    "not have the right picture among their first ten. A query for which both find the very same pictures in the same order is not "
    "asked, for nobody could prefer either. Which model is on the left is drawn for each query."
)

LABELLING = """<View>
  <Style>.sides {display: flex; flex-wrap: wrap; gap: 2em}</Style>
  <Header value="$query"/>
  <View className="sides"><Image name="left_side" value="$left"/><Image name="right_side" value="$right"/></View>
  <Choices name="choice" toName="left_side" choice="single" required="true" showInline="true">
    <Choice value="left" hotkey="1"/><Choice value="right" hotkey="2"/><Choice value="same" hotkey="3"/><Choice value="bad" hotkey="4"/>
  </Choices>
</View>
"""
"""Label Studio's form for ``tasks.csv``."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A query that people are asked about, and the pictures of each side."""

    id: str
    kind: str
    query: str
    hard: bool
    left: list[str]
    right: list[str]
    model_is_left: bool


def prepare(metrics: Path, dataset: Path, shards: Sequence[Path], seed: int, out: Path) -> None:
    """Write tasks for people from what ``evaluate`` found, its folder *metrics*, into the folder *out*; the same inputs, the same bytes.

    Raises:
        DataError: a picture that was found is in none of the *shards*.
    """
    rows = pq.read_table(metrics / found.FILE).to_pylist()
    asked, alike = [], {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of_kind = [row for row in rows if row["kind"] == kind]
        differing = [row for row in of_kind if row["found"] != row["other_found"]]
        alike[kind] = {"queries": len(of_kind), "alike": len(of_kind) - len(differing)}
        asked += [_drawn(row, seed) for row in chosen(differing, seed)]
    pictures = thumbnails(dataset, shards, {id for task in asked for id in (*task.left, *task.right)}, LONGEST)
    names = {id: f"pictures/{number:04d}.webp" for number, id in enumerate(sorted(pictures, key=lambda id: lot(seed, id)), 1)}
    release = json.loads((metrics / "metrics.json").read_bytes()).get("release", {})
    key: dict[str, Any] = {
        "schema": SCHEMA,
        "other": f"the release {release['version']}" if "text_to_image" in release else UNTOUCHED,
        "model_is": {task.id: "left" if task.model_is_left else "right" for task in asked},
    }
    tasks = [
        {"id": task.id, "kind": task.kind, "query": task.query, "hard": task.hard}
        | {side: [names[id] for id in getattr(task, side)] for side in ("left", "right")}
        for task in asked
    ]
    whole = {"schema": SCHEMA, "rule": RULE, "kinds": alike, "tasks": tasks}
    fingerprint = hashlib.sha256(json.dumps([whole, key, [pictures[id].uri for id in names]]).encode()).hexdigest()[:12]
    _write(out / "judging", {"id": fingerprint} | whole, asked, pictures, names)
    (out / "key.json").write_text(json.dumps({"id": fingerprint} | key, indent=1) + "\n")


def chosen(rows: Sequence[Row], seed: int) -> list[Row]:
    """Of the *rows* of one kind the ones that RULE draws, mixed."""
    mixed = sorted(rows, key=lambda row: lot(seed, row["kind"], row["query"]))
    hard = [row for row in mixed if is_hard(row)][:HARD]
    others = [row for row in mixed if row not in hard][: EACH - len(hard)]
    return [row for row in mixed if row in hard or row in others]


def is_hard(row: Row) -> bool:
    """Whether at least one of the models misses the right picture; nobody knows that of what was searched."""
    return row["rank"] is not None and max(row["rank"], row["other_rank"]) > 10


def _drawn(row: Row, seed: int) -> Drawn:
    kind, query = row["kind"], row["query"]
    id = hashlib.sha256(f"{kind}\n{query}".encode()).hexdigest()[:8]
    is_left = lot(seed, "left", kind, query) < 0.5
    left, right = (row["found"], row["other_found"]) if is_left else (row["other_found"], row["found"])
    return Drawn(id, kind, query, is_hard(row), left, right, is_left)


def _write(folder: Path, content: Mapping[str, Any], asked: Iterable[Drawn], pictures: Mapping[str, Picture], names: Mapping) -> None:
    """The folder that is given to people."""
    (folder / "pictures").mkdir(parents=True)
    for id, name in names.items():
        (folder / name).write_bytes(pictures[id].content)
    (folder / "tasks.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = render("photostock/judging/prepare.html", **content, credits=credits(list(pictures.values())))
    (folder / "index.html").write_text(page, encoding="utf-8")
    (folder / "labelling.xml").write_text(LABELLING)
    with (folder / "tasks.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("tasks", "task", "kind", "query", "left", "right"))
        table.writerows(_lines(content["id"], asked, pictures))


def _lines(tasks: str, asked: Iterable[Drawn], pictures: Mapping[str, Picture]) -> Iterator[Sequence[str]]:
    for task in asked:
        sides = (_strip([pictures[id] for id in side]) for side in (task.left, task.right))
        yield tasks, task.id, task.kind, _as_text(task.query), *sides


def _as_text(query: str) -> str:
    """*query* so that no spreadsheet takes it for a formula."""
    return f"'{query}" if query.startswith(("=", "+", "-", "@", "\t")) else query


def _strip(pictures: Sequence[Picture]) -> str:
    """The *pictures* of a side in two rows, as a ``data:`` URI."""
    gap, columns = 8, (len(pictures) + 1) // 2
    sheet = Image.new("RGB", (columns * (LONGEST + gap) - gap, 2 * LONGEST + gap), "white")
    for number, picture in enumerate(pictures):
        with Image.open(io.BytesIO(picture.content)) as image:
            corner = (number % columns * (LONGEST + gap), number // columns * (LONGEST + gap))
            sheet.paste(image, (corner[0] + (LONGEST - image.width) // 2, corner[1] + (LONGEST - image.height) // 2))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
