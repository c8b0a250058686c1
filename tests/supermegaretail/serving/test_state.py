"""The panel that a forecaster ships with."""

import dataclasses

import numpy as np
import pytest

from tests.supermegaretail import toy_panel
from trainworks.errors import IntegrityError
from trainworks.supermegaretail.serving import state


def test_a_panel_comes_back_as_it_was(tmp_path):
    """Bit by bit, with what is not known."""
    panel = toy_panel.panel()
    panel.demand[1, :7] = np.nan
    panel.covariates["price"][0, 2] = np.nan
    state.write(panel, tmp_path / "state.parquet")
    again = state.read(tmp_path / "state.parquet")
    for field in dataclasses.fields(panel):
        before, after = getattr(panel, field.name), getattr(again, field.name)
        if field.name == "covariates":
            assert before.keys() == after.keys() and all(np.array_equal(before[k], after[k], equal_nan=True) for k in before)
        elif isinstance(before, np.ndarray):
            assert before.dtype == after.dtype and np.array_equal(before, after, equal_nan=before.dtype.kind == "f"), field.name
        else:
            assert before == after, field.name


def test_another_parquet_file_is_refused(tmp_path):
    """Such as the panel's own cells."""
    toy_panel.panel().save(tmp_path)
    with pytest.raises(IntegrityError, match="not the state of a forecaster"):
        state.read(tmp_path / "cells.parquet")
