"""The gates decide by what the stages wrote, and say where there was nothing to decide by."""

import json
import math
from dataclasses import fields

import pytest

from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.delivery.verdict import verdict
from trainworks.photostock.evaluation.checks import BEHAVIOUR
from trainworks.photostock.evaluation.measures import MEASURES
from trainworks.photostock.run import Run
from trainworks.release.gates import why
from trainworks.report.verdict import table

METRICS = {
    "finetuned": {"text_to_image": {"R@10": 0.3, "queries": 80, "interval": {"R@10": [0.21, 0.41]}}},
    "baseline": {"text_to_image": {"R@10": 0.125}},
    "chance": {"R@10": 0.1},
    "paired": {"text_to_image": {"R@10": {"difference": 0.175, "interval": [0.05, 0.28]}}},
    "queries": {
        "caption": {"finetuned": {"R@10": 0.3}, "baseline": {"R@10": 0.125}},
        "title": {"finetuned": {"R@10": 0.25}, "baseline": {"R@10": 0.25}},
        "two tags": {"finetuned": {"R@10": 0.25}, "baseline": {"R@10": 0.375}},
    },
    "int8": {"image_encoder": {"loss": 0.05, "ships": False}, "text_encoder": {"loss": 0.004, "ships": True}},
}
OVER = {"over_release": {"text_to_image": {"R@10": {"difference": -0.0625, "interval": [-0.125, -0.03125]}}}, "release": {"version": "v7"}}
CHECKS = {name: {"rate": 0.75, "low": 0.6, "high": 0.85, "cases": 64} for name in BEHAVIOUR} | {"case": {"rate": None, "cases": 0}}
PARITY = {"image_encoder": {"max_abs": 2e-6}, "text_encoder": {"max_abs": 1e-7}}
STAGES = [
    {"stage": "acquire", "read": 100, "kept": 80, "rejected": {"excluded": 20}},
    {"stage": "prepare", "read": 80, "kept": 73, "rejected": {"too small": 4, "unreadable": 3}},
    {"stage": "curate", "read": 73, "kept": 43, "rejected": {"near duplicate": 30}},
]


@pytest.fixture
def judge(tmp_path):
    """The verdict of some gates on the run above, with *metrics*, *parity* or the *checks* of behaviour changed."""

    def judge(gates, metrics=None, parity=PARITY, checks=CHECKS):
        files = {
            "metrics/metrics": METRICS | (metrics or {}),
            "behaviour/behaviour": {"checks": checks},
            "encoders/parity": parity,
            "dataset/card": {"stages": STAGES},
        }
        for name, content in files.items():
            path = tmp_path / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(content))
        return verdict(Run(*(tmp_path / folder.name for folder in fields(Run))), GateConfig(gates=gates))

    return judge


@pytest.fixture
def row(judge):
    """The one row of one gate."""

    def row(gate, **changed):
        (found,) = judge(gate, **changed)["gates"]
        return found

    return row


@pytest.mark.parametrize(
    ("gate", "value", "note"),
    [
        ("queries >= 0", 80, ""),
        ("lift >= 0", 2.1, ""),
        ("sure_gain >= 0", 0.05, ""),
        ("recall >= 0", 0.3, ""),
        ("gain >= 0", 0.175, ""),
        ("forgetting <= 1", 0.125, "two tags"),
        ("parity <= 1", 2e-6, "image encoder"),
        ("int8_loss <= 1", 0.004, "text encoder"),
        ("rejected <= 1", 7 / 80, ""),
        ("flip >= 0", 0.75, "64 cases"),
    ],
)
def test_each_gate_compares_what_its_stage_measured(row, gate, value, note):
    """The worst kind of query, the worse encoder, the 8-bit file that ships, the pictures that prepare was given."""
    found = row(gate)
    assert (found["value"], found["note"]) == (pytest.approx(value), note)


@pytest.mark.parametrize(("name", "measure"), MEASURES.items())
def test_every_measure_can_be_a_gate(row, name, measure):
    """Each passes its widest bound and carries its meaning, but for a rate that could not be measured."""
    found = row(f"{name} {'>=' if measure.must == 'at least' else '<='} {0 if measure.must == 'at least' else 1}")
    assert found["passed"] is (name not in ("case", "preference"))
    assert (found["gate"], found["meaning"], found["must"]) == (name, measure.meaning, measure.must)


def test_the_gates_that_are_asked_for_are_the_rows(judge):
    """In their order, with bound and waiver; one that fails and is not waived is enough."""
    found = judge("recall >= 0.35 waived, gain >= 0.15")
    assert [(g["gate"], g["bound"], g["waived"], g["passed"]) for g in found["gates"]] == [
        ("recall", 0.35, True, False),
        ("gain", 0.15, False, True),
    ]
    assert found["passed"] is True
    assert judge("recall >= 0.35, gain >= 0.15")["passed"] is False


