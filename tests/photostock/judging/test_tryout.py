"""The page on which a person tries a model: what it finds, beside another one."""

import re

import pytest

from tests.conftest import draw
from tests.photostock import toy_encoders
from trainworks.errors import DataError
from trainworks.photostock.judging import tryout


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two bundles, and a folder with pictures, one of which is damaged, and other files."""
    folder = tmp_path_factory.mktemp("try")
    encoders = toy_encoders.write(folder / "encoders", int8=False)
    bundles = [toy_encoders.write_bundle(folder / name, encoders) for name in ("new", "old")]
    (folder / "pictures" / "below").mkdir(parents=True)
    for number in range(14):
        draw("red", "ellipse", number).save(folder / "pictures" / ("below" if number % 2 else "") / f"<i>{number}.PNG")
    (folder / "pictures" / "broken.jpg").write_bytes(b"no picture")
    (folder / "pictures" / "notes.txt").write_text("no picture either")
    return folder / "pictures", *bundles


@pytest.fixture(scope="module")
def client(places):
    """A browser's requests to the page."""
    pictures, new, old = places
    return tryout.application(tryout.load(str(new), str(pictures), str(old))).test_client()


def test_words_find_pictures_of_both_models(client):
    """The best first, with what each model is; names are escaped."""
    page = client.get("/", query_string={"q": "red circle"}).text
    assert page.count("/picture/") == 2 * tryout.SHOWN and "<code>new</code>" in page and "<code>old</code>" in page
    scores = [float(score) for score in re.findall(r"<b>(-?\d\.\d\d)</b>", page)]
    assert scores[:12] == sorted(scores[:12], reverse=True)
    assert "&lt;i&gt;" in page and "<i>" not in page


def test_before_a_search_some_pictures_are_shown(client):
    """And how many were left out, and why."""
    page = client.get("/").text
    assert page.count("/picture/") == tryout.SHOWN and "14 pictures, 1 left out: not readable" in page


def test_pictures_are_sent_small_and_by_number(client):
    """No path comes from outside."""
    assert client.get("/picture/13").data[:2] == b"\xff\xd8"
    for name in ("14", "-1", "..%2f..%2fsecret", "broken.jpg"):
        assert client.get(f"/picture/{name}").status_code == 404
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_a_long_query_is_cut_and_markup_is_text(client):
    """What is cut cannot cost time; what is typed is shown as typed."""
    page = client.get("/", query_string={"q": '"><script>alert(1)</script>' + "x" * 5000}).text
    assert "<script" not in page and "&lt;script&gt;" in page and "x" * tryout.LONGEST not in page


def test_one_model_stands_alone(places):
    """Without another one beside it."""
    pictures, new, _ = places
    page = tryout.application(tryout.load(str(new), str(pictures))).test_client().get("/?q=red").text
    assert page.count("/picture/") == tryout.SHOWN and "What it finds" in page


def test_a_folder_without_pictures_is_refused(places, tmp_path):
    """With what is expected."""
    with pytest.raises(DataError, match=r"no picture that can be read among 0; expected \.bmp, \.gif, \.jpeg"):
        tryout.load(str(places[1]), str(tmp_path))
