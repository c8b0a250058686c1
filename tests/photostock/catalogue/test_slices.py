"""Slices: together they are the catalogue, and few of them change when a few rows do."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from trainworks.photostock.catalogue import slices

ids_of_a_catalogue = st.builds(
    lambda seed, n: [f"{word:016x}" for word in np.random.default_rng(seed).integers(0, 2**63, n)],
    st.integers(0, 2**32),
    st.integers(0, 3000),
)


def cut(ids: list[str]) -> list[tuple[str, ...]]:
    """The slices as tuples of ids."""
    return [tuple(ids[a:b]) for a, b in pairwise([0, *slices.ends(ids)])]


def rows(n: int) -> pa.Table:
    """*n* rows in the columns of a slice."""
    text = {name: [f"{name} {i}" for i in range(n)] for name in slices.SCHEMA.names}
    return pa.table({**text, "bytes": [None] * n, "tags": [["a", "b"]] * n, "repairs": [[]] * n}, slices.SCHEMA)


@settings(deadline=None)
@given(ids_of_a_catalogue)
def test_the_slices_one_after_another_are_the_catalogue(ids):
    """No row is lost, repeated or moved, and no slice is empty."""
    pieces = cut(ids)
    assert [name for piece in pieces for name in piece] == ids
    assert all(pieces)


@settings(deadline=None)
@given(ids_of_a_catalogue, ids_of_a_catalogue)
def test_appended_rows_leave_all_slices_but_the_last_as_they_were(ids, more):
    """Slices are append-only: what was prepared stays prepared."""
    before, after = cut(ids), cut(ids + more)
    assert after[: max(len(before) - 1, 0)] == before[:-1]


@settings(deadline=None)
@given(ids_of_a_catalogue.filter(bool), st.data())
def test_a_removed_row_touches_its_own_slice_and_hardly_another(ids, data):
    """The cut finds its old places again behind the gap."""
    row = data.draw(st.integers(0, len(ids) - 1))
    before, after = cut(ids), cut(ids[:row] + ids[row + 1 :])
    assert len(set(after) - set(before)) <= 5


@settings(deadline=None, max_examples=25)
@given(ids_of_a_catalogue.filter(bool), st.data())
def test_a_changed_row_touches_its_own_slice_only(ids, data):
    """A new title under an old id does not move the cut."""
    row = data.draw(st.integers(0, len(ids) - 1))
    table = pa.table({"id": ids, "title": [""] * len(ids)})
    titles = [""] * len(ids)
    titles[row] = "changed"
    changed = [
        not old.equals(new) for old, new in zip(slices.slices(table), slices.slices(table.set_column(1, "title", [titles])), strict=True)
    ]
    assert sum(changed) == 1


def test_slices_grow_with_the_catalogue_so_that_their_number_does_not():
    """A million rows with running numbers make about 1100 slices, each within four times its target."""
    ids = [f"photo-{i:07d}" for i in range(1_000_000)]
    lengths = np.diff([0, *slices.ends(ids)])
    assert 900 < len(lengths) < 1500
    assert lengths[:50].max() <= 4 * 32
    assert lengths.max() <= 4 * 4096


def test_ten_new_rows_in_a_thousand_remake_few_rows():
    """Adding 1 % of a catalogue of 10^5 makes about 1 to 3 % of its rows anew."""
    ids = [f"{i}.jpg" for i in range(101_000)]
    before, after = set(cut(ids[:100_000])), cut(ids)
    assert sum(len(piece) for piece in after if piece not in before) <= 3_000


def test_the_same_rows_are_written_as_the_same_bytes(tmp_path):
    """Neither the chunks of the table nor what stands before the slice show in the file."""
    whole_table = rows(300)
    pieces = pa.concat_tables([rows(500).slice(0, 7), rows(500).slice(7, 93), rows(500).slice(100, 200)])
    for name, table in (("one", whole_table), ("pieces", pieces.replace_schema_metadata({"root": "/somewhere"}))):
        slices.write_slice(table, tmp_path / name)
    assert (tmp_path / "one" / "rows.parquet").read_bytes() == (tmp_path / "pieces" / "rows.parquet").read_bytes()
    assert pq.read_table(tmp_path / "one" / "rows.parquet").equals(whole_table)
