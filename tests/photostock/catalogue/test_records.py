"""Catalogue files: a bad record costs itself and says where it stands; a useless file is refused."""

import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainworks.errors import DataError
from trainworks.photostock.catalogue.records import COLUMNS, records

HEADER = b"image,title\n"


@pytest.fixture
def read(tmp_path):
    """Read the records of a file with these bytes."""

    def from_bytes(content: bytes, suffix: str = ".csv"):
        path = tmp_path / f"catalogue{suffix}"
        path.write_bytes(content)
        return list(records(path))

    return from_bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a property."""
    return tmp_path_factory.mktemp("catalogue")


def outcomes(file_records):
    """(image or reason) of each record."""
    return [record.reason or record.values["image"] for record in file_records]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_byte_order_mark_and_line_ends_of_every_system_are_read(read, bom, end):
    """Excel, an old Mac and Unix write the same catalogue."""
    assert [r.values for r in read(bom + end.join([b"image,title", b"a.png,A", b"", b"b.png,B"]))] == [
        {"image": "a.png", "title": "A"},
        {"image": "b.png", "title": "B"},
    ]
    lines = end.join([b'{"image": "a.png", "title": "A"}', b"", b'{"image": "b.png"}'])
    assert outcomes(read(bom + lines, ".jsonl")) == ["a.png", "b.png"]


def test_a_quoted_newline_stays_in_its_cell_and_counts_as_a_line(read):
    """The row after a title of two lines is still found at its own line."""
    file_records = read(HEADER + b'a.png,"two\nlines"\nb.png,B,C\n')
    assert file_records[0].values["title"] == "two\nlines"
    assert (file_records[1].where, file_records[1].reason) == ("line 4", "wrong number of columns")


def test_a_latin_1_row_is_rejected_alone(read):
    """One exporter's encoding does not cost the other rows."""
    file_records = read(HEADER + b"a.png,A\nb.png,Caf\xe9\nc.png,Caf\xc3\xa9\n")
    assert outcomes(file_records) == ["a.png", "not UTF-8", "c.png"]
    assert file_records[1].where == "line 3" and "0xE9" in file_records[1].detail and "Caf" in file_records[1].detail
    assert file_records[2].values["title"] == "Café"
    file_records = read(b'{"image": "a.png", "title": "Caf\xe9"}\n{"image": "b.png", "title": "B"}\n', ".jsonl")
    assert outcomes(file_records) == ["not UTF-8", "b.png"]


def test_ragged_rows_are_rejected_with_their_line(read):
    """Too few and too many cells."""
    file_records = read(HEADER + b"a.png\nb.png,B\nc.png,C,C\n")
    assert outcomes(file_records) == ["wrong number of columns", "b.png", "wrong number of columns"]
    assert [file_records[0].where, file_records[2].where] == ["line 2", "line 4"]
    assert file_records[2].detail == "3 cells, the header has 2"


@pytest.mark.parametrize("rest", [b'b.png,B\nc.png,"C"\n', b"b.png,B\nc.png,C\n", b'b.png,"B" and more\nc.png,C\n'])
def test_a_quote_that_is_never_closed_costs_its_own_line_only(read, rest):
    """The rows that it would swallow are read again."""
    file_records = read(HEADER + b'a.png,"A\n' + rest)
    assert outcomes(file_records)[0] == "not CSV" and file_records[0].where == "line 2"
    assert outcomes(file_records)[-1] == "c.png" and len(file_records) == 3


def test_lines_that_are_no_json_objects_are_rejected(read):
    """Text, an array, a number too long to be one, nesting without end, and a lone NUL."""
    bad = [b"image", b'["a.png"]', b"1" * 5000, b"[" * 100_000, b"\x00", b'{"image": "a.png"']
    file_records = read(b"\n".join([*bad, b'{"image": "b.png", "title": "B"}']), ".jsonl")
    assert outcomes(file_records) == ["not JSON"] * len(bad) + ["b.png"]
    assert file_records[1].detail == "expected an object {…}, found list"


