"""Opt-outs: a row whose contributor opted out is never read, stored or shown, and is counted."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import draw, write_catalogue
from trainworks.photostock.catalogue import catalogue, slices
from trainworks.photostock.curation.curate import curate
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.preparation.prepare import prepare
from trainworks.storage import manifest


def rejected(path) -> list[str]:
    return catalogue.read(str(path)).table["rejected"].to_pylist()


def catalogue_with(folder, *values):
    """A JSONL catalogue with a row for each of *values* in ``exclude``, and a last one without; only the last has a picture file."""
    draw("red", "ellipse", 1).save(folder / "last.png")
    rows = [{"image": f"{number}.png", "title": "a", "exclude": value} for number, value in enumerate(values)]
    path = folder / "catalogue.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"image": "last.png", "title": "b"}]))
    return path


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "True", " YES ", "1"])
def test_an_opt_out_is_excluded_before_its_picture_is_read(tmp_path, value):
    """The picture file is missing, yet the row is *excluded*, not *missing file*; only its id is kept."""
    [row, _] = catalogue.read(str(catalogue_with(tmp_path, value))).table.to_pylist()
    assert row == dict.fromkeys(row, "") | {
        **{"id": "0.png", "bytes": None, "tags": [], "repairs": []},
        **{"rejected": "excluded", "detail": "line 1"},
    }


@pytest.mark.parametrize("value", [False, 0, "false", "No", "0", "", None])
def test_who_says_no_or_nothing_does_not_opt_out(tmp_path, value):
    """Such a row is used, and here rejected since its picture file is missing."""
    assert rejected(catalogue_with(tmp_path, value)) == ["missing file", ""]


@pytest.mark.parametrize("value", ["maybe", "y", "x", "2", 2, -1, "nein"])
def test_what_nobody_understands_is_not_used_and_says_so(tmp_path, value):
    """Neither against the contributor's will nor silently: reason, line, what was expected and what came."""
    row = catalogue.read(str(catalogue_with(tmp_path, "no", value))).table.to_pylist()[1]
    assert row["rejected"] == "unclear exclude"
    assert row["detail"] == f"line 2: expected true, 1, yes, or false, 0, no or nothing, found {str(value)!r}"


def test_every_format_has_opt_outs(tmp_path):
    """Text in CSV, true and false in JSONL and parquet."""
    draw("red", "ellipse", 1).save(tmp_path / "b.png")
    (tmp_path / "c.csv").write_text("image,title,exclude\na.png,A,yes\nb.png,B,\n")
    (tmp_path / "c.jsonl").write_text('{"image": "a.png", "title": "A", "exclude": true}\n{"image": "b.png", "title": "B"}\n')
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "title": ["A", "B"], "exclude": [True, None]}), tmp_path / "c.parquet")
    assert [rejected(tmp_path / f"c{suffix}") for suffix in (".csv", ".jsonl", ".parquet")] == [["excluded", ""]] * 3


def test_an_opt_out_takes_every_row_of_its_id_and_the_bytes_with_it(tmp_path):
    """Were the picture given twice and opted out once, the other row would bring it back."""
    data = [
        (tmp_path / name).read_bytes() for name in ("a.png", "b.png") if draw("red", "ellipse", len(name)).save(tmp_path / name) is None
    ]
    rows = {"image": [data[0], data[0], b"other"], "title": ["A", "B", "C"], "exclude": ["", "1", ""]}
    pq.write_table(pa.table(rows), tmp_path / "c.parquet")
    table = catalogue.read(str(tmp_path / "c.parquet")).table
    assert table["rejected"].to_pylist() == ["excluded", "excluded", ""]
    assert table["bytes"].to_pylist() == [None, None, b"other"]
    assert hashlib.sha256(data[0]).hexdigest() in table["id"].to_pylist()


def test_an_opt_out_changes_its_own_slice_only(tmp_path):
    """Appending rows later, or opting out of an old one, prepares nothing else anew."""
    folder = write_catalogue(tmp_path / "catalogue", 300)
    before = list(slices.slices(catalogue.read(str(folder)).table))
    rows = [json.loads(line) for line in (folder / "catalogue.jsonl").read_text().splitlines()]
    rows[40]["exclude"] = "true"
    (folder / "catalogue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    after = list(slices.slices(catalogue.read(str(folder)).table))
    changed = [number for number, (old, new) in enumerate(zip(before, after, strict=True)) if not old.equals(new)]
    assert len(before) > 3 and len(changed) == 1


def test_an_opt_out_reaches_neither_shard_nor_dataset_and_is_counted(tmp_path):
    """From the catalogue to the data card, with a picture file that could be read; a contributor opts out by all their rows."""
    folder = write_catalogue(tmp_path / "catalogue")
    rows = [json.loads(line) for line in (folder / "catalogue.jsonl").read_text().splitlines()]
    gone = {row["image"] for row in rows if row["contributor"] == "artist 3"}
    (folder / "catalogue.jsonl").write_text("".join(json.dumps({**row, "exclude": row["image"] in gone}) + "\n" for row in rows))
    result = catalogue.read(str(folder))
    slice_, shard, dataset = (tmp_path / name for name in ("slice", "shard", "dataset"))
    slices.write_slice(result.table, slice_)
    for made in (shard, dataset):
        made.mkdir()
    prepare(slice_, result.root, shard, 32)
    manifest.write(shard)
    pictures = pq.read_table(shard / "pixels.parquet").to_pylist()
    assert {row["id"] for row in pictures if row["pixels"] is None} == gone and len(gone) == 7
    curate([shard], DataConfig(gallery=10, subsample=""), dataset)
    index = pq.read_table(dataset / "index.parquet")
    assert not gone & set(index["id"].to_pylist()) and "artist 3" not in index["contributor"].to_pylist()
    acquire = json.loads((dataset / "card.json").read_text())["stages"][0]
    assert acquire == {"stage": "acquire", "read": 90, "kept": 83, "rejected": {"excluded": 7}}
