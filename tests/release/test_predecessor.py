"""A model is compared with the release before it, and a repeated run with the same one again."""

import shutil

import pytest

from tests.release import toy_bundle
from trainworks.errors import IntegrityError
from trainworks.release.predecessor import predecessor
from trainworks.release.releases import release
from trainworks.storage import manifest, s3

FILES = ("slope.json", "offset.json")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three models: each folder's offset is its own."""
    folders = [tmp_path_factory.mktemp("models") / name for name in "abc"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / "slope.json").write_text("1")
        (folder / "offset.json").write_text(str(number))
    return folders


def released(model, to, tmp_path):
    """Release *model* as a run does: with the version it was compared with in its metrics; gives the version's address."""
    before = predecessor(to, model, FILES)
    metrics = {"release": {"version": before.rpartition("/")[2]}} if before else {}
    out = tmp_path / "bundle"
    shutil.rmtree(out, ignore_errors=True)
    toy_bundle.write(out, {"metrics.json": toy_bundle.metrics(**metrics)}, {name: model / name for name in FILES})
    return release(out, to).uri


@pytest.fixture(params=["folder", "s3"])
def to(request, tmp_path):
    """Where releases go."""
    return f"{request.getfixturevalue('bucket')}/shop" if request.param == "s3" else str(tmp_path / "release")


def test_each_model_is_compared_with_the_release_before_it(to, models, tmp_path):
    """The first with none; a repeated run with the same as before its own release, so that it finds itself in the cache."""
    a, b, c = models
    assert predecessor(to, a, FILES) == ""
    first = released(a, to, tmp_path)
    assert predecessor(to, a, FILES) == "" and predecessor(to, b, FILES) == first
    second = released(b, to, tmp_path)
    assert predecessor(to, b, FILES) == first
    assert predecessor(to, c, FILES) == predecessor(to, a, FILES) == second


def test_only_the_named_files_make_a_model(to, models, tmp_path):
    """What differs in another file is the same model; a bundle that lacks a named one is another."""
    a, b, _ = models
    first = released(a, to, tmp_path)
    assert predecessor(to, b, ["slope.json"]) == ""
    (b / "curve.json").write_text("{}")
    assert predecessor(to, b, ["slope.json", "curve.json"]) == first


@pytest.mark.parametrize("name", [manifest.NAME, "metrics.json"])
def test_a_damaged_release_is_refused(to, models, tmp_path, name):
    """What it says must be what it said."""
    uri = released(models[0], to, tmp_path)
    if s3.is_uri(uri):
        s3.put(f"{uri}/{name}", b"{")
    else:
        (tmp_path / uri / name).write_text("{")
    with pytest.raises(IntegrityError, match="point the release at a version that is whole"):
        predecessor(to, models[0], FILES)
