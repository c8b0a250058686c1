"""Catalogues as people have them: written by data frames, spreadsheets and other tools, beside files that other systems named."""

import json
import unicodedata

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trainworks.errors import DataError
from trainworks.photostock.catalogue import catalogue
from trainworks.photostock.preparation.originals import LINKED
from trainworks.storage import s3


@pytest.fixture
def folder(tmp_path):
    """A folder with two pictures."""
    for number, colour in enumerate(("red", "blue")):
        Image.new("RGB", (40, 40), colour).save(tmp_path / f"{number}.png")
    return tmp_path


def rows(source):
    return catalogue.read(str(source)).table.to_pylist()


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".parquet", ".PARQUET", ".jsonl"])
def test_a_data_frame_comes_back_as_it_was(folder, suffix):
    """Whole numbers of a column with gaps, lists of tags and missing values, however the frame was written."""
    frame = pd.DataFrame({"image": ["0.png", "1.png"], "group": [7, None], "title": ["Tower", None], "tags": [["sea", "tower"], ["city"]]})
    path = folder / f"c{suffix}"
    if suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif suffix.lower() == ".csv":
        frame.to_csv(path, index=False, na_rep="nan")
    else:
        frame.to_parquet(path)
    one, other = rows(path)
    assert (one["group"], one["title"], one["tags"]) == ("7", "Tower", ["sea", "tower"])
    assert (other["group"], other["title"], other["tags"]) == ("", "", ["city"])
    if suffix == ".csv":
        assert one["repairs"] == ["whole number written as a decimal", "list written as text"]
        assert other["repairs"] == ["missing value written as text", "list written as text"]


def test_what_is_no_word_is_no_caption(folder):
    """An object written as text is rejected with what to do, an invisible title is none, and each is counted."""
    written = ['{"en": "Tower"}', "\u200b", "&#8203;\ufeff", "\u3164"]
    lines = [json.dumps({"id": str(number), "image": "0.png", "title": title}) for number, title in enumerate(written)]
    (folder / "catalogue.jsonl").write_text("\n".join(lines))
    first, *others = rows(folder)
    assert first["rejected"] == "wrong type" and "title: expected text, found dict written as text" in first["detail"]
    assert [(row["title"], row["rejected"]) for row in others] == [("", "")] * 3
    assert all("text that shows nothing emptied" in row["repairs"] for row in others)


def test_pictures_of_hugging_face_are_read(folder):
    """A struct of bytes and path, of which one is there."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": (folder / "0.png").read_bytes(), "path": "a/0.png"}, {"bytes": None, "path": "1.png"}, None]
    pq.write_table(pa.table({"image": pa.array(images, kind), "title": ["a", "b", "c"]}), folder / "catalogue.parquet")
    inside, beside, none = rows(folder)
    assert inside["bytes"] == (folder / "0.png").read_bytes() and inside["image"] == ""
    assert beside["image"] == "1.png" and beside["fingerprint"] and none["rejected"] == "empty image cell"


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_first_line_of_a_spreadsheet_names_its_separator(folder, mark):
    """And counts as a line."""
    lines = [
        f"sep={mark}",
        mark.join(("image", "title")),
        mark.join(("0.png", "Tower, red")) if mark != "," else '0.png,"Tower, red"',
        "1.png",
    ]
    (folder / "catalogue.csv").write_text("\r\n".join(lines), "utf-8-sig")
    one, other = rows(folder)
    assert one["title"] == "Tower, red" and other["detail"].startswith("line 4: 1 cells")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["catalogue.csv", "catalogue.jsonl"])
def test_a_file_that_is_not_utf_8_at_all_is_refused_as_such(folder, encoding, name):
    """With a byte order mark or without, and not line by line."""
    (folder / name).write_bytes("image,title\n0.png,Tower\n".encode(encoding))
    with pytest.raises(DataError, match="expected UTF-8, found UTF-16; save it as UTF-8"):
        rows(folder)


@pytest.mark.parametrize(("written", "form"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_file_is_found_under_the_other_normal_form_of_its_name(folder, written, form):
    """As a Mac names it; the exact name goes first, and the row keeps its id."""
    names = [unicodedata.normalize(each, "é/café.png") for each in (written, form)]
    (folder / names[1]).parent.mkdir()
    (folder / "0.png").rename(folder / names[1])
    (folder / "catalogue.csv").write_text(f"image,title\n{names[0]},Cup\n")
    [row] = rows(folder)
    assert (row["id"], row["image"], row["rejected"]) == (names[0], names[1], "")
    assert row["repairs"] == ["file found under another normal form of its name"]


def test_an_object_is_found_under_the_other_normal_form_of_its_key(bucket):
    """As a folder's file."""
    names = [unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD")]
    s3.put(f"{bucket}/photos/{names[1]}", b"x")
    s3.put(f"{bucket}/photos/c.CSV", f"image,title\n{names[0]},Cup\n".encode())
    [row] = rows(f"{bucket}/photos/c.CSV")
    assert (row["image"], row["rejected"]) == (names[1], "")


def test_links_of_a_cache_are_followed_where_a_person_says_so(folder, monkeypatch):
    """The layout of Hugging Face's Hub and of DVC; the message names what to set, and nothing beyond that folder is read."""
    (folder / "blobs").mkdir()
    (folder / "snapshots" / "abc").mkdir(parents=True)
    for name in ("0.png", "1.png"):
        place = folder / "blobs" / name if name == "0.png" else folder / "beside.png"
        (folder / name).rename(place)
        (folder / "snapshots" / "abc" / name).symlink_to(place)
    (folder / "snapshots" / "abc" / "catalogue.csv").write_text("image,title\n0.png,A\n1.png,B\n")
    with pytest.raises(DataError, match=LINKED):
        rows(folder / "snapshots" / "abc")
    monkeypatch.setenv(LINKED, str(folder / "blobs"))
    assert [row["rejected"] for row in rows(folder / "snapshots" / "abc")] == ["", "path leaves the catalogue's folder"]
