"""A bundle tells what its model was trained on, in a size that does not grow with the catalogue."""

from trainworks.photostock.evaluation import trained_on
from trainworks.photostock.evaluation.trained_on import overlap, summary


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_tags_are_counted_by_picture_in_any_case():
    """A picture that bears a tag twice counts once."""
    told = summary(["a", "b", "c"], [["Sea", "sea"], ["sea", "boat"], []])
    assert told["pictures"] == 3 and told["tags"] == {"sea": 2, "boat": 1}


def test_pictures_that_were_trained_on_are_found_again():
    """Each of them and no other."""
    told = summary(names("train", 50), [])
    assert overlap([*names("train", 7), *names("test", 20)], told) == {"asked": 27, "trained_on": 7}
    assert overlap(names("test", 20), summary([], [])) == {"asked": 20, "trained_on": 0}


def test_a_large_catalogue_is_sampled(monkeypatch):
    """The ids are an even sample, the tags the most frequent; the share of known pictures is still estimated."""
    monkeypatch.setattr(trained_on, "IDS", 400)
    monkeypatch.setattr(trained_on, "TAGS", 2)
    told = summary(names("train", 4000), [["a", "b"], ["b", "c"], ["c", "b"]])
    assert len(told["ids"]) == 400 and told["tags"] == {"b": 3, "c": 2} and told["pictures"] == 4000
    found = overlap([*names("train", 1000), *names("test", 3000)], told)
    assert 300 < found["asked"] < 500
    assert abs(found["trained_on"] / found["asked"] - 0.25) < 0.07
