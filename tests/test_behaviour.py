"""Behaviour checks: cases drawn the same in every run, a rate that knows how sure it is, and the worst failures."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import strategies as st
from PIL import Image

from trainworks import behaviour
from trainworks.behaviour import Case, drawn, pick, rate, worst, write
from trainworks.intervals import wilson


def a_case(margin: float, id: str = "a", **shown) -> Case:
    return Case(id, "turned", margin, {"overlap": 0.5 + margin}, shown)


def test_a_rate_is_the_share_that_passed_and_where_it_may_lie():
    """With Wilson's interval, and the mean of what was measured."""
    measured = rate([a_case(0.1)] * 3 + [a_case(-0.1)])
    assert (measured["rate"], measured["cases"], measured["mean"]) == (0.75, 4, {"overlap": pytest.approx(0.55)})
    assert (measured["low"], measured["high"]) == wilson(0.75, 4)


def test_a_check_without_cases_has_no_rate():
    """Nothing to try it on is neither a pass nor a failure."""
    assert rate([]) == {"rate": None, "low": None, "high": None, "cases": 0, "mean": {}}


def test_what_is_not_a_number_fails():
    """An embedding of NaN must not look well behaved; a bound that is just held is held."""
    assert [a_case(margin).passed for margin in (float("nan"), -1e-9, 0.0)] == [False, False, True]


def test_the_worst_failures_come_first():
    """Furthest below the bound, and nothing that passed."""
    cases = [a_case(margin, f"p{k}") for k, margin in enumerate((0.2, -0.1, -0.3, 0.0, -0.2))]
    assert [case.id for case in worst(cases, 2)] == ["p2", "p4"]


def test_no_two_examples_are_of_one_thing():
    """At most as many as asked for, each thing once."""
    examples = drawn(st.tuples(pick("abcdefgh"), pick(range(100))), 5, lambda pair: pair[0])
    assert len(examples) == len({letter for letter, _ in examples}) == 5


def test_every_item_is_as_likely_as_another():
    """Also with a number of items that divides no power of two."""
    counts = [0, 0, 0]
    for item, _ in drawn(st.tuples(pick(range(3)), pick(range(10**6))), 200, lambda pair: pair):
        counts[item] += 1
    assert min(counts) > 45


def test_other_loaded_modules_do_not_change_what_is_drawn():
    """Hypothesis tries constants of whatever source is loaded, and a stage from the cache loads less of it."""
    code = "from trainworks.behaviour import drawn, pick; print(drawn(pick(range(1000)), 40, int))"
    more = "import trainworks.storage.s3, trainworks.release.releases, trainworks.sampling; "
    printed = subprocess.run([sys.executable, "-c", more + code], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert printed == f"{drawn(pick(range(1000)), 40, int)}\n"


def test_no_source_has_as_many_bytes_as_are_drawn():
    """Hypothesis would try them, in runs that have loaded that module."""
    for path in Path(behaviour.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            literal = isinstance(node, ast.Constant) and isinstance(node.value, bytes)
            assert not (literal and len(node.value) == behaviour._BYTES), f"{path}:{node.lineno}: write {node.value} otherwise"


def test_the_file_tells_rates_and_shows_failures(tmp_path):
    """Texts as they are, images as small files beside it."""
    failed = a_case(-0.2, "p7", before="Müller", image=Image.new("RGB", (640, 320), "red"))
    write([("flip", [failed, a_case(0.1)]), ("case", [])], {"flip": "mirrored", "case": "shouted"}, {"overlap": 0.5}, tmp_path)
    behaviour = json.loads((tmp_path / "behaviour.json").read_text())
    assert behaviour["criterion"] == {"overlap": 0.5} and behaviour["checks"]["case"]["cases"] == 0
    flip = behaviour["checks"]["flip"]
    assert (flip["rate"], flip["meaning"], flip["mean"]) == (0.5, "mirrored", {"overlap": pytest.approx(0.45)})
    assert flip["examples"] == [
        {"id": "p7", "what": "turned", "overlap": pytest.approx(0.3), "before": "Müller", "image": "flip-1-image.webp"}
    ]
    with Image.open(tmp_path / "flip-1-image.webp") as small:
        assert small.size == (112, 56)
