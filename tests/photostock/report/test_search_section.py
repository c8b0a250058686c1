"""Which answers the report shows: a fair sample, the best and the worst."""

from trainworks.photostock.report.search_section import best, sample, section, worst


def test_each_query_stands_for_an_equal_share() -> None:
    """Examples come from the middle of each eighth of the ranking, not from its best end."""
    answers = [{"id": f"{i:02d}", "rank": 1 + i} for i in reversed(range(80))]
    assert [a["rank"] for a in sample(answers, 8)] == [6, 16, 26, 36, 46, 56, 66, 76]
    assert [a["rank"] for a in sample(answers[-3:], 8)] == [1, 2, 3]


def test_the_worst_misses_come_first_and_are_misses() -> None:
    """The furthest rank first; a query that found its picture at once is no miss."""
    answers = [{"id": id, "rank": rank} for id, rank in (("a", 1), ("b", 7), ("c", 90), ("d", 7))]
    assert [a["id"] for a in worst(answers, 6)] == ["c", "b", "d"]
    assert [a["id"] for a in worst(answers, 1)] == ["c"]


def test_the_best_answers_are_furthest_ahead() -> None:
    """Of those in the first place, by the lead over the first wrong answer; where all shown are right nobody was beaten."""
    rows = {"a": (1, [0.9, 0.8], [True, False]), "b": (1, [0.7, 0.1], [True, False]), "c": (1, [0.9, 0.9], [True, True])}
    answers = [{"id": id, "query": id, "rank": rank, "scores": scores, "right": right} for id, (rank, scores, right) in rows.items()]
    answers.append({"id": "d", "query": "d", "rank": 2, "scores": [0.9, 0.1], "right": [False, True]})
    assert [a["id"] for a in best(answers, 3)] == ["b", "a", "c"]
    assert [a["id"] for a in best(answers, 1)] == ["b"]
    assert [a["id"] for a in best([*answers, {**answers[0], "id": "e", "query": "b"}], 3)] == ["b", "a", "c"], "a query once"


def test_pictures_find_words_as_words_find_pictures() -> None:
    """The other direction has its own ranks, and a caption equal to the picture's is right wherever it comes from."""
    to_image = {"id": "p", "query": "sea", "rank": 1, "found": ["p"], "scores": [0.5], "right": [True]}
    found = section([to_image | {"text_rank": 2, "texts": ["hat", "sea"], "text_scores": [0.4, 0.3]}])
    assert found["to_image"]["best"] == found["to_image"]["sample"] and not found["to_image"]["worst"]
    (miss,) = found["to_text"]["worst"]
    assert (miss["rank"], miss["found"], miss["right"]) == (2, ["hat", "sea"], [False, True]) and not found["to_text"]["best"]
