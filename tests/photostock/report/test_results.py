"""Measured numbers become tables that a person can compare by eye."""

from tests.photostock.toy_run import METRICS, a_gain, compared
from trainworks.photostock.report import results


def test_a_loss_is_as_visible_as_a_gain() -> None:
    """Differences are signed and in points of 100; their interval stands beside them."""
    table = results.gains({"paired": {way: a_gain(0.1, -0.034, 0.0) for way in ("text_to_image", "image_to_text")}})
    assert table.head == ["Metric", "Over the untouched model"]
    assert table.rows[1] == ["text to picture, R@10", "−3.4 (−11.4 to +4.6)"]


def test_only_models_that_were_measured_have_a_column() -> None:
    """The untouched model and the new one; the last release between them where there is one."""
    found = compared(9, 0.2, 0.3, trained_on=31)
    assert results.groups("", "Tag", {"sea": found}).head == [
        *("Tag", "In training", "Queries", "R@10 before", "R@10 after", "Over the untouched model")
    ]
    third = {"release": {"R@10": 0.25}, "over_release": a_gain(0.1, 0.05, 0.1), "release_trained_on": 0, "new": True}
    table = results.groups("", "Tag", {"sea " * 40: found | third, "hat": found | third | {"new": False}})
    assert table.head[3:] == [*("Queries", "R@10 before", "R@10 released", "R@10 after", "Over the last release")]
    assert str(table.rows[0][0]).endswith("… · new") and table.rows[1][0] == "hat" and table.strong == [0]


def test_the_chart_has_at_most_three_series() -> None:
    """Chance gives way to the last release; the table below has all four."""
    assert results.recall(METRICS)["chart"].series == ["after", "before", "chance"]
    ways = METRICS["finetuned"]
    found = results.recall({**METRICS, "release": ways})
    assert found["chart"].series == ["after", "released", "before"]
    assert results.recall(METRICS)["chart"].colours == [1, 3, 4] and found["chart"].colours == [1, 2, 3], "a model keeps its colour"
    assert [row[0] for row in found["to_image"].rows] == ["after", "released", "before", "chance"]


def test_of_equal_mixtures_the_smallest_share_is_marked() -> None:
    """As fine-tuning chooses: it forgets least."""
    chart = results.mixture([{"share": k / 10, "val_recall": recall} for k, recall in ((4, 0.3), (6, 0.5), (8, 0.5))])
    assert "60 % was kept." in chart and ">kept<" in chart
