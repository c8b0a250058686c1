"""Several processes work as one: what they say arrives, and none outlives another."""

import logging
import time

import pytest

from tests.training import toy_ranks
from trainworks.errors import DataError, TrainingError
from trainworks.training import ranks
from trainworks.training.ranks import ALONE, Rank

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own

slow = pytest.mark.slow


@pytest.mark.parametrize("of", [1, 2, 3, 6])
def test_parts_are_the_whole(of):
    """Equal, in order, without a gap."""
    items = list(range(12))
    parts = [items[Rank(number, of).part(12)] for number in range(of)]
    assert {len(part) for part in parts} == {12 // of}
    assert [item for part in parts for item in part] == items


def test_alone_nothing_changes_hands():
    """One rank has the whole batch; no process group is asked."""
    own = {"a": 1}
    assert ALONE.merged(own) is own and ALONE.any(True) and not ALONE.any(False)


@slow
def test_all_ranks_work_together_and_are_heard(tmp_path, caplog):
    """Each adds its number; what rank 0 logs arrives in this process, under its own name."""
    with caplog.at_level(logging.INFO, "trainworks"):
        ranks.launch(2, toy_ranks.write_number, tmp_path, scratch=tmp_path)
    assert [(tmp_path / str(number)).read_text() for number in range(2)] == ["1", "1"]
    heard = [(record.name, record.getMessage()) for record in caplog.records if record.name.startswith("trainworks")]
    assert heard == [("trainworks.toy", "said by rank 0")]  # torch's agent speaks as well, once another launch has set it up


@slow
def test_a_killed_rank_ends_all(tmp_path):
    """Rank 0 waits for rank 1, which is no more: it does not wait for ever, and the message says who died of what."""
    start = time.monotonic()
    with pytest.raises(TrainingError, match=r"rank 1 of 2 was killed by SIGKILL: .*lower --batch_size or --devices"):
        ranks.launch(2, toy_ranks.one_dies, scratch=tmp_path)
    assert time.monotonic() - start < 60


@slow
@pytest.mark.parametrize(
    ("own", "kind", "message"),
    [(True, DataError, "no pictures:\nbring some"), (False, TrainingError, "rank 1 of 2 failed: KeyError: 'pixels'")],
    ids=["ours", "another's"],
)
def test_an_error_in_a_rank_is_the_error_of_all(own, kind, message, tmp_path):
    """Ours as it was raised, with its message and nothing of torch's around it; another's with the rank and what it was."""
    with pytest.raises(kind) as caught:
        ranks.launch(2, toy_ranks.one_raises, own, scratch=tmp_path)
    assert type(caught.value) is kind and str(caught.value) == message
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
