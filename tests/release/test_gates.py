"""Gates decide about a release, and say by how much they were missed."""

import json
import math
from dataclasses import replace

import pytest

from trainworks.release.gates import Gate, verdict, why

RECALL = Gate("recall", 0.31, 0.35, "text-to-image R@10")
SIZE = Gate("size", 80, 100, "bytes per embedding", must="at most")


@pytest.mark.parametrize(
    ("value", "must", "passed"),
    [(0.5, "at least", True), (0.49, "at least", False), (0.5, "at most", True), (0.51, "at most", False)],
)
def test_a_gate_holds_at_its_bound(value, must, passed):
    """Equal is enough, in either direction."""
    assert Gate("g", value, 0.5, "", must).passed is passed


@pytest.mark.parametrize("must", ["at least", "at most"])
@pytest.mark.parametrize(("value", "bound"), [(math.nan, 0), (0, math.nan)])
def test_what_is_not_a_number_never_passes(value, bound, must):
    """A metric that could not be computed, or a bound that was, lets nothing through."""
    assert not Gate("g", value, bound, "", must).passed


def test_a_verdict_needs_every_gate():
    """One that fails is enough."""
    assert verdict([SIZE])["passed"] is True
    assert verdict([SIZE, RECALL])["passed"] is False


def test_a_verdict_is_plain_json():
    """With one row per gate; not-a-number becomes null, which JSON has and NaN is not."""
    found = verdict([RECALL, Gate("gain", math.nan, 0.0, "points gained")])
    rest = {"must": "at least", "passed": False, "waived": False, "note": ""}
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "passed": False,
        "gates": [
            {"gate": "recall", "value": 0.31, "bound": 0.35, "meaning": "text-to-image R@10", **rest},
            {"gate": "gain", "value": None, "bound": 0.0, "meaning": "points gained", **rest},
        ],
    }


def test_no_gate_is_no_verdict():
    """Nothing measured must not look like everything passed."""
    with pytest.raises(ValueError, match="at least one gate"):
        verdict([])


def test_a_failure_says_which_gate_and_by_how_much():
    """A person reads it without opening the report."""
    gain = Gate("gain", math.nan, 0.0, "points gained")
    assert why(verdict([RECALL, SIZE, gain])) == (
        "gate recall failed: text-to-image R@10 must be at least 0.35, is 0.31, 0.04 off; "
        "gate gain failed: points gained must be at least 0, is not a number"
    )
    assert why(verdict([SIZE])) == "every gate holds"


def test_a_waived_gate_fails_in_sight_and_holds_nothing_back():
    """It is measured and told like any other; only the verdict passes over it, and never over another one."""
    found = verdict([SIZE, replace(RECALL, waived=True)])
    assert found["passed"] is True and [row["passed"] for row in found["gates"]] == [True, False]
    assert why(found) == "gate recall failed and is waived: text-to-image R@10 must be at least 0.35, is 0.31, 0.04 off"
    assert verdict([RECALL, replace(SIZE, waived=True)])["passed"] is False


def test_a_gate_that_holds_for_want_of_a_value_says_so():
    """A bound that nothing can break, minus infinity, is not mistaken for a value that was measured."""
    nothing = Gate("regression", -math.inf, -0.1, "points lost", must="at most", note="no release to compare with")
    found = verdict([SIZE, nothing])
    assert found["passed"] is True and found["gates"][1]["value"] is None
    assert why(found) == "every gate holds; gate regression holds: no release to compare with"


def test_bundles_from_before_waivers_are_still_told():
    """Their rows have neither waiver nor note, and can be released again."""
    old = {"gate": "recall", "value": 0.31, "must": "at least", "bound": 0.35, "passed": False, "meaning": "R@10"}
    assert why({"passed": False, "gates": [old]}) == "gate recall failed: R@10 must be at least 0.35, is 0.31, 0.04 off"
