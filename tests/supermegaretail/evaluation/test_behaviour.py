"""What a forecaster must do whatever it is asked, on one that does and on ones that do not."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.supermegaretail import toy_forecaster, toy_panel
from trainworks.supermegaretail.evaluation import behaviour
from trainworks.supermegaretail.evaluation.checks import BEHAVIOUR
from trainworks.supermegaretail.evaluation.tried import Tried
from trainworks.supermegaretail.forecaster import Forecaster


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return Tried.load(toy_forecaster.write(toy_panel.panel(planned=0), tmp_path_factory.mktemp("forecaster")))


def rate(cases):
    return sum(case.passed for case in cases) / len(cases)


@pytest.mark.parametrize("name", [name for name in BEHAVIOUR if name != "unknown"])
def test_smoothing_with_the_right_signs_does_what_it_must(tried, name):
    """In every case, of which there are some; a newest week's noise moves it by a fifth."""
    cases = behaviour.CHECKS[name](tried)
    assert cases and rate(cases) == 1


def test_the_unknown_are_flagged_and_within_the_range_of_the_known(tried):
    """For every key, for a third of the series each."""
    cases = behaviour.unknown(tried)
    assert rate(cases) == 1 and {case.what for case in cases} == {f"another {key} like it, unknown" for key in ("store", "product")}


@pytest.mark.parametrize(("wrong", "checks"), [({"promotion": -0.5}, ("promotion", "promotion_gone")), ({"price": 1.0}, ("price_up",))])
def test_wrong_signs_are_seen(tmp_path, wrong, checks):
    """A model that sells less on offer, and one that sells more when dearer, fail where they must."""
    tried = Tried.load(toy_forecaster.write(toy_panel.panel(planned=0), tmp_path, **wrong))
    for name in BEHAVIOUR:
        if name in ("price_up", "promotion", "promotion_gone"):
            assert (rate(behaviour.CHECKS[name](tried)) < 0.5) == (name in checks), name


WRONG = {
    "consistency": lambda panel: np.arange(len(panel.series)),
    "renamed": lambda panel: [len(name) for name in panel.series["product"].to_pylist()],
    "price_up": lambda panel: panel.covariates["price"][:, -1],
    "promotion": lambda panel: 1000 - 9 * panel.covariates["promotion"][:, -1],
    "promotion_gone": lambda panel: 1000 - 99 * panel.covariates["promotion"][:, -4:].max(axis=1),
    "currency": lambda panel: panel.covariates["price"][:, -1],
    "unit": lambda panel: np.full(len(panel.series), 100),
    "noise": lambda panel: panel.demand[:, -1],
    "ordered": lambda panel: np.full(len(panel.series), -1000),
    "unknown": lambda panel: 1000 * np.isnan(panel.demand).all(axis=1),
    "dead": lambda panel: np.full(len(panel.series), 50),
    "coherent": lambda panel: np.full(len(panel.series), 100),
}
"""Check → what a forecaster adds to all that it says of a panel's series, which the check must see."""


@pytest.mark.parametrize("name", BEHAVIOUR)
def test_every_check_sees_a_forecaster_that_does_what_it_must_not(tried, name):
    """The same forecaster passes all of them when it adds nothing."""

    class Wrong(Forecaster):
        def of(self, panel, origin):
            table = super().of(panel, origin)
            more = np.repeat(np.asarray(WRONG[name](panel.until(origin, self.horizon)), float), self.horizon)
            for at, column in enumerate(table.column_names):
                if column == "mean" or column.startswith("q0"):
                    table = table.set_column(at, column, pa.array(np.nan_to_num(table[column].to_numpy() + more)))
            return table

    assert rate(behaviour.CHECKS[name](replace(tried, forecaster=Wrong.load(tried.folder)))) < 1


def test_a_week_that_begins_with_a_closed_day_is_tried_in_the_others(tmp_path):
    """What may not sell in the first period ahead is no reason to try nothing."""
    panel = toy_panel.panel(planned=0)
    panel.sells[:, panel.known - 4], panel.demand[:, panel.known - 4] = False, np.nan
    tried = Tried.load(toy_forecaster.write(panel, tmp_path))
    for name in BEHAVIOUR:
        cases = behaviour.CHECKS[name](tried)
        assert cases and rate(cases) == 1, name


def test_what_the_panel_lacks_makes_no_case(tmp_path):
    """One store's sales without its name in the grain say nothing of stores together."""
    panel = toy_panel.panel(stores=1, planned=0)
    object.__setattr__(panel, "keys", ("product",))
    tried = Tried.load(toy_forecaster.write(panel, tmp_path))
    assert behaviour.coherent(tried) == []


def test_rates_and_worst_cases_are_written(tmp_path, tried):
    """In the order of the checks, for report and gates."""
    behaviour.behave(tried.folder, tmp_path)
    written = json.loads((tmp_path / "behaviour.json").read_text())
    assert list(written["checks"]) == list(BEHAVIOUR)
    assert {name: (check["cases"] >= 3, check["rate"]) for name, check in written["checks"].items()} == dict.fromkeys(BEHAVIOUR, (True, 1))
