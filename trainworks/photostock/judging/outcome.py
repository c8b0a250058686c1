"""What the judgements of people come to: how often they prefer the model, how sure that is, and whether they agree.

A query counts once, however many people judged it: what they say of it is averaged, and the same, or both bad, is half. So a preference
of 0.5 means that neither side is better.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from trainworks import intervals
from trainworks.errors import DataError
from trainworks.photostock.judging.judgements import Judgement, latest

ENOUGH = 20
"""Judged queries below which a preference is not measured: its interval would be 40 points wide. Or all, if fewer were prepared."""

MOST = 100_000
"""Queries beyond which nobody would go on judging."""

ALL = "all queries"

MODEL, OTHER, SAME, BAD = "model", "other", "same", "bad"
"""What a judgement says once the sides are known."""

_WORTH = {MODEL: 1.0, OTHER: 0.0, SAME: 0.5, BAD: 0.5}


def outcome(tasks: Mapping[str, Any], key: Mapping[str, Any], given: Iterable[Judgement]) -> dict[str, Any]:
    """What the *given* judgements of *tasks*, ``tasks.json``, say once the *key*, ``key.json``, is known.

    ``prepared`` and ``judged`` are numbers of queries, ``judgements`` of answers that count; ``kinds`` has a row, as of `_row`, for all
    queries, each kind, and the hard ones; ``agreement`` is that of `agreement`.

    Raises:
        DataError: the key, or a judgement, is of other tasks.
    """
    listed = {task["id"]: task for task in tasks["tasks"]}
    given = list(given)
    if key["id"] != tasks["id"] or any(judgement.tasks != tasks["id"] or judgement.task not in listed for judgement in given):
        strange = sorted({judgement.tasks for judgement in given if judgement.tasks != tasks["id"]}) or [key["id"]]
        raise DataError(
            f"judgements of tasks {', '.join(strange[:3])}, expected those of tasks {tasks['id']}: the models, the pictures or the last "
            "release have changed since; judge the new tasks"
        )
    said: dict[str, list[str]] = defaultdict(list)
    for (_, task), choice in latest(given).items():
        said[task].append(choice if choice in (SAME, BAD) else MODEL if key["model_is"][task] == choice else OTHER)
    groups = {ALL: list(said)}
    groups |= {kind: [task for task in said if listed[task]["kind"] == kind] for kind in dict.fromkeys(t["kind"] for t in tasks["tasks"])}
    groups["hard"] = [task for task in said if listed[task]["hard"]]
    return {
        "tasks": tasks["id"],
        "other": key["other"],
        "prepared": len(listed),
        "judged": len(said),
        "judgements": sum(map(len, said.values())),
        "judges": len({judgement.judge for judgement in given}),
        "kinds": {name: _row([said[task] for task in members]) for name, members in groups.items() if members},
        "agreement": agreement(said.values()),
    }


def _row(said: list[list[str]]) -> dict[str, Any]:
    """Of queries and what was *said* of each: how many, counts by answer, the ``preference`` with its ``interval``, and `more`."""
    preference = float(np.mean([np.mean([_WORTH[answer] for answer in answers]) for answers in said]))
    counts = Counter(answer for answers in said for answer in answers)
    return {
        "queries": len(said),
        **{answer: counts[answer] for answer in _WORTH},
        "preference": preference,
        "interval": list(intervals.wilson(preference, len(said))),
        "more": more(preference, len(said)),
    }


def more(preference: float, queries: int) -> int | None:
    """How many queries more would decide if *preference* stayed as *queries* showed it: 0 if they do, None if no number would.

    Decided means that 0.5 lies outside of the interval.
    """

    def decides(number: int) -> bool:
        low, high = intervals.wilson(preference, number)
        return low > 0.5 or high < 0.5

    return bisect_left(range(queries, MOST), True, key=decides) if decides(MOST) else None


def agreement(said: Iterable[list[str]]) -> dict[str, Any] | None:
    """How far judges agree on the queries that at least two of them judged; None without any.

    ``alike`` is the share of pairs of judges with the same answer, ``by_chance`` what it would be if answers were dealt out at random, and
    ``alpha`` how far from one to the other they got: Krippendorff's for names (Content Analysis, 2004, ch. 11); 1 is perfect, 0 chance.
    """
    units = [Counter(answers) for answers in said if len(answers) > 1]
    if not units:
        return None
    sizes = [unit.total() for unit in units]
    alike = sum(n * (n - 1) / (size - 1) for unit, size in zip(units, sizes, strict=True) for n in unit.values()) / sum(sizes)
    total = sum(units, Counter())
    by_chance = sum(n * (n - 1) for n in total.values()) / (sum(sizes) * (sum(sizes) - 1))
    alpha = 1.0 if by_chance == 1 else (alike - by_chance) / (1 - by_chance)
    return {"queries": len(units), "alike": alike, "by_chance": by_chance, "alpha": alpha}


def preference(people: Mapping[str, Any] | None) -> tuple[float, str]:
    """What a gate is told: the preference, or NaN before enough was judged, and what there is to say of it.

    *people* is what `outcome` gives and ``judge``, the command that people judge with; None where no tasks were prepared.
    """
    if people is None:
        return math.nan, "not measured: no tasks were prepared for people"
    if people["judged"] < min(ENOUGH, people["prepared"]) or not people["judged"]:
        so_far = f"people judged {people['judged']} of {people['prepared']} queries, {min(ENOUGH, people['prepared'])} are needed"
        return math.nan, f"{so_far}; to judge: {people['judge']}, put its file into the folder judgements of the releases, and run again"
    row = people["kinds"][ALL]
    low, high = (f"{100 * end:.0f}" for end in row["interval"])
    return row["preference"], f"against {people['other']}, {row['queries']} queries, {low} to {high} %"


def in_words(result: Mapping[str, Any]) -> list[str]:
    """What a person is told of an `outcome`, a sentence an item; without judgements it says so."""
    if not result["judged"]:
        return ["Nobody has judged yet."]
    row = result["kinds"][ALL]
    low, high = (f"{100 * end:.0f}" for end in row["interval"])
    sentences = [
        f"{result['judges']} {'person' if result['judges'] == 1 else 'people'} judged {result['judged']} of {result['prepared']} queries: "
        f"the model is preferred to {result['other']} in {100 * row['preference']:.0f} % ({low} to {high} %, with 95 % confidence; the "
        "same, or both bad, counts half)."
    ]
    if row["more"] == 0:
        sentences.append("That decides: " + ("the model is better." if row["preference"] > 0.5 else "the model is worse."))
    elif row["more"] is None:
        sentences.append("Neither is better, and at this rate no number of judgements would tell them apart.")
    else:
        sentences.append(f"That does not decide yet: if it stays at this rate, about {row['more']:,} more judged queries would.")
    if both := result["agreement"]:
        alike, by_chance = (f"{100 * both[name]:.0f} %" for name in ("alike", "by_chance"))
        sentences.append(
            f"Of {both['queries']} queries that two or more judged, two of them gave the same answer in {alike} of cases, by chance "
            f"{by_chance} (Krippendorff’s alpha {both['alpha']:.2f}; 1 is perfect, 0 chance)."
        )
    else:
        sentences.append("No query was judged by two people, so that their agreement is not known.")
    return sentences
