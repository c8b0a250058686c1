"""The pictures of a report are the right ones, small, and credited once."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.photostock.toy_run import TITLES, ToyRun, a_run, a_sample, drawn
from trainworks.errors import DataError
from trainworks.photostock.report.pictures import Picture, credits, seen, thumbnails, without_address


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    return a_run(tmp_path_factory.mktemp("run"), TITLES)


def shown_by(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2]))).convert("RGB")


def test_a_thumbnail_shows_the_picture_of_its_row(run: ToyRun) -> None:
    """Each picture comes from its own shard and row, scaled to 112 pixels and keeping its shape."""
    shown = thumbnails(run["dataset"], run["shards"][::-1], {"p002", "p020"})
    for number in (2, 20):
        small = shown_by(shown[f"p{number:03d}"])
        assert small.size == (112, 84)
        expected = Image.open(io.BytesIO(drawn(number))).resize(small.size)
        assert all(abs(a - b) < 12 for a, b in zip(small.getpixel((20, 20)), expected.getpixel((20, 20)), strict=True))


def test_a_sample_shows_its_own_pixels_and_the_names_of_its_row(run: ToyRun) -> None:
    """What the model saw, in the order given and made small, with the title and contributor of the dataset."""
    shown = seen(run["dataset"], [a_sample(20, "a tag"), a_sample(3, "a title")])
    assert [(p.title, p.contributor, p.text) for p in shown] == [
        (TITLES[20], "painter 1", "a tag"),
        (TITLES[3], "painter 0", "a title"),
    ]
    assert shown_by(shown[1]).size == (160, 160)
    assert np.allclose(np.asarray(shown_by(shown[1])).mean((0, 1)), (180, 90, 200), atol=6)


def test_a_picture_that_cannot_be_had_is_named(run: ToyRun) -> None:
    """An id the dataset lacks, or a shard that was not given, is told by name."""
    with pytest.raises(DataError, match="the dataset lacks 'nobody'"):
        thumbnails(run["dataset"], run["shards"], {"p001", "nobody"})
    with pytest.raises(DataError, match="the dataset lacks 'p099'"):
        seen(run["dataset"], [a_sample(1, ""), a_sample(99, "")])
    with pytest.raises(DataError, match=r"'p020' is in shard .* not among the 1 shards given"):
        thumbnails(run["dataset"], run["shards"][:1], {"p020"})


def test_a_picture_shown_twice_is_credited_once() -> None:
    """By licence, contributor and title, each in order of the alphabet."""
    shown = [
        Picture(title, name, "CC0", uri) for title, name, uri in (("b", "Zoe", "1"), ("a", "Zoe", "2"), ("b", "Zoe", "3"), ("c", "Al", "4"))
    ]
    assert credits(shown) == {"CC0": {"Al": ["c"], "Zoe": ["a", "b"]}}


@pytest.mark.parametrize(
    ("contributor", "name"),
    [
        ("Ada Byron <ada@example.org>", "Ada Byron"),
        ("Ada Byron (ada.b@mail.example.org)", "Ada Byron"),
        ("ada@example.org", "ada"),
        ("mailto:ada@example.org, Ada", "Ada"),
        ("Ada @ home", "Ada @ home"),
        ("", ""),
    ],
)
def test_credits_have_names_and_no_addresses(contributor, name):
    """Of an address alone, what stands before the @."""
    assert without_address(contributor) == name
