"""Where the stores are."""

import pytest

from trainworks.supermegaretail.tables.zones import zone


@pytest.mark.parametrize(
    ("stated", "source", "where"),
    [("", "sample", "America/New_York"), ("", "s3://bucket/sales", "UTC"), ("Europe/Berlin", "sample", "Europe/Berlin")],
)
def test_what_is_stated_holds_and_the_sample_knows_its_own(stated, source, where):
    """Else timestamps are days of UTC."""
    assert zone(stated, source) == where
