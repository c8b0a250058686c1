"""What a bundle remembers of its panel."""

import json

import pytest

from tests.supermegaretail import toy_panel
from trainworks import drift
from trainworks.supermegaretail.monitoring import profile


@pytest.mark.parametrize(("factor", "ok"), [(1, True), (6, False)])
def test_the_same_law_is_alike_and_sixfold_sales_are_not(tmp_path, factor, ok):
    """By the hall's drift, from the file."""
    profile.write(tmp_path, profile.profile(toy_panel.panel(stores=20)))
    known = json.loads((tmp_path / profile.FILE).read_text())["measures"]
    newer = toy_panel.panel(stores=20, seed=1)
    newer.demand[:] *= factor
    name = "units a period, log"
    assert drift.compare(name, known[name], profile.quantities(newer)[name])["ok"] is ok
