"""A log of queries in the forms that services write."""

import json

import pytest

from trainworks.errors import DataError
from trainworks.photostock.monitoring import query_log
from trainworks.storage import s3


@pytest.mark.parametrize(
    ("name", "line"),
    [("q.txt", "red circle\n"), ("q.csv", "red circle,9\n"), ("q.jsonl", '{"query": "red circle"}\n'), ("q.jsonl", '"red circle"\n')],
)
def test_a_query_log_is_text_csv_or_jsonl(tmp_path, name, line):
    """Each query counts as often as it was asked; blank lines do not."""
    (tmp_path / name).write_text("query,clicks\n" * name.endswith("csv") + line * 40 + "\n")
    assert query_log.read(tmp_path / name) == ["red circle"] * 40


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.txt", b"red\n" * 3, "3 queries are too few"),
        ("q.txt", b"caf\xe9\n" * 40, "not a readable query log"),
        ("q.csv", b"text\nred\n", "expected a column 'query', found text"),
        ("q.jsonl", b'"red"\n{"q": 1}\n', "line 2 has no query"),
        ("q.jsonl", b"red\n", "line 1 has no query"),
        ("q.json", b'{\n"queries": ["red"]}\n', "line 1 has no query"),
        ("q.parquet", b"PAR1", "a .parquet file is no query log"),
        ("q.txt", "red\n".encode("utf-16-le") * 40, "expected UTF-8, found UTF-16"),
        ("gs://bucket/q.txt", b"", "no other store is known"),
    ],
)
def test_a_log_that_cannot_be_read_says_where(tmp_path, name, content, message):
    """Named with its line, what was expected and what came."""
    path = tmp_path / "log" if "://" in name else tmp_path / name
    path.write_bytes(content)
    with pytest.raises((DataError, ValueError), match=message):
        query_log.read(name if "://" in name else path)


QUERIES = [f"red circle {number}" for number in range(40)]
LINES = [json.dumps({"query": query}) for query in QUERIES]


@pytest.mark.parametrize("name", ["q.csv", "q.CSV", "q.tsv", "q.txt", "q.log", "q", "search.log.1", "search.log.2026-11-01"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("declared", [False, True])
def test_a_table_is_read_as_one_whatever_its_name(tmp_path, name, mark, declared):
    """The case of its suffix, a suffix of text, the mark between its cells and a spreadsheet's first line make no other log of it."""
    head = f"sep={mark}\n" * declared + mark.join(("time", "Query ", "user"))
    (tmp_path / name).write_text("\n".join([head, *(mark.join(("12:00", f'"{query}"', "u1")) for query in QUERIES)]), "utf-8-sig")
    assert query_log.read(tmp_path / name) == QUERIES


@pytest.mark.parametrize("name", ["q.json", "q.JSON", "q.txt"])
@pytest.mark.parametrize("content", [json.dumps(QUERIES, indent=1), json.dumps([{"query": query} for query in QUERIES]), "\n".join(LINES)])
def test_json_is_read_as_json_whatever_its_name(tmp_path, name, content):
    """A list of texts or of objects, or an object a line."""
    (tmp_path / name).write_text(content)
    assert query_log.read(tmp_path / name) == QUERIES


def test_queries_are_cleaned_as_titles_are(tmp_path):
    """What shows nothing is no query; entities, control characters and the halves of characters are repaired."""
    written = ["caf&eacute;", "a\x00b", "half \ud83d emoji", "\u200b", "\u3164", " "]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, written * 10)))
    assert query_log.read(tmp_path / "q.jsonl") == ["café", "a b", "half emoji"] * 10


def test_a_log_lies_here_or_on_s3(tmp_path, bucket):
    """As every place that a setting names."""
    s3.put(f"{bucket}/logs/q.CSV", ("query\n" + "\n".join(QUERIES)).encode())
    assert query_log.read(f"{bucket}/logs/q.CSV") == QUERIES


def test_some_queries_are_drawn_for_people(tmp_path):
    """From the log beside the releases: different ones, as short as asked for, the same every time; none without a log."""
    assert query_log.drawn(str(tmp_path), most=10, longest=20) == []
    (tmp_path / "queries.txt").write_text("".join(f"query number {k % 40} {'x' * 99}\n" for k in range(80)))
    drawn = query_log.drawn(str(tmp_path), most=10, longest=20)
    assert len(set(drawn)) == 10 and all(len(query) <= 20 for query in drawn)
    assert drawn == query_log.drawn(str(tmp_path), most=10, longest=20)


def test_a_log_beside_releases_in_a_bucket_is_found(bucket):
    """As one in a folder."""
    s3.put(f"{bucket}/release/queries.csv", "".join(["query\n", *(f"query {k}\n" for k in range(40))]).encode())
    assert len(query_log.drawn(f"{bucket}/release", most=50, longest=20)) == 40
    assert query_log.drawn(f"{bucket}/other", most=50, longest=20) == []
