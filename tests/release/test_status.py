"""What became of a version, in plain words and as an exit status."""

import pytest

from tests.release import toy_bundle
from trainworks.__main__ import main
from trainworks.release import releases
from trainworks.release.status import status


@pytest.fixture
def publish(tmp_path):
    """Publish a toy bundle of some accuracy, whose one gate asks for 0.4."""

    def publish(accuracy, move=True):
        texts = {"model.onnx": str(accuracy), "metrics.json": toy_bundle.metrics(accuracy)}
        bundle = toy_bundle.write(tmp_path / str(accuracy), texts, verdict=toy_bundle.verdict(accuracy))
        return releases.release(bundle, str(tmp_path / "release"), move)

    return publish


def test_a_version_that_is_current_is_released(publish, tmp_path, capsys):
    """Exit status 0."""
    released = publish(0.5)
    assert main(["release", "status", str(tmp_path / "release")]) == 0
    assert capsys.readouterr().out == f"Released: {released.version} is the current version; every gate holds.\n"


def test_an_experiment_stays_a_candidate_until_somebody_promotes_it(publish, tmp_path, capsys):
    """Its gates hold, so the status is 0; the words have the command that releases it, and that command does."""
    to, before = str(tmp_path / "release"), publish(0.5)
    candidate = publish(0.6, move=False)
    assert releases.current(to).version == before.version
    assert main(["release", "status", candidate.uri]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Not released: ") and "is a candidate; every gate holds. To release it: python -m trainworks " in said
    assert main(said.partition("python -m trainworks ")[2].split()) == 0
    assert status(candidate.uri).current and releases.current(to).previous == before.version


def test_a_failed_gate_is_told_by_name_and_by_how_much(publish, tmp_path, capsys):
    """Exit status 1, for the release and for the version's own folder; nothing is said of promotion."""
    poor = publish(0.1)
    for place in (str(tmp_path / "release"), poor.uri):
        assert main(["release", "status", place]) == 1
        said = f"Not released: {poor.version} stays a candidate; gate accuracy failed: accuracy must be at least 0.4, is 0.1, 0.3 off.\n"
        assert capsys.readouterr().out == said


def test_what_cannot_be_told_is_neither(tmp_path, capsys):
    """Exit status 2."""
    assert main(["release", "status", str(tmp_path / "nothing")]) == 2
    assert "neither a bundle" in capsys.readouterr().err


def test_a_candidate_of_another_folder_is_promoted_by_its_place(publish, tmp_path, capsys):
    """It is copied, and stays where it was; one whose gates failed is not let in as current."""
    production = str(tmp_path / "production")
    good, poor = publish(0.6, move=False), publish(0.1)
    assert main(["release", "promote", production, good.uri]) == 0
    assert releases.current(production).version == good.version and status(good.uri).current is False
    assert main(["release", "promote", production, poor.uri]) == 1
    assert releases.current(production).version == good.version and "gate accuracy failed" in capsys.readouterr().err
