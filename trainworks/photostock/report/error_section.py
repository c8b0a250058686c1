"""Error analysis for a reader: pictures that answer everything, and pictures that are taken for each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainworks.report.page import Quantity, Table


def section(errors: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """*errors* of ``metrics.json`` as a table of hubness, the ``hubs`` and the ``pairs``, each picture with its ``query``."""
    query, now = {row["id"]: row["query"] for row in answers}, errors["finetuned"]
    return {
        "hubness": _hubness(errors),
        "first": now["hubs"]["first"],
        "mean": now["hubs"]["mean"],
        "hubs": now["hubs"]["worst"],
        "number": now["pairs"]["number"],
        "pairs": [[{"id": id, "query": query[id]} for id in pair["ids"]] for pair in now["pairs"]["worst"]],
    }


def pictures(shown: Mapping[str, Any]) -> set[str]:
    """The ids of the pictures that the section shows."""
    return {hub["id"] for hub in shown["hubs"]} | {side["id"] for pair in shown["pairs"] for side in pair}


def _hubness(errors: Mapping[str, Any]) -> Table:
    models = {"before": errors["baseline"], "after": errors["finetuned"]}
    hubs = [mistakes["hubs"] for mistakes in models.values()]
    rows: list[list[object]] = [
        ["Queries that the most frequent picture answers", *(hub["worst"][0]["queries"] for hub in hubs)],
        ["Pictures that no query finds", *(hub["never"] for hub in hubs)],
        ["Skewness", *(Quantity(f"{hub['skewness']:.2f}") for hub in hubs)],
        ["Pairs that take each other’s place", *(mistakes["pairs"]["number"] for mistakes in models.values())],
    ]
    return Table("Hubs and confusions", ["Among the first ten", *models], rows)
