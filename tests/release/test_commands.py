"""``python -m trainworks release``: a person lists, promotes and rolls back; nothing bad or damaged becomes current."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.release import toy_bundle
from trainworks.__main__ import main
from trainworks.errors import IntegrityError, ReleaseConflict, ReleaseError
from trainworks.release import gates, places, releases
from trainworks.storage import manifest, s3


def make(folder, accuracy=0.5):
    """A toy bundle whose one gate asks for an accuracy of 0.4; its accuracy is also its content."""
    texts = {"model.onnx": str(accuracy), "metrics.json": toy_bundle.metrics(accuracy)}
    return toy_bundle.write(folder, texts, seed=7, verdict=toy_bundle.verdict(accuracy))


@dataclass
class Released:
    """A release folder after the releases *a*, *b* and the candidate *poor*."""

    to: str
    a: str
    b: str
    poor: str

    @property
    def current(self):
        return releases.current(self.to).version

    def overwrite(self, version, name, data):
        """Change a file behind everybody's back."""
        if self.to.startswith("s3://"):
            s3.put(f"{self.to}/versions/{version}/{name}", data)
        else:
            Path(self.to, "versions", version, name).write_bytes(data)


@pytest.fixture(params=["folder", "bucket"])
def released(request, tmp_path):
    to = str(tmp_path / "release") if request.param == "folder" else f"{request.getfixturevalue('bucket')}/release"
    made = [releases.release(make(tmp_path / str(accuracy), accuracy), to).version for accuracy in (0.5, 0.6, 0.1)]
    return Released(to, *made)


def test_rollback_goes_one_step_back_and_no_further(released, capsys):
    """A second one, be it a retry, neither goes forward to the version just withdrawn nor guesses: it says what to do."""
    assert released.current == released.b
    assert main(["release", "rollback", released.to]) == 0
    assert released.current == released.a
    assert main(["release", "rollback", released.to]) == 1
    assert "promote a version by name" in capsys.readouterr().err
    assert released.current == released.a


def test_promotion_moves_to_any_good_version_and_can_be_undone(released):
    """Forward or backward; promoting what is current changes nothing, not even what came before it."""
    assert main(["release", "promote", released.to, released.a]) == 0
    pointer = releases.current(released.to)
    assert (pointer.version, pointer.previous) == (released.a, released.b)
    assert releases.promote(released.to, released.a) == pointer == releases.current(released.to)
    assert releases.rollback(released.to).version == released.current == released.b


def test_a_release_after_a_rollback_can_be_rolled_back(released, tmp_path):
    """The way back leads to the version that was served, not to the one withdrawn."""
    releases.rollback(released.to)
    releases.release(make(tmp_path / "next", 0.7), released.to)
    assert releases.rollback(released.to).version == released.a


def test_a_candidate_is_not_promoted(released):
    """Its gates failed: the answer says which, by how much, and how to override it on the record."""
    with pytest.raises(ReleaseError, match=r"gate accuracy failed: accuracy must be at least 0\.4, is 0\.1, 0\.3 off.*'waived'"):
        releases.promote(released.to, released.poor)
    assert released.current == released.b


def test_an_unknown_version_is_refused_with_the_nearest(released):
    """A slip of the pen; and a path is no version."""
    with pytest.raises(ReleaseError, match=f"did you mean '{released.a}'"):
        releases.promote(released.to, f"{released.a[:-1]}_")
    with pytest.raises(ReleaseError, match="no version"):
        releases.promote(released.to, f"../versions/{released.a}")


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_damaged_version_never_becomes_current(released, name):
    """Every file is read before the pointer moves, and a manifest must be the one that its version is named by."""
    released.overwrite(released.a, name, b"other")
    for act in (lambda: releases.promote(released.to, released.a), lambda: releases.rollback(released.to)):
        with pytest.raises(IntegrityError):
            act()
    assert released.current == released.b