@pytest.mark.parametrize(("bound", "passed"), [(0.03, False), (0.032, True), (-0.01, False)])
def test_a_regression_counts_as_far_as_it_is_certain(row, bound, passed):
    """The release was better by 3.1 to 12.5 points: 3.1 of them are certain."""
    found = row(f"regression <= {bound}", metrics=OVER)
    assert (found["value"], found["passed"], found["note"]) == (0.03125, passed, "against v7")


@pytest.mark.parametrize(("bound", "passed"), [(0.06, False), (0.0625, True)])
def test_what_was_lost_counts_also_where_it_is_not_certain(row, bound, passed):
    """The release was better by 6.25 points on the same queries."""
    found = row(f"lost <= {bound}", metrics=OVER)
    assert (found["value"], found["passed"], found["note"]) == (0.0625, passed, "against v7")


GOOD = {
    "finetuned": {"text_to_image": {"R@10": 0.52, "queries": 100, "interval": {"R@10": [0.42, 0.62]}}},
    "queries": {kind: {"finetuned": {"R@10": 0.5}, "baseline": {"R@10": 0.37}} for kind in ("caption", "title")},
}
SURE = {name: {"rate": 1.0, "low": 0.9, "high": 1.0, "cases": 64} for name in BEHAVIOUR}


def of(queries=100, interval=(0.42, 0.62), gained=(0.05, 0.28), lost=0.0):
    """What `GOOD` is with some numbers changed."""
    text = {"text_to_image": {"R@10": 0.52, "queries": queries, "interval": {"R@10": list(interval)}}}
    paired = {"text_to_image": {"R@10": {"difference": 0.15, "interval": list(gained)}}}
    over = {"over_release": {"text_to_image": {"R@10": {"difference": -lost, "interval": [-1, 1]}}}, "release": {"version": "v7"}}
    return GOOD | {"finetuned": text, "paired": paired} | (over if lost else {})


@pytest.mark.parametrize(
    ("metrics", "checks", "fails"),
    [
        (of(), SURE, []),
        (of(lost=0.02), SURE, []),
        (of(lost=0.08), SURE, ["lost"]),
        (of(queries=12), SURE, ["queries"]),
        (of(interval=(0.19, 0.3)), SURE, ["lift"]),
        (of(gained=(-0.01, 0.3)), SURE, ["sure_gain"]),
        (of(), SURE | {"flip": {"rate": 0.2, "low": 0.1, "high": 0.3, "cases": 64}}, ["flip"]),
    ],
)
def test_the_gates_that_nobody_chose_protect(judge, metrics, checks, fails):
    """A loss against the release, too few queries, next to chance, no sure gain, fragile: each keeps a bundle a candidate by its name."""
    found = judge(GateConfig().gates, metrics=metrics, checks=checks)
    assert [gate["gate"] for gate in found["gates"] if not gate["passed"]] == fails
    assert found["passed"] is (not fails)


@pytest.mark.parametrize("bound", [0.02, -0.5])
def test_the_first_release_has_nothing_to_lose(judge, bound):
    """Whatever the bound; row and words say that nothing was compared."""
    found = judge(f"regression <= {bound}")
    assert found["passed"] is True and found["gates"][0]["value"] is None
    assert found["gates"][0]["note"] == "no release to compare with" and "no release to compare with" in why(found)


def test_a_release_that_cannot_be_read_is_never_passed_over_in_silence(judge):
    """The gate holds, and the reason stands in its row, in the words of the release, and on the page."""
    found = judge("regression <= 0.02", metrics={"release": {"version": "v7", "unreadable": "checksum differs"}})
    said = "no release to compare with: v7 cannot be read, checksum differs"
    assert found["passed"] is True
    assert found["gates"][0]["note"] == said and said in why(found) and said in str(table(found).rows[0][1])


def test_an_8_bit_encoder_that_is_withheld_loses_nothing(row):
    """The row says that both encoders ship in fp32."""
    withheld = {"int8": {"image_encoder": {"loss": 0.05, "ships": False}, "text_encoder": {"loss": 0.04, "ships": False}}}
    found = row("int8_loss <= 0.005", metrics=withheld)
    assert found["passed"] is True and found["value"] == 0 and found["note"].startswith("withheld")


@pytest.mark.parametrize("checks", [CHECKS, {}], ids=["no case", "no check"])
def test_a_rate_that_was_not_measured_fails(row, checks):
    """Even where the bound is zero."""
    found = row("case >= 0", checks=checks)
    assert (found["passed"], found["value"]) == (False, None) and "not measured" in found["note"]


def test_what_is_not_a_number_is_never_the_smaller_one(row):
    """A difference that is NaN is the worst there is, in either place."""
    for first, second in ((math.nan, 1e-7), (1e-7, math.nan)):
        parity = {"image_encoder": {"max_abs": first}, "text_encoder": {"max_abs": second}}
        assert row("parity <= 1", parity=parity)["passed"] is False
