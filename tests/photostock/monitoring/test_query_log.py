"""A log of queries in the forms that services write."""

import pytest

from trainworks.errors import DataError
from trainworks.photostock.monitoring import query_log


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
        ("q.jsonl", b"red\n", "line 1 is not JSON"),
    ],
)
def test_a_log_that_cannot_be_read_says_where(tmp_path, name, content, message):
    """Named with its line, what was expected and what came."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        query_log.read(tmp_path / name)
