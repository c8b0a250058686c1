"""A model is compared with the release before it, and a repeated run with the same one again."""

import json
import shutil

import pytest

from tests.photostock import toy_encoders
from trainworks.errors import IntegrityError
from trainworks.photostock.evaluation.predecessor import predecessor, told
from trainworks.release import bundle, gates
from trainworks.release.releases import release
from trainworks.storage import manifest, s3


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Three models: each folder's image encoder is its own."""
    folders = [tmp_path_factory.mktemp("models") / name for name in "abc"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        for name in ("image_encoder.onnx", "text_encoder.onnx"):
            (folder / name).write_text(f"{name} {number if 'image' in name else ''}")
    return folders


def released(model, to, tmp_path):
    """Release *model* as a run does: with the version it was compared with in its metrics; gives the version's address."""
    before = predecessor(to, model)
    metrics = {"release": {"version": before.rpartition("/")[2]}} if before else {}
    verdict = gates.verdict([gates.Gate("recall", 1, 0, "R@10")])
    facts = {"config": {}, "commit": "c", "data": "d", "packages": {}, "seed": 1, "seconds": {}, "verdict": verdict}
    out = tmp_path / "bundle"
    shutil.rmtree(out, ignore_errors=True)
    files = {name: model / name for name in ("image_encoder.onnx", "text_encoder.onnx")}
    bundle.write(out, files, {"metrics.json": json.dumps(metrics), "trained_on.json": '{"pictures": 7}'}, facts)
    return release(out, to).uri


@pytest.fixture(params=["folder", "s3"])
def to(request, tmp_path):
    """Where releases go."""
    return f"{request.getfixturevalue('bucket')}/shop" if request.param == "s3" else str(tmp_path / "release")


def test_each_model_is_compared_with_the_release_before_it(to, encoders, tmp_path):
    """The first with none; a repeated run with the same as before its own release, so that it finds itself in the cache."""
    a, b, c = encoders
    assert predecessor(to, a) == ""
    first = released(a, to, tmp_path)
    assert predecessor(to, a) == "" and predecessor(to, b) == first
    second = released(b, to, tmp_path)
    assert predecessor(to, b) == first
    assert predecessor(to, c) == predecessor(to, a) == second
    assert told(second) == {"pictures": 7}


def test_an_older_bundle_tells_nothing_of_its_training(tmp_path):
    """None is not the same as no picture."""
    assert told(str(toy_encoders.write_bundle(tmp_path / "old", toy_encoders.write(tmp_path / "encoders", int8=False)))) is None


@pytest.mark.parametrize("name", [manifest.NAME, "trained_on.json"])
def test_a_damaged_release_is_refused(to, encoders, tmp_path, name):
    """What it says must be what it said."""
    uri = released(encoders[0], to, tmp_path)
    if uri.startswith(s3.SCHEME):
        s3.put(f"{uri}/{name}", b"{")
    else:
        (tmp_path / uri / name).write_text("{")
    with pytest.raises(IntegrityError, match="point the release at a version that is whole"):
        told(uri)
