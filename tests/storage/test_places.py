"""Places: what every setting that names one means by the same text."""

from pathlib import Path

import pytest

from tasks import deployment
from tests.release import toy_bundle
from trainworks.__main__ import main
from trainworks.photostock.catalogue import catalogue
from trainworks.photostock.monitoring import query_log
from trainworks.release import releases, stored
from trainworks.storage import places, store
from trainworks.supermegaretail.delivery import forecasts
from trainworks.supermegaretail.tables import source

SETTINGS = {
    "source": catalogue.check,
    "tables": source.check,
    "release_to": releases.check_target,
    "release": stored.locate,
    "versions": stored.versions,
    "forecasts_to": forecasts.check_target,
    "queries": query_log.read,
}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://bucket/a/", "s3://bucket/a"),
        (" S3://Bucket/A\n", "s3://Bucket/A"),
        ("photos/2024/", "photos/2024"),
        ("/", "/"),
        ("file:///srv/my%20photos", "/srv/my photos"),
        ("FILE://localhost/srv", "/srv"),
        ("C:/photos", "C:/photos"),
        ("a: b", "a: b"),
        ("~/photos", str(Path.home() / "photos")),
    ],
)
def test_a_place_has_one_spelling(text, place):
    """A slash or blanks at its end, capitals in the scheme, ~ and file:// make no other place of it; reading it again changes nothing."""
    assert places.parse("source", text) == place == places.parse("source", place)


REFUSED = ["", " ", "gs://bucket/a", "s3a://bucket", "https://example.org", "s3:/bucket", "s3:bucket", "s3://", "s3:///a", "file://host/a"]
REFUSED += ["file:a", "~nobody-of-this-name/a", '"s3://bucket/a"', "a\x01b", "abfss://a@b.c/d"]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_place_is_refused_by_every_setting(tmp_path, monkeypatch, text):
    """Nothing is made where the URI's text would be a folder, and nothing is taken for the working directory."""
    monkeypatch.chdir(tmp_path)
    for check in SETTINGS.values():
        with pytest.raises(ValueError, match="expected"):
            check(text)
    for variable, read in {"TRAINWORKS_ARTIFACTS": store.root, "TRAINWORKS_DATA": lambda: deployment.data("data/a")}.items():
        monkeypatch.setenv(variable, text)
        if text.strip():
            with pytest.raises(ValueError, match=f"{variable}.*expected"):
                read()
    assert not list(tmp_path.iterdir())


def test_a_variable_that_is_empty_is_not_set(tmp_path, monkeypatch):
    """As container tools leave it: the artifact root is the default one, not the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", " ")
    assert store.root() == tmp_path / "artifacts" and store.remote() is None
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", "file:///srv/a")
    assert store.root() == Path("/srv/a") and store.remote() is None
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", "S3://bucket/a/")
    assert store.root() == tmp_path / "artifacts" and store.remote() == "s3://bucket/a"


@pytest.mark.parametrize("option", ["compare TO --html", "supermegaretail drift TO"])
@pytest.mark.parametrize("place", ["s3://bucket/a", "gs://bucket/a"])
def test_a_file_of_a_command_lies_on_this_machine(tmp_path, monkeypatch, capsys, option, place):
    """Or is refused, and no folder of the URI's name is made."""
    monkeypatch.chdir(tmp_path)
    to = releases.release(toy_bundle.write(tmp_path / "bundle", {"metrics.json": toy_bundle.metrics()}), str(tmp_path / "to")).uri
    assert main([*option.replace("TO", to).split(), place])
    assert "expected a" in capsys.readouterr().err and {path.name for path in tmp_path.iterdir()} == {"bundle", "to"}