def test_a_whole_bundle_under_a_wrong_name_is_refused(released, tmp_path):
    """A copy of the candidate that was made to look good is not the version it is named as."""
    forged = make(tmp_path / "forged", 0.9)
    for path in forged.iterdir():
        released.overwrite(released.poor, path.name, path.read_bytes())
    with pytest.raises(IntegrityError, match="named by"):
        releases.promote(released.to, released.poor)


def test_a_pointer_moved_meanwhile_is_a_conflict(released, tmp_path, monkeypatch):
    """Who decided on what was current must not overwrite what somebody else made current since."""
    place = type(places.place(released.to))
    verified = place.verified

    def while_somebody_releases(self, version):
        releases.release(make(tmp_path / "rival", 0.7), released.to)
        return verified(self, version)

    monkeypatch.setattr(place, "verified", while_somebody_releases)
    with pytest.raises(ReleaseConflict, match=f"named {released.b} when this began and names .* now"):
        releases.promote(released.to, released.a)
    assert released.current not in (released.a, released.b, released.poor)


def test_the_list_shows_what_a_decision_needs(released, capsys):
    """Time, which is current, the verdict, objective, seed and commit of each; and where a rollback would lead."""
    released.overwrite(released.a, "metrics.json", b"{}")
    assert main(["release", "list", released.to]) == 0
    _, *rows, _, end = capsys.readouterr().out.splitlines()
    cells = {row.split()[0]: row for row in rows}
    assert set(cells) == {released.a, released.b, released.poor}
    assert "current" in cells[released.b] and all(word in cells[released.b] for word in ("passed", "accuracy 0.600", "7", "c0ffee"))
    assert "failed: accuracy" in cells[released.poor] and "current" not in cells[released.poor]
    assert "damaged" in cells[released.a]
    assert end == f"rollback would make {released.a} current"


def test_a_waiver_is_seen_in_the_list(tmp_path, capsys):
    """A version that a person let through does not look like one whose gates all held."""
    verdict = gates.verdict([gates.Gate("accuracy", 0.1, 0.4, "accuracy", waived=True), gates.Gate("gain", 0.2, 0.1, "gain", waived=True)])
    toy_bundle.write(tmp_path / "let through", {"model.onnx": "weights"}, verdict=verdict)
    assert releases.release(tmp_path / "let through", str(tmp_path / "release")).moved
    main(["release", "list", str(tmp_path / "release")])
    assert "passed, waived: accuracy " in capsys.readouterr().out


def test_a_version_made_before_scores_is_listed_and_promoted(tmp_path, capsys):
    """With a dash for what it reached; the house can still roll back to it."""
    folder, to = tmp_path / "old", str(tmp_path / "release")
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"finetuned": {"text_to_image": {"R@10": 0.3}}}))
    facts = {name: value for name, value in toy_bundle.FACTS.items() if name != "pipeline"}
    manifest.write(folder, **facts, created="2026-01-31T12:00:00+00:00")
    old = releases.release(folder, to).version
    releases.release(make(tmp_path / "new"), to)
    assert main(["release", "list", to]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(old))
    assert line.split()[-4:] == ["passed", "–", "1", "c0ffee"]
    assert main(["release", "promote", to, old]) == 0


def test_a_place_without_releases_says_so(tmp_path, capsys):
    """Neither listed as empty nor taken for a release."""
    for action in (["list"], ["rollback"]):
        assert main(["release", *action, str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "holds no version" in errors and "nothing is current" in errors


def test_a_pointer_from_before_there_was_a_previous_still_reads(released):
    """It serves as ever; only a rollback has nowhere to go, and says so."""
    text = json.dumps({"version": released.b, "manifest_sha256": releases.current(released.to).manifest_sha256})
    if released.to.startswith("s3://"):
        s3.put(f"{released.to}/current.json", text.encode())
    else:
        Path(released.to, "current.json").write_text(text)
    assert released.current == released.b
    with pytest.raises(ReleaseError, match="no version before it"):
        releases.rollback(released.to)
