"""The way of the rows from source to dataset: every row is counted once, or the page is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks.errors import DataError
from trainworks.report.ledger import ledger

STAGES = [
    {"stage": "acquire", "read": 100, "kept": 97, "rejected": {"no date": 1, "unreadable": 2}},
    {"stage": "clean", "read": 97, "kept": 90, "rejected": {"future": 2}, "corrected": {"sign": 4, "unit": 1}},
    {"stage": "join", "read": 95, "kept": 95, "rejected": {}},
]


def test_each_stage_takes_what_the_one_before_handed_on():
    """Rejected rows are taken off, the most frequent reason first; corrected ones go on with those that were kept as they were."""
    table = ledger(100, STAGES, {("acquire", "no date"): "line 7"})
    assert [row[:2] for row in table.rows] == [
        ["read from the source", 100],
        ["acquire: unreadable", "−2"],
        ["acquire: no date", "−1"],
        ["kept by acquire", 97],
        ["clean: future", "−2"],
        ["kept by clean", 95],
        ["of these corrected: sign", "4"],
        ["of these corrected: unit", "1"],
        ["kept by join", 95],
    ]
    assert [row[1] for k, row in enumerate(table.rows) if k in table.strong] == [100, 97, 95, 95]
    assert [row[2] for row in table.rows if row[2]] == ["line 7"]


@pytest.mark.parametrize(
    ("number", "wrong"),
    [(0, {"kept": 96}), (1, {"read": 96}), (1, {"corrected": {"sign": 4}}), (1, {"rejected": {}}), (2, {"read": 90, "kept": 90})],
)
def test_rows_that_do_not_add_up_are_refused(number, wrong):
    """A row more or less than was handed on, and corrected rows that are forgotten; the message names the stage and its numbers."""
    stages = [stage | wrong if k == number else stage for k, stage in enumerate(STAGES)]
    with pytest.raises(DataError, match=rf"card.json: {STAGES[number]['stage']} took .* these must add up .*: join again"):
        ledger(100, stages, {})


@given(st.lists(st.tuples(*[st.lists(st.integers(0, 9), max_size=3)] * 2), max_size=4))
def test_what_is_left_is_what_was_read_less_what_was_rejected(stages):
    """Whatever is corrected on the way."""
    left = read = 10 + sum(sum(rejected) + sum(corrected) for rejected, corrected in stages)
    rows = []
    for rejected, corrected in stages:
        named = {kind: {str(k): n for k, n in enumerate(ns)} for kind, ns in (("rejected", rejected), ("corrected", corrected))}
        rows.append({"stage": "s", "read": left, "kept": left - sum(rejected) - sum(corrected), **named})
        left -= sum(rejected)
    table = ledger(read, rows, {})
    assert table.rows[max(table.strong)][1] == left
