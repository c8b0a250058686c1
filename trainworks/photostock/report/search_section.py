"""What a search finds: which answers of the test the report shows, text to picture and picture to text."""

from collections.abc import Mapping, Sequence
from typing import Any

SAMPLE, BEST, WORST = 6, 3, 6
"""Answers shown of each kind, in each direction."""

Answer = Mapping[str, Any]
"""``id`` of the picture, its ``query``, the ``rank`` of the right answer, and the first: ``found``, ``scores``, ``right`` or not."""


def section(answers: Sequence[Answer]) -> dict[str, dict[str, list[Answer]]]:
    """For each direction the ``sample``, the ``best`` and the ``worst`` of the rows of ``answers.parquet``."""
    to_text = [
        {
            **row,
            "rank": row["text_rank"],
            "found": row["texts"],
            "scores": row["text_scores"],
            "right": [t == row["query"] for t in row["texts"]],
        }
        for row in answers
    ]
    ways = {"to_image": answers, "to_text": to_text}
    return {way: {"sample": sample(rows, SAMPLE), "best": best(rows, BEST), "worst": worst(rows, WORST)} for way, rows in ways.items()}


def pictures(shown: Mapping[str, Mapping[str, Sequence[Answer]]]) -> set[str]:
    """The ids of the pictures that the section shows."""
    asked = {answer["id"] for way in shown.values() for chosen in way.values() for answer in chosen}
    return asked | {id for chosen in shown["to_image"].values() for answer in chosen for id in answer["found"]}


def sample(answers: Sequence[Answer], count: int) -> list[Answer]:
    """*count* answers, evenly drawn from the best ranked to the worst: each stands for as many queries as any other."""
    ordered = sorted(answers, key=lambda answer: (answer["rank"], answer["id"]))
    count = min(count, len(ordered))
    return [ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count)]


def best(answers: Sequence[Answer], count: int) -> list[Answer]:
    """At most *count* answers with a right one in the first place, no query twice, first those furthest ahead of any wrong one."""

    def lead(answer: Answer) -> float:
        wrong = [score for score, is_right in zip(answer["scores"], answer["right"], strict=True) if not is_right]
        return answer["scores"][0] - max(wrong, default=answer["scores"][0])

    ordered = sorted((a for a in answers if a["rank"] == 1), key=lambda answer: (-lead(answer), answer["id"]))
    first: dict[str, Answer] = {}
    for answer in ordered:
        first.setdefault(answer["query"], answer)
    return list(first.values())[:count]


def worst(answers: Sequence[Answer], count: int) -> list[Answer]:
    """At most *count* answers with the right one furthest from the first place, the furthest first."""
    return sorted((a for a in answers if a["rank"] > 1), key=lambda answer: (-answer["rank"], answer["id"]))[:count]
