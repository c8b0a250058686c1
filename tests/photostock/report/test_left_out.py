"""Examples of what was left out come from what the shards still hold."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.photostock.toy_run import drawn
from trainworks.photostock.report import left_out
from trainworks.photostock.report.left_out import reasons, stored


def a_shard(folder: Path, rows: dict[str, tuple[bytes | None, int]]) -> Path:
    """A shard of pictures by id, each with its hash; None is one that was rejected before it was stored."""
    folder.mkdir()
    table = {"id": list(rows), "pixels": [picture for picture, _ in rows.values()]}
    pq.write_table(pa.table(table, pa.schema([("id", pa.string()), ("pixels", pa.binary())])), folder / "pixels.parquet", row_group_size=2)
    names = {name: [f"{name} of {id}" for id in rows] for name in ("title", "contributor", "licence")}
    hashes = pa.array([phash for _, phash in rows.values()], pa.uint64())
    pq.write_table(pa.table({"id": list(rows), **names, "phash": hashes}), folder / "rows.parquet")
    return folder


def a_dataset(folder: Path, rejected: list[tuple[str, str, str, str]], clusters: dict[str, int]) -> Path:
    """What curation says of the rows: id, stage, reason and detail of the rejected, the cluster of the others."""
    folder.mkdir()
    columns = zip(*rejected, strict=True) if rejected else ([], [], [], [])
    names = ("id", "stage", "reason", "detail")
    pq.write_table(pa.table({n: pa.array(c, pa.string()) for n, c in zip(names, columns, strict=True)}), folder / "rejected.parquet")
    index = {"id": pa.array(clusters, pa.string()), "cluster": pa.array(clusters.values(), pa.int64())}
    pq.write_table(pa.table(index), folder / "index.parquet")
    return folder


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Five pictures and a row without one, in two shards."""
    first = a_shard(tmp_path / "first", {"a": (drawn(1), 0b0000), "b": (None, 0), "c": (drawn(2), 0b0111)})
    return [first, a_shard(tmp_path / "second", {"d": (drawn(3), 0b1111), "e": (drawn(4), 1 << 63), "f": (drawn(5), 0)})]


def test_a_row_is_shown_with_the_one_it_gave_way_to(shards: list[Path], tmp_path: Path) -> None:
    """Whatever shard that lies in, and in how many bits they differ."""
    rows = [
        ("c", "curate", "near duplicate", "of d"),
        ("e", "curate", "exact duplicate", "of a"),
        ("f", "curate", "gallery full", "group x"),
    ]
    found = {reason.reason: reason.examples[0] for reason in reasons(a_dataset(tmp_path / "dataset", rows, {"a": 0, "d": 1}), shards)}
    near, exact, full = (found[name] for name in ("near duplicate", "exact duplicate", "gallery full"))
    assert near.picture and near.twin and (near.picture.title, near.twin.title) == ("title of c", "title of d")
    assert (near.distance, exact.distance) == (1, 1)
    assert full.picture and full.twin is None and full.distance is None and full.detail == "group x"


def test_a_row_that_was_never_stored_has_no_picture(shards: list[Path], tmp_path: Path) -> None:
    """Its id and detail are all there is to show; so it is for a row of a shard that is not given."""
    rows = [("b", "prepare", "too small", "3 x 3"), ("gone", "acquire", "missing file", "gone.png")]
    examples = [example for reason in reasons(a_dataset(tmp_path / "dataset", rows, {"a": 0}), shards) for example in reason.examples]
    assert [(e.id, e.detail, e.picture) for e in examples] == [("gone", "gone.png", None), ("b", "3 x 3", None)]


def test_reasons_come_in_the_order_of_the_stages_and_few_rows_stand_for_many(shards: list[Path], tmp_path: Path) -> None:
    """The most frequent of a stage first; each with its number of rows and at most EACH examples, the same each time."""
    rows = [(f"n{i}", "curate", "near duplicate", "of a") for i in range(9)]
    rows += [("x", "acquire", "missing file", ""), ("y", "curate", "no text", "")]
    dataset = a_dataset(tmp_path / "dataset", rows, {"a": 0})
    found = reasons(dataset, shards)
    assert [(r.stage, r.reason, r.rows) for r in found] == [
        ("acquire", "missing file", 1),
        ("curate", "near duplicate", 9),
        ("curate", "no text", 1),
    ]
    assert len(found[1].examples) == left_out.EACH and found == reasons(dataset, shards)


def test_near_duplicates_that_stayed_are_shown_too(shards: list[Path], tmp_path: Path) -> None:
    """Of each cluster with several pictures the first two, with the number of all such pictures; one alone is no cluster."""
    (kept,) = reasons(a_dataset(tmp_path / "dataset", [], {"a": 0, "c": 0, "d": 0, "e": 4}), shards)
    (pair,) = kept.examples
    assert (kept.stage, kept.rows, pair.id, pair.distance) == ("dataset", 3, "c", 3)
    assert pair.twin and pair.twin.title == "title of a"
    assert {picture.title for picture in kept.pictures()} == {"title of a", "title of c"}


def test_thumbnails_are_small_and_named(shards: list[Path]) -> None:
    """A picture has the names that its shard knows, and of others nothing is read."""
    found = stored(shards, {"a", "b", "f"})
    assert found.keys() == {"a", "b", "f"} and found["b"].picture is None and found["f"].phash == 0
    picture = found["a"].picture
    assert picture and (picture.contributor, picture.licence) == ("contributor of a", "licence of a")
    assert len(picture.uri) < 8000
