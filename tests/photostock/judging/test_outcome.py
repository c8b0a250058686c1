"""What judgements come to: win rates by query, agreement as published, and how many more would decide."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainworks import intervals
from trainworks.errors import DataError
from trainworks.photostock.judging.judgements import Judgement
from trainworks.photostock.judging.outcome import ALL, ENOUGH, MOST, agreement, in_words, more, outcome, preference
from trainworks.photostock.judging.table import table

TASKS = {
    "id": "set",
    "tasks": [{"id": f"t{k}", "kind": "title" if k < 20 else "search", "hard": k < 5} for k in range(30)],
}
KEY = {"id": "set", "other": "the untouched backbone", "model_is": {f"t{k}": "left" if k % 2 else "right" for k in range(30)}}


def said(judge: str, answers: dict[str, str]) -> list[Judgement]:
    """What *judge* said, by task, of the model and the other one."""
    sides = {"left": "right", "right": "left"}
    choices = {t: KEY["model_is"][t] if a == "model" else sides[KEY["model_is"][t]] if a == "other" else a for t, a in answers.items()}
    return [Judgement("set", task, judge, choice) for task, choice in choices.items()]


def test_a_side_counts_for_whose_it_is():
    """Whichever side the model was on; the same, and both bad, are half."""
    found = outcome(TASKS, KEY, said("Ada", {"t0": "model", "t1": "model", "t2": "other", "t3": "same", "t20": "bad"}))
    whole = found["kinds"][ALL]
    assert {name: whole[name] for name in ("queries", "model", "other", "same", "bad")} == {
        **{"queries": 5, "model": 2, "other": 1, "same": 1},
        "bad": 1,
    }
    assert whole["preference"] == 0.6 and tuple(whole["interval"]) == intervals.wilson(0.6, 5)
    assert found["kinds"]["title"]["preference"] == 0.625 and found["kinds"]["search"]["preference"] == 0.5
    assert found["kinds"]["hard"]["queries"] == 4 and found["agreement"] is None


def test_a_query_counts_once_however_many_judge_it():
    """Five friends of one query do not outvote two others, nor make the interval narrow."""
    given = said("Ada", {"t0": "other", "t1": "other", "t2": "model"}) + [j for k in range(4) for j in said(f"friend {k}", {"t2": "model"})]
    found = outcome(TASKS, KEY, given)["kinds"][ALL]
    assert found["queries"] == 3 and found["preference"] == pytest.approx(1 / 3)


def test_who_judges_again_has_changed_their_mind():
    """The last answer counts."""
    found = outcome(TASKS, KEY, said("Ada", {"t0": "other"}) + said("Ada", {"t0": "model"}))
    assert found["judgements"] == 1 and found["kinds"][ALL]["preference"] == 1


def test_judgements_of_other_tasks_are_refused():
    """Their sides are others."""
    with pytest.raises(DataError, match="judgements of tasks old, expected those of tasks set"):
        outcome(TASKS, KEY, [Judgement("old", "t0", "Ada", "left")])
    with pytest.raises(DataError, match="expected those of tasks set"):
        outcome(TASKS, KEY | {"id": "another"}, [])


@given(st.integers(0, 200), st.integers(1, 200))
def test_as_many_more_queries_decide_and_one_less_does_not(won, queries):
    """At the same share, by the interval that everything else has."""
    share = min(won, queries) / queries

    def decides(number: int) -> bool:
        low, high = intervals.wilson(share, number)
        return low > 0.5 or high < 0.5

    needed = more(share, queries)
    if needed is None:
        assert not decides(MOST)
    else:
        assert decides(queries + needed) and (needed == 0 or not decides(queries + needed - 1))


def test_agreement_is_the_published_one():
    """Krippendorff's own example of nominal data, four observers and twelve units (Computing Krippendorff's Alpha-Reliability, 2011)."""
    observers = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
    units = [[value for value in unit if value != "."] for unit in zip(*(line.split() for line in observers), strict=True)]
    found = agreement(units)
    assert found["alpha"] == pytest.approx(0.743, abs=5e-4) and found["queries"] == 11


def test_judges_who_always_agree_agree_wholly():
    """Also where all say the same, so that chance would agree too; without two judges nothing is said."""
    assert agreement([["model", "model"]] * 3)["alpha"] == agreement([["model"] * 2, ["other"] * 2])["alpha"] == 1
    assert agreement([["model"], ["other"]]) is None and agreement([]) is None


def test_a_gate_waits_until_enough_was_judged():
    """Before, there is no number, and the note says what to do."""
    people = {"judge": "python -m trainworks photostock judge PLACE"}
    few = outcome(TASKS, KEY, said("Ada", {f"t{k}": "model" for k in range(ENOUGH - 1)})) | people
    value, note = preference(few)
    needed = f"people judged 19 of 30 queries, {ENOUGH} are needed; to judge: python -m trainworks photostock judge PLACE"
    assert math.isnan(value) and note.startswith(needed)
    value, note = preference(outcome(TASKS, KEY, said("Ada", {f"t{k}": "model" for k in range(ENOUGH)})) | people)
    assert value == 1 and note == "against the untouched backbone, 20 queries, 84 to 100 %"
    assert math.isnan(preference(outcome(TASKS | {"tasks": []}, KEY, []) | people)[0]) and math.isnan(preference(None)[0])


def test_the_words_say_whether_it_is_decided():
    """Better, worse, not yet, or never; and how far judges agree."""
    for answers, words in (
        (["model"] * 20, "the model is better"),
        (["other"] * 20, "the model is worse"),
        (["model"] * 12 + ["other"] * 8, "about 77 more judged queries would"),
        (["same"] * 20, "no number of judgements"),
    ):
        given = said("Ada", {f"t{k}": answer for k, answer in enumerate(answers)})
        assert words in " ".join(in_words(outcome(TASKS, KEY, given)))
        assert "Krippendorff’s alpha 1.00" in " ".join(in_words(outcome(TASKS, KEY, given + given_by(given, "Ben"))))
    assert in_words(outcome(TASKS, KEY, [])) == ["Nobody has judged yet."]


def given_by(given: list[Judgement], judge: str) -> list[Judgement]:
    """The same answers by another *judge*."""
    return [Judgement(judgement.tasks, judgement.task, judge, judgement.choice) for judgement in given]


def test_the_table_has_a_row_for_each_kind():
    """All queries first; none without judgements."""
    found = table(outcome(TASKS, KEY, said("Ada", {"t0": "model", "t20": "other"})))
    assert [row[0] for row in found.rows] == [ALL, "title", "search", "hard"]
    assert table(outcome(TASKS, KEY, [])) is None