def test_a_parquet_text_that_is_not_utf8_costs_its_row_only(read, tmp_path):
    """Arrow does not look at the bytes when a table is written."""
    titles = pa.Array.from_buffers(pa.string(), 2, pa.array([b"Caf\xe9", b"B"]).buffers())
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "title": titles}), tmp_path / "c.parquet")
    assert outcomes(records(tmp_path / "c.parquet")) == ["not UTF-8", "b.png"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"img,titel,price", r"'image' is missing; found 'img' \(did you mean 'image'\?\), 'titel' \(did you mean 'title'\?\), 'price'"),
        (b"image,titel,id", r"one of the columns title, description, tags; found 'image', 'titel' \(did you mean 'title'\?\), 'id'"),
        (b"image,title,title", "'title' appears more than once"),
        (b"image;title", r"separated by commas, found ';'"),
        (b"", "'image' is missing; found 'a.png', 'A'"),
        (b"image,caf\xe9", "no readable header: not UTF-8"),
        (b'image,"title', "no readable header: not CSV"),
        ("image,title".encode("utf-16"), "found UTF-16"),
    ],
)
def test_a_header_that_no_row_can_follow_is_refused_with_what_was_found(read, header, expected):
    """The error names the columns and the near misses."""
    with pytest.raises(DataError, match=expected):
        read(header + b"\na.png,A\n")


def test_an_empty_csv_file_is_refused(read):
    """Even a catalogue without pictures has a header."""
    with pytest.raises(DataError, match="no readable header: empty, expected a header such as image,title"):
        read(b"")


def test_jsonl_and_parquet_name_missing_columns_too(read, tmp_path):
    """The check does not depend on the format."""
    with pytest.raises(DataError, match=r"'Image' \(did you mean 'image'\?\)"):
        read(b'{"Image": "a.png", "title": "A"}\n', ".jsonl")
    pq.write_table(pa.table({"image": ["a.png"], "tag": ["A"]}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"'tag' \(did you mean 'tags'\?\)"):
        list(records(tmp_path / "c.parquet"))


def test_unknown_columns_are_logged_with_the_column_that_may_be_meant(read, caplog):
    """A misspelt column is not lost in silence."""
    with caplog.at_level(logging.WARNING):
        read(b"image,title,licens,width\na.png,A,CC0,7\n")
    assert "'licens' (did you mean 'licence'?), 'width'" in caplog.text


@pytest.mark.parametrize(
    "columns",
    [
        {"image": ["a.png"], "title": [{"en": "A"}]},
        {"image": ["a.png"], "title": [b"A"]},
        {"image": [{"bytes": b""}], "title": ["A"]},
        {"image": ["a.png"], "tags": [[["A"]]]},
    ],
)
def test_a_parquet_column_of_the_wrong_type_is_refused(tmp_path, columns):
    """No row of it could be used."""
    pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"column '(title|image|tags)' is .*, expected"):
        list(records(tmp_path / "c.parquet"))


def test_a_damaged_parquet_file_is_refused(read, tmp_path):
    """Text under the wrong name, and a file whose end is missing."""
    with pytest.raises(DataError, match="not a readable parquet file"):
        read(b"image,title\n", ".parquet")
    pq.write_table(pa.table({"image": ["a.png"], "title": ["A"]}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="not a readable parquet file"):
        read((tmp_path / "c.parquet").read_bytes()[:-9], ".parquet")


csv_like = st.lists(st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"\xe9", b"\xc3\xa9", b"a.png", b"A", b";", b" "]), max_size=60)


@settings(deadline=None)
@given(csv_like)
def test_any_bytes_below_a_csv_header_are_read_or_rejected(folder, pieces):
    """Nothing but records comes out, each with all its cells or a reason."""
    path = folder / "catalogue.csv"
    path.write_bytes(HEADER + b"".join(pieces))
    file_records = list(records(path))
    assert all(record.reason or set(record.values) == {"image", "title"} for record in file_records)
    assert len(file_records) <= 1 + sum(piece in b"\n\r" for piece in pieces)


json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
json_values = json_scalars | st.lists(json_scalars, max_size=3) | st.dictionaries(st.sampled_from(COLUMNS), json_scalars)


@settings(deadline=None)
@given(st.lists(json_values, max_size=5))
def test_any_json_line_is_a_record(folder, values):
    """As many records as lines, and only objects without a reason."""
    path = folder / "catalogue.jsonl"
    first = {"image": "a.png", "title": "A"}
    path.write_text("\n".join(map(json.dumps, [first, *values])))
    file_records = list(records(path))
    assert [record.reason for record in file_records] == [""] + ["" if isinstance(value, dict) else "not JSON" for value in values]
