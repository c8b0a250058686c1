"""What a row of sales is."""

import numpy as np
import pyarrow as pa
import pytest

from trainworks.supermegaretail.tables import level
from trainworks.supermegaretail.tables.typed import FILE, REJECTED


@pytest.mark.parametrize(("again", "known_by"), [(0, ["store", "product", "date"]), (1, [])])
def test_some_of_the_keys_tell_whether_they_tell_lines_apart(monkeypatch, again, known_by):
    """As all of them do, in a twentieth of the memory: a till's lines are known by their second, unless each stands there twice."""
    count = 5_000
    lines = pa.table(
        {
            FILE: np.zeros(count, np.int32),
            "date": np.datetime64("2026-01-01T08:00:01") + np.arange(count),
            "store": ["0001"] * count,
            "product": [f"P{n % 50}" for n in range(count)],
            REJECTED: [""] * count,
        }
    )
    sales = pa.concat_tables([lines] * (1 + again))
    assert sorted(level.key(sales, level.LINES)) == sorted(known_by)
    monkeypatch.setattr(level, "ENOUGH", 250)
    assert sorted(level.key(sales, level.LINES)) == sorted(known_by)
