"""What a room tells the hall it reached is read back as it was said, or refused by a sentence."""

import json
import math

import pytest

from trainworks.release.scores import Gain, Score, Scores, parse

ERROR = Score("error", 12.5, (11.0, 14.0), "lower", "pieces", group="north", gain=Gain("last year's", value=1.5, interval=(0.5, 2.5)))
ACCURACY = Score("accuracy", 0.5, (0.4, 0.6), "higher", "")
SCORES = Scores("accuracy", (ACCURACY, ERROR))


def metrics(**changed):
    """Entries of a ``metrics.json`` with one score, in which something was *changed*."""
    score = {"name": "accuracy", "value": 0.5, "interval": [0.4, 0.6], "better": "higher", "unit": "share"}
    return {"objective": "accuracy", "scores": [score | changed]}


def test_scores_come_back_from_json_as_they_went():
    """With group and gain, or without; what the room keeps beside them is its own."""
    written = json.loads(json.dumps(SCORES.entries() | {"confusion": [[1, 2], [3, 4]]}))
    assert parse(written) == SCORES
    assert written["scores"][0] == {"name": "accuracy", "value": 0.5, "interval": [0.4, 0.6], "better": "higher", "unit": ""}


def test_the_objective_is_one_of_the_scores():
    """The one over all cases, not that of a group."""
    assert SCORES.main is ACCURACY
    for objective in ("error", "", None):
        with pytest.raises(ValueError, match=f"objective = {objective!r}: no score of that name over all cases; there are accuracy"):
            Scores(objective, SCORES.all)


def test_a_score_comes_once():
    """The same name may come again for another group."""
    with pytest.raises(ValueError, match="score 'error of north' comes twice"):
        Scores("accuracy", (*SCORES.all, ERROR))


@pytest.mark.parametrize("missing", ["objective", "scores"])
def test_a_missing_entry_is_named(missing):
    """So that the author of a room sees what the hall expects."""
    content = metrics()
    del content[missing]
    with pytest.raises(ValueError, match=f"metrics.json has no {missing}; expected both"):
        parse(content)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"better": "bigger"}, "better = 'bigger'; expected higher or lower"),
        ({"value": math.nan}, "score 'accuracy': its value is nan; expected a finite number"),
        ({"value": True}, "its value is True"),
        ({"value": "0.5"}, "its value is '0.5'"),
        ({"interval": [0.4]}, r"its interval is \[0.4\]; expected a low and a high end"),
        ({"interval": [0.6, 0.4]}, r"its interval is \[0.6, 0.4\]"),
        ({"interval": [0.4, math.inf]}, r"its interval is \[0.4, inf\]"),
        ({"interval": None}, "is no score"),
        ({"name": ""}, "a score has the name ''; expected words"),
        ({"colour": "red"}, "is no score .*colour"),
        ({"gain": {"value": 0.1, "interval": [0, 1]}}, "is no score .*over"),
        ({"gain": {"over": "chance", "value": None, "interval": [0, 1]}}, "gain over chance: its value is None"),
    ],
)
def test_a_malformed_score_is_refused(changed, words):
    """The message says which score, what it has, and what was expected."""
    with pytest.raises(ValueError, match=words):
        parse(metrics(**changed))


def test_a_score_that_is_no_object_is_refused():
    """Nor is a list of them anything else than a list."""
    with pytest.raises(ValueError, match="is no score"):
        parse({"objective": "accuracy", "scores": [0.5]})
    with pytest.raises(ValueError, match="scores is no list"):
        parse({"objective": "accuracy", "scores": {"accuracy": 0.5}})
