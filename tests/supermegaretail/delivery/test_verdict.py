"""What the gates say of a run."""

import json
import shutil

import pytest

from trainworks.release.gates import why
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.delivery.verdict import ledger, verdict
from trainworks.supermegaretail.run import Run


@pytest.fixture
def run(delivered, tmp_path):
    """A copy whose metrics a test may change."""
    metrics = shutil.copytree(delivered["metrics"], tmp_path / "metrics")
    return Run(delivered["panel"], delivered["recipe"], delivered["forecaster"], metrics, delivered["behaviour"])


def change(run, **values):
    path = run.metrics / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def gate(run, lines, text):
    return verdict(run, lines, GateConfig(text))["gates"][0]


def test_a_gain_is_what_is_surely_saved(run, delivered):
    """The lower end of the interval, beside the best baseline's loss."""
    low = json.loads((run.metrics / "metrics.json").read_text())["gains"]["pinball_share"]["interval"][0]
    assert gate(run, delivered["lines"], "gain >= 0")["value"] == pytest.approx(low)
    assert not gate(run, delivered["lines"], "gain >= 0.9")["passed"]


def test_a_baseline_that_won_gains_nothing_and_may_ship(run, delivered):
    """And the gate says that it is one."""
    change(run, ships_baseline=True)
    row = gate(run, delivered["lines"], "gain >= 0")
    assert row["passed"] and row["value"] == 0 and row["note"] == "toy is the best baseline itself"


def test_a_bias_in_either_direction_fails(run, delivered):
    """Half too little is as bad as half too much."""
    shipped = json.loads((run.metrics / "metrics.json").read_text())["shipped"]
    for bias in (-0.5, 0.5):
        change(run, shipped=shipped | {"bias": {"value": bias, "interval": [bias, bias]}})
        assert "bias" in why(verdict(run, delivered["lines"], GateConfig("bias <= 0.2")))


def test_a_regression_is_what_is_surely_lost_against_the_release(run, delivered):
    """Without a release there is none, and the row says so."""
    assert gate(run, delivered["lines"], "regression <= 0.02")["note"] == "no release to compare with"
    change(run, over_release={"pinball_share": {"value": -0.2, "interval": [-0.3, -0.1]}}, release={"version": "v1"})
    row = gate(run, delivered["lines"], "regression <= 0.02")
    assert row["value"] == pytest.approx(0.1) and not row["passed"] and row["note"] == "against v1"


def test_what_could_not_be_measured_fails(run, delivered, tmp_path):
    """A check without cases is no check that holds."""
    behaviour = shutil.copytree(delivered["behaviour"], tmp_path / "behaviour")
    content = json.loads((behaviour / "behaviour.json").read_text())
    content["checks"]["price_up"] |= {"rate": None, "cases": 0}
    (behaviour / "behaviour.json").write_text(json.dumps(content))
    changed = Run(run.panel, run.recipe, run.forecaster, run.metrics, behaviour)
    row = gate(changed, delivered["lines"], "price_up >= 0.9")
    assert not row["passed"] and row["note"] == "not measured: no case to try it on"


def test_lines_are_summed_over_slices(run, delivered):
    """A table's numbers and reasons, whichever period they are of."""
    whole = ledger(delivered["lines"])
    assert whole["sales"]["read"] == 2000 and whole["sales"]["rejected"] == {"quantity is no number": 10}
    assert gate(run, delivered["lines"], "rejected <= 1")["value"] == pytest.approx(0.005)
