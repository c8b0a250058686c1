"""The acquire stage: a catalogue becomes rows that are usable or say why not."""

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainworks.errors import DataError
from trainworks.photostock.catalogue import catalogue
from trainworks.photostock.catalogue.records import COLUMNS
from trainworks.photostock.catalogue.slices import SCHEMA, slices, write_slice

ROWS = [
    {"id": "1", "image": "images/owl.png", "title": "An owl, at night", "tags": ["bird", "black & white"], "contributor": "Ada"},
    {"id": "2", "image": "images/oak.png", "title": "Café under an\noak", "tags": [], "licence": "CC0", "group": "trees"},
    {"id": "3", "image": "images/owl.png", "title": "", "description": "The owl again", "tags": ["<b>"], "contributor": "Ada"},
]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A catalogue's folder with two pictures, of which acquire reads the bytes only."""
    root = tmp_path / "catalogue"
    (root / "images").mkdir(parents=True)
    (root / "images" / "owl.png").write_bytes(b"owl")
    (root / "images" / "oak.png").write_bytes(b"oak")
    return root


def read(folder: Path, *rows: dict) -> list[dict]:
    """Read a JSONL catalogue with these rows."""
    (folder / "catalogue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return catalogue.read(str(folder)).table.to_pylist()


def write(rows: list[dict], path: Path) -> Path:
    """Write *rows* in the format of the suffix."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows, pa.schema([f for f in SCHEMA if f.name in COLUMNS])), path)
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows({**row, "tags": ";".join(row["tags"])} for row in rows)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_catalogue_reads_the_same_in_every_format(folder, suffix):
    """CSV, JSONL and parquet give the same rows, with every field where it belongs."""
    source = write(ROWS, folder / f"catalogue{suffix}")
    result = catalogue.read(str(source))
    assert result.root == folder.resolve() and result.table.schema == SCHEMA
    assert result.table.equals(catalogue.read(str(write(ROWS, folder / "other.jsonl"))).table)
    owl, oak, again = result.table.to_pylist()
    assert owl == {
        "id": "1",
        "image": "images/owl.png",
        "bytes": None,
        "title": "An owl, at night",
        "description": "",
        "tags": ["bird", "black & white"],
        "contributor": "Ada",
        "licence": "",
        "group": "",
        "fingerprint": hashlib.sha256(b"owl").hexdigest(),
        "repairs": [],
        "rejected": "",
        "detail": "",
    }
    assert (oak["title"], oak["tags"], oak["licence"], oak["group"]) == ("Café under an oak", [], "CC0", "trees")
    assert again["description"] == "The owl again" and again["fingerprint"] == owl["fingerprint"]


def test_parquet_with_bytes_gives_the_same_rows_and_keeps_the_bytes(folder):
    """Only the image column differs: the picture is in the table, not in a file."""
    embedded = pa.table(
        {
            "id": [row["id"] for row in ROWS],
            "image": [(folder / row["image"]).read_bytes() for row in ROWS],
            **{name: [row.get(name) for row in ROWS] for name in ("title", "description", "tags", "contributor", "licence", "group")},
        }
    )
    pq.write_table(embedded, folder / "bytes.parquet")
    embedded = catalogue.read(str(folder / "bytes.parquet")).table
    paths = catalogue.read(str(write(ROWS, folder / "catalogue.csv"))).table
    assert embedded.drop(["image", "bytes"]).equals(paths.drop(["image", "bytes"]))
    assert embedded["image"].to_pylist() == [""] * 3 and embedded["bytes"].to_pylist() == [b"owl", b"oak", b"owl"]


def test_embedded_pictures_without_an_id_are_named_by_their_content(tmp_path):
    """The SHA-256 is the id, so the same picture twice is a duplicate; empty and absent bytes are no picture."""
    pq.write_table(pa.table({"image": [b"owl", b"owl", b"", None], "title": ["A", "B", "C", "D"]}), tmp_path / "c.parquet")
    rows = catalogue.read(str(tmp_path / "c.parquet")).table.to_pylist()
    assert rows[0]["id"] == rows[0]["fingerprint"] == hashlib.sha256(b"owl").hexdigest()
    assert [row["rejected"] for row in rows] == ["", "duplicate id", "empty image cell", "empty image cell"]
    assert [row["id"] for row in rows[1:]] == ["row 2", "row 3", "row 4"]


def test_the_embedded_sample_is_a_catalogue_without_a_flaw():
    """``sample`` needs nothing but the package."""
    table = catalogue.read("sample").table
    assert len(table) > 100
    assert set(table["rejected"].to_pylist()) == {""}


def test_an_image_path_is_the_id_of_a_row_without_one(folder):
    """Spelt in its shortest form."""
    rows = read(folder, {"image": "./images//owl.png", "title": "A"}, {"image": "images/x/../oak.png", "title": "B"})
    assert [(row["id"], row["image"], row["rejected"]) for row in rows] == [
        ("images/owl.png", "images/owl.png", ""),
        ("images/oak.png", "images/oak.png", ""),
    ]


def test_a_changed_picture_under_the_same_name_changes_the_fingerprint(folder):
    """Else a stale picture would come out of the cache."""
    row = {"image": "images/owl.png", "title": "A"}
    before = read(folder, row)[0]["fingerprint"]
    (folder / "images" / "owl.png").write_bytes(b"another owl")
    assert read(folder, row)[0]["fingerprint"] != before


def test_metadata_is_repaired_and_the_repairs_are_named(folder):
    """Repairs belong to their row, so that they are counted where they happened."""
    (row,) = read(folder, {"image": "images/owl.png", "title": " Black &amp;\0 white ", "tags": ["owl", "HASH(0x8a1bc)", "owl"]})
    assert (row["title"], row["tags"]) == ("Black & white", ["owl"])
    assert "HASH tag removed" in row["repairs"] and "HTML entity decoded" in row["repairs"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("a; b;;c", ["a", "b", "c"]),
        ("salt &amp; pepper;R&B;caf&eacute;", ["salt & pepper", "R&B", "café"]),
        (["a;b", None, 7], ["a;b", "7"]),
        ("", []),
        (None, []),
        (7, ["7"]),
    ],
)
def test_tags_are_a_list_or_one_text_with_semicolons(folder, tags, expected):
    """The semicolon of an HTML entity does not end a tag."""
    assert read(folder, {"image": "images/owl.png", "title": "A", "tags": tags})[0]["tags"] == expected


@pytest.mark.parametrize(("value", "expected"), [(7, "7"), (7.5, "7.5"), (10**400, "1" + "0" * 400), (None, ""), (float("nan"), "")])
def test_a_number_is_text_and_nothing_is_empty_text(folder, value, expected):
    """Years and stock numbers come as numbers, an absent value as null or NaN."""
    (row,) = read(folder, {"image": "images/owl.png", "title": value, "group": value})
    assert (row["title"], row["group"], row["rejected"]) == (expected, expected, "")


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ({"image": ""}, "empty image cell", "line 2"),
        ({"image": " "}, "empty image cell", "line 2"),
        ({"title": "no image"}, "empty image cell", "line 2"),
        ({"image": "images/elk.png"}, "missing file", "'images/elk.png'"),
        ({"image": "images/owl.png/owl.png"}, "missing file", "'images/owl.png/owl.png'"),
        ({"image": "images"}, "not a file", "'images'"),
        ({"image": "."}, "not a file", "'.'"),
        ({"image": "images/" + "x" * 300}, "unreadable file", "'images/" + "x" * 300 + "': File name too long"),
        ({"image": "/etc/passwd"}, "absolute path", "line 2: '/etc/passwd'"),
        ({"image": "//host/a.png"}, "absolute path", "line 2: '//host/a.png'"),
        ({"image": "C:\\a.png"}, "absolute path", "line 2: 'C:\\\\a.png'"),
        ({"image": "https://example.org/a.png"}, "a URL, not a path", "line 2: 'https://example.org/a.png'"),
        ({"image": "data:image/png;base64,AAAA"}, "a URL, not a path", "line 2: 'data:image/png;base64,AAAA'"),
        ({"image": "images\\owl.png"}, "backslash in the path", "line 2: 'images\\\\owl.png'"),
        ({"image": "../secret.png"}, "path leaves the catalogue's folder", "line 2: '../secret.png'"),
        ({"image": "images/../../catalogue/images/owl.png"}, "path leaves the catalogue's folder", None),
        ({"image": "images/owl.png\0.png"}, "invalid character", "line 2: image: '\\x00' at position 14 of 'images/owl.png\\x00.png'"),
        ({"image": "images/\ud83d.png"}, "invalid character", None),
        ({"image": "images/owl.png", "id": "\ud83d"}, "invalid character", "line 2: id: '\\ud83d' at position 0 of '\\ud83d'"),
        ({"image": "images/owl.png", "title": "\ud83d", "tags": {}}, "wrong type", None),
        ({"image": ["images/owl.png"]}, "wrong type", "line 2: image: expected text, found list"),
        ({"image": "images/owl.png", "title": ["A"]}, "wrong type", "line 2: title: expected text, found list"),
        ({"image": "images/owl.png", "title": True}, "wrong type", "line 2: title: expected text, found bool"),
        ({"image": "images/owl.png", "tags": [["A"]]}, "wrong type", "line 2: tags: expected text, found list"),
        (
            {"image": "images/owl.png", "tags": {"en": "A"}},
            "wrong type",
            "line 2: tags: expected a list of texts, or one text with ';' between them, found dict",
        ),
        ({"image": "images/oak.png", "id": "good"}, "duplicate id", "'good'"),
    ],
)
def test_a_row_that_cannot_be_used_stays_and_says_why(folder, row, reason, detail):
    """The row before it is not affected, and the rejected one has an id of its own."""
    good, bad = read(folder, {"id": "good", "image": "images/oak.png", "title": "A"}, row)
    assert (good["id"], good["rejected"]) == ("good", "")
    assert bad["rejected"] == reason and bad["fingerprint"] == ""
    assert bad["id"] in ("row 2", row.get("image"))
    assert detail is None or bad["detail"] == detail


def test_links_are_followed_only_inside_the_catalogues_folder(folder):
    """A link to a file, a link to a folder, a circle of links and a broken one."""
    (folder.parent / "secret").mkdir()
    (folder.parent / "secret" / "key.png").write_bytes(b"key")
    links = {
        "inside.png": "images/owl.png",
        "folder": "images",
        "outside.png": "../secret/key.png",
        "outside": "../secret",
        "circle.png": "circle.png",
        "broken.png": "images/elk.png",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    names = ["inside.png", "folder/owl.png", "outside.png", "outside/key.png", "circle.png", "broken.png"]
    rows = read(folder, *({"image": name, "title": "A"} for name in names))
    leaves = "path leaves the catalogue's folder"
    assert [row["rejected"] for row in rows] == ["", "", leaves, leaves, "unreadable file", "missing file"]


def test_a_pipe_is_not_waited_for(folder):
    """Reading it would never end."""
    os.mkfifo(folder / "pipe.png")
    assert read(folder, {"image": "pipe.png", "title": "A"}, ROWS[0])[0]["rejected"] == "not a file"


def test_the_first_usable_row_of_an_id_is_kept(folder):
    """A row without its file does not take the id from the row that has it; all ids differ in the end."""
    rows = read(
        folder,
        {"id": "owl", "image": "images/elk.png", "title": "missing"},
        {"id": "owl", "image": "images/owl.png", "title": "first"},
        {"id": "owl", "image": "images/oak.png", "title": "second"},
        {"id": "row 1", "image": "images/oak.png", "title": "named like a rejected row"},
    )
    assert [(row["id"], row["rejected"]) for row in rows] == [
        ("row 1'", "missing file"),
        ("owl", ""),
        ("row 3", "duplicate id"),
        ("row 1", ""),
    ]


def test_a_catalogue_of_which_nothing_is_left_is_refused_with_counts_and_an_example(folder):
    """The person sees at once what is wrong with all of them."""
    with pytest.raises(DataError, match=r"none of 3 rows can be used: 2 missing file, 1 absolute path; for example 'a.png'"):
        read(folder, *({"image": name, "title": "A"} for name in ("/x.png", "a.png", "b.png")))
    (folder / "latin.csv").write_bytes("image,title\nimages/owl.png,Café\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"none of 1 rows can be used: 1 not UTF-8; for example line 2: byte 0xE9"):
        catalogue.read(str(folder / "latin.csv"))


@pytest.mark.parametrize("name", ["c.csv", "c.jsonl", "c.parquet"])
def test_a_catalogue_without_rows_is_refused(tmp_path, name):
    """A header alone, or an empty file of lines."""
    (tmp_path / "c.csv").write_text("image,title\n")
    (tmp_path / "c.jsonl").write_text("\n")
    pq.write_table(pa.table({"image": pa.array([], pa.string()), "title": pa.array([], pa.string())}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="has no rows"):
        catalogue.read(str(tmp_path / name))


@pytest.mark.parametrize("source", ["gs://bucket/photos", "https://example.org/catalogue.csv", "nowhere", "", "a\0b"])
def test_a_source_that_is_no_catalogue_is_refused_with_what_is_accepted(tmp_path, monkeypatch, source):
    """Every refusal names the source and the ways to give one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DataError, ValueError), match=r"source .*expected .*catalogue.csv, .jsonl or .parquet"):
        catalogue.read(source)


