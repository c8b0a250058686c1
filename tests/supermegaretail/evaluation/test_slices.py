"""Parts of the forecasts that are measured apart."""

import numpy as np
import pytest

from tests.supermegaretail import toy_panel
from trainworks.supermegaretail.evaluation.rows import of
from trainworks.supermegaretail.evaluation.slices import slices


@pytest.fixture(scope="module")
def panel():
    return toy_panel.panel(planned=0)


def test_every_parting_covers_all_rows_once(panel):
    """So that parts add up to the whole."""
    rows = of(toy_panel.forecasts(panel, 55))
    parts = slices(rows, panel)
    assert set(parts) == {"promotion", "volume", "category", "store", "horizon"}
    for masks in parts.values():
        assert (np.sum(list(masks.values()), 0) == 1).all()


def test_promoted_rows_are_those_on_offer_in_the_week_that_is_forecast(panel):
    """Not in that of the origin."""
    rows = of(toy_panel.forecasts(panel, 55))
    masks = slices(rows, panel)["promotion"]
    offered = {(s, str(panel.starts[t])) for s, t in np.argwhere(panel.covariates["promotion"] > 0)}
    names = {name: k for k, name in enumerate(zip(panel.series["store"].to_pylist(), panel.series["product"].to_pylist(), strict=True))}
    for row, promoted in zip(rows.table.to_pylist(), masks["promoted"], strict=True):
        assert promoted == ((names[row["store"], row["product"]], str(row["start"])) in offered)


def test_a_series_is_new_by_what_was_known_at_the_origin(panel):
    """One that is first listed in week 40 is new at week 55, though it would be known for long some time."""
    panel.demand[3, :40] = np.nan
    rows = of(toy_panel.forecasts(panel, 55))
    is_new = slices(rows, panel)["age"]["new"]
    assert set(rows.table.filter(is_new)["product"].to_pylist()) == {"P3"} and is_new.sum() == 4