def test_a_folder_has_exactly_one_catalogue(folder):
    """A folder with none or two is refused, and a file without one of the three suffixes."""
    with pytest.raises(DataError, match="found none"):
        catalogue.read(str(folder))
    write(ROWS, folder / "catalogue.csv")
    write(ROWS, folder / "catalogue.jsonl")
    with pytest.raises(DataError, match=r"found catalogue.csv and catalogue.jsonl"):
        catalogue.read(str(folder))
    with pytest.raises(DataError, match=r"a \.png file, expected"):
        catalogue.read(str(folder / "images" / "owl.png"))


def test_a_moved_catalogue_has_the_same_slices(folder, tmp_path):
    """The folder's own path is in no slice, rejected rows included, so the cache still knows them."""
    (folder / "outside").symlink_to("/")
    rows = [*ROWS, {"image": "images/elk.png"}, {"image": "/x"}, {"image": "outside/x"}, {"image": "x" * 300}]
    (folder / "catalogue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    moved = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(folder, moved, symlinks=True)
    for name, root in (("original", folder), ("moved", moved)):
        (piece,) = slices(catalogue.read(str(root)).table)
        write_slice(piece, tmp_path / name)
    assert (tmp_path / "original" / "rows.parquet").read_bytes() == (tmp_path / "moved" / "rows.parquet").read_bytes()


@pytest.fixture(scope="module")
def playground(tmp_path_factory) -> Path:
    """One folder with one picture, for all examples of a property."""
    root = tmp_path_factory.mktemp("fuzz")
    (root / "owl.png").write_bytes(b"owl")
    return root


def check_the_books(source: Path, read_at_least: int) -> None:
    """Every row is kept or rejected with a reason, under an id of its own; or the catalogue is refused."""
    try:
        table = catalogue.read(str(source)).table
    except DataError:
        return
    rows = table.to_pylist()
    assert len(rows) >= read_at_least
    assert len({row["id"] for row in rows}) == len(rows) and all(row["id"] for row in rows)
    assert all(bool(row["fingerprint"]) != bool(row["rejected"]) for row in rows)


cells = st.sampled_from(["owl.png", "owl.png", "elk.png", "../x", "", "A", 'a "quote"', "a\nb", "a,b", "a;b", "\0", "Café", "row 1"])
scalars = cells | st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=3)
objects = st.dictionaries(st.sampled_from(COLUMNS), scalars | st.lists(scalars, max_size=3), max_size=8)


@settings(deadline=None)
@given(st.lists(st.lists(cells, min_size=1, max_size=4), max_size=5), st.binary(max_size=8), st.sampled_from(["utf-8", "latin-1"]))
def test_no_csv_escapes_the_books(playground, rows, noise, encoding):
    """Whatever a CSV catalogue holds, kept and rejected rows are all rows, and nothing but DataError is raised."""
    path = playground / "catalogue.csv"
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([["image", "title", "id"], ["owl.png", "A", "first"], *rows])
    path.write_bytes(path.read_bytes() + noise)
    check_the_books(path, read_at_least=1 + len(rows))


@settings(deadline=None)
@given(st.lists(objects | scalars, max_size=5), st.binary(max_size=8))
def test_no_jsonl_escapes_the_books(playground, rows, noise):
    """The same of JSONL."""
    path = playground / "catalogue.jsonl"
    path.write_bytes("\n".join(map(json.dumps, [{"image": "owl.png", "title": "A"}, *rows, 0])).encode() + noise)
    check_the_books(path, read_at_least=1 + len(rows))
