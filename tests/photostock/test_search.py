"""Serving: a bundle from a folder, a release or a bucket becomes embeddings, or is refused."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import trainworks
from tests.photostock import toy_encoders
from tests.photostock.toy_encoders import DIM
from trainworks.errors import DataError, IntegrityError
from trainworks.photostock.search import BATCH, Encoders
from trainworks.release.releases import release
from trainworks.storage import manifest

COLOURS = ["red", "green", "blue", "white", "black", "orange", "navy"]


def picture(colour, size=(40, 30)):
    return Image.new("RGB", size, colour)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The folder of toy encoders that every bundle here is made of."""
    return toy_encoders.write(tmp_path_factory.mktemp("toy") / "encoders")


@pytest.fixture(scope="module")
def bundle(toy, tmp_path_factory):
    return toy_encoders.write_bundle(tmp_path_factory.mktemp("toy") / "bundle", toy)


@pytest.fixture(scope="module")
def encoders(bundle):
    return Encoders.load(bundle)


@pytest.fixture
def copy(bundle, tmp_path):
    """A bundle that a test may damage."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def test_embeddings_are_unit_vectors(encoders):
    """float32 (n, dim), each row of length 1, whatever came in."""
    found = [encoders.images([picture("red"), picture("blue")]), encoders.texts(["red", ""]), encoders.records([{"title": "red"}, {}])]
    for embeddings in found:
        assert (embeddings.shape, embeddings.dtype) == ((2, DIM), np.float32)
        assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-6)
    assert encoders.dim == DIM and encoders.inference["temperature"] == 0.07


def test_nothing_in_nothing_out(encoders):
    """An empty list is (0, dim), which concatenates and multiplies like any other."""
    for embeddings in (encoders.images([]), encoders.texts([]), encoders.records([])):
        assert (embeddings.shape, embeddings.dtype) == ((0, DIM), np.float32)


def test_the_graph_gets_what_inference_json_says(toy, encoders):
    """By hand: resize, crop, normalise, mean colour, projection, length 1."""
    import onnx
    from onnx import numpy_helper

    weights = numpy_helper.to_array(onnx.load(toy / "image_encoder.onnx").graph.initializer[0])
    colour = (np.array([200, 30, 90]) / 255 - toy_encoders.INFERENCE["mean"]) / toy_encoders.INFERENCE["std"]
    expected = colour @ weights / np.linalg.norm(colour @ weights)
    assert encoders.images([picture((200, 30, 90))])[0] == pytest.approx(expected, abs=1e-6)


def test_records_are_rendered_by_the_prompt(encoders):
    """A record is the text that the bundle's prompt makes of it; a missing field vanishes."""
    records = [{"title": "red", "tags": ["circle", "blue"], "description": "green"}, {"tags": "circle"}]
    assert (encoders.records(records) == encoders.texts(["red. circle, blue", "circle"])).all()


def test_paths_bytes_and_pictures_are_the_same(encoders, tmp_path):
    """Three ways in, one embedding."""
    file = io.BytesIO()
    picture("orange").save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    found = encoders.images([picture("orange"), tmp_path / "a.png", str(tmp_path / "a.png"), file.getvalue()])
    assert np.ptp(found, axis=0).max() <= 1e-6


@pytest.mark.parametrize("int8", [False, True])
def test_an_answer_does_not_depend_on_its_neighbours(bundle, int8):
    """One by one or more than a batch at once: the same to float noise; with int8 too, where a shared scale would show."""
    encoders = Encoders.load(bundle, int8=int8)
    pictures = [picture(COLOURS[k % len(COLOURS)], (16 + k, 20)) for k in range(2 * BATCH + 3)]
    texts = [f"{COLOURS[k % 3]} circle " * (k % 4) for k in range(2 * BATCH + 3)]
    for together, alone in (
        (encoders.images(pictures), [encoders.images([one])[0] for one in pictures]),
        (encoders.texts(texts), [encoders.texts([one])[0] for one in texts]),
    ):
        assert np.abs(together - alone).max() <= 1e-6


def test_int8_is_taken_where_it_ships(toy, bundle, encoders, tmp_path):
    """Quantised answers are near and not equal; a bundle with one int8 encoder mixes, one without gives fp32."""
    quantised = Encoders.load(bundle, int8=True)
    fp32, int8 = encoders.texts(COLOURS), quantised.texts(COLOURS)
    assert 0 < np.abs(fp32 - int8).max() < 0.05
    half = Path(shutil.copytree(toy, tmp_path / "half"))
    (half / "image_encoder.int8.onnx").unlink()
    mixed = Encoders.load(toy_encoders.write_bundle(tmp_path / "mixed", half), int8=True)
    assert (mixed.texts(COLOURS) == int8).all()
    assert (mixed.images([picture("red")]) == encoders.images([picture("red")])).all()


def test_threads_share_one_pair_of_encoders(encoders):
    """Eight threads at once get what one gets alone."""
    expected = [encoders.images([picture(colour)]) @ encoders.texts([colour]).T for colour in COLOURS]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = pool.map(lambda colour: encoders.images([picture(colour)]) @ encoders.texts([colour]).T, COLOURS)
            assert np.array(list(found)) == pytest.approx(np.array(expected), abs=1e-6)


def test_a_broken_picture_is_named(encoders, tmp_path):
    """Which one, and what is wrong with it."""
    (tmp_path / "b.jpg").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"of inputs 0 to 1: .*b\.jpg: cannot be read as a picture"):
        encoders.images([picture("red"), tmp_path / "b.jpg"])


WORDS = ["green circle blue", "red", "blue"]


@pytest.mark.parametrize(
    "container",
    [tuple, np.array, pd.Index, iter, partial(pd.Series, index=[2, 0, 1]), lambda words: (word for word in words), dict.fromkeys],
    ids=["tuple", "array", "index", "iterator", "series", "generator", "dict"],
)
def test_what_has_an_order_is_embedded_in_it(encoders, container):
    """A container is what iterating it gives, whatever its labels say, or is refused."""
    given = container(WORDS)
    if isinstance(given, dict):
        with pytest.raises(TypeError, match="expected a list of texts, got dict"):
            encoders.texts(given)
    else:
        assert np.array_equal(encoders.texts(given), encoders.texts(WORDS))


def test_what_has_no_order_or_more_than_one_dimension_is_refused(encoders):
    """A text would be searched letter by letter, a data frame by its columns."""
    frame = pd.DataFrame([{"title": "red"}])
    for one in (
        "red",
        b"red",
        {"red"},
        {"title": "red"},
        {"red": 1}.keys(),
        frame,
        np.array([["red"]]),
        np.array("red"),
        None,
        3,
        picture("red"),
    ):
        for call in (encoders.texts, encoders.images, encoders.records):
            with pytest.raises(TypeError, match="expected a list of"):
                call(one)


def test_every_item_is_checked(encoders):
    """By its number; a null of a data frame is no text, an array no picture."""
    for call, item in ((encoders.texts, None), (encoders.texts, b"red"), (encoders.texts, float("nan")), (encoders.texts, ["red"])):
        with pytest.raises(TypeError, match=r"expected texts, got \w+ as number 1"):
            call(["red", item])
    with pytest.raises(TypeError, match=r"expected pictures .*, got ndarray as number 1"):
        encoders.images([picture("red"), np.zeros((30, 30, 3))])
    with pytest.raises(TypeError, match=r"expected records .*, got Series as number 0"):
        encoders.records([pd.Series({"title": "red"})])


@pytest.mark.parametrize("tags", ["green;blue", "['green', 'blue']", '["green", "blue"]', np.array(["green", "blue"]), ("green", "blue")])
def test_records_read_tags_as_a_catalogue_does(encoders, tags):
    """A list that a program wrote as text is a list; what is no text is refused, and not embedded as Python shows it."""
    assert np.array_equal(
        encoders.records([{"title": "red", "tags": tags}]), encoders.records([{"title": "red", "tags": ["green", "blue"]}])
    )
    for wrong in ({"title": ["red"]}, {"title": True}, {"description": "{'en': 'red'}"}, {"tags": {"red": 1}}):
        with pytest.raises(DataError, match="record 1: "):
            encoders.records([{}, wrong])


def test_a_query_may_be_anything_that_is_text(encoders):
    """What shows nothing is the empty text; halves of characters are no error; megabytes take no longer than a page."""
    nothing = encoders.texts(["", "\u200b", "\ufeff \u2800", "\u3164"])
    assert (nothing == nothing[0]).all()
    assert np.isfinite(encoders.texts(["red \ud83d", "red\0"])).all()
    started = time.perf_counter()
    assert np.array_equal(encoders.texts(["red circle " * 500_000]), encoders.texts(["red circle " * 50]))
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("name", ["image_encoder.onnx", "image_encoder.int8.onnx", "tokenizer.json", "inference.json"])
def test_a_tampered_bundle_is_refused_before_it_is_parsed(copy, name):
    """The checksum speaks first: garbage in a file that would not even parse is reported as tampering."""
    (copy / name).write_bytes(b"\0" * (copy / name).stat().st_size)
    with pytest.raises(IntegrityError, match=f"{name}: SHA-256"):
        Encoders.load(copy)


@pytest.mark.parametrize("name", ["image_encoder.onnx", "text_encoder.onnx", "tokenizer.json", "inference.json"])
def test_a_partial_bundle_is_refused(copy, name):
    """Whether the file is gone, or is there without the manifest's word for it."""
    (copy / name).rename(copy / "aside")
    with pytest.raises(IntegrityError, match=f"{name} is missing"):
        Encoders.load(copy)
    manifest.write(copy)
    shutil.copy(copy / "aside", copy / name)
    with pytest.raises(IntegrityError, match=f"does not name {name}"):
        Encoders.load(copy)


def test_a_bundle_of_another_pipeline_is_refused(copy):
    """By its name, before a file is missed; a bundle from before pipelines had names is PhotoStock's."""
    facts = manifest.read(copy)
    (copy / manifest.NAME).write_text(manifest.sealed(facts | {"pipeline": "toy"}))
    with pytest.raises(IntegrityError, match="a bundle of toy"):
        Encoders.load(copy)
    del facts["pipeline"]
    (copy / manifest.NAME).write_text(manifest.sealed(facts))
    Encoders.load(copy)


def test_no_manifest_no_bundle(copy):
    """What a killed copy leaves is not loaded."""
    (copy / manifest.NAME).unlink()
    with pytest.raises(IntegrityError, match="neither a bundle"):
        Encoders.load(copy)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": 2}, "schema 2, this trainworks reads 1"),
        ({"image": "squash(32)"}, r"image_encoder\.onnx: takes \[3, 16, 16\] .* says \[3, 32, 32\]"),
        ({"embedding_size": 9}, r"gives \[8\] .* and \[9\]"),
        ({"context_length": 7}, r"text_encoder\.onnx: takes \[6\] .* says \[7\]"),
    ],
)
def test_settings_that_do_not_fit_the_encoders_are_refused(toy, tmp_path, change, says):
    """At loading, not at the first search."""
    with pytest.raises(IntegrityError, match=says):
        Encoders.load(toy_encoders.write_bundle(tmp_path / "bundle", toy, **change))


def test_a_release_is_followed_to_its_current_version(toy, bundle, encoders, tmp_path):
    """A candidate whose gates failed changes nothing for those who load the release."""
    root = tmp_path / "release"
    release(bundle, str(root))
    release(toy_encoders.write_bundle(tmp_path / "poor", toy, recall=0.1, temperature=0.5), str(root))
    assert Encoders.load(str(root)).inference == encoders.inference


def test_a_version_other_than_the_one_released_is_refused(bundle, tmp_path):
    """Even one that is consistent in itself: the pointer names the manifest's hash."""
    done = release(bundle, str(tmp_path / "release"))
    (Path(done.uri) / "README.md").write_text("added")
    manifest.write(Path(done.uri))
    with pytest.raises(IntegrityError, match=r"not the one that current\.json names"):
        Encoders.load(tmp_path / "release")


@pytest.fixture(scope="module")
def bucket(s3_server):
    """A bucket on a loopback server, named by the standard environment variables."""
    patch = pytest.MonkeyPatch()
    settings = {"AWS_ENDPOINT_URL": s3_server, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for name, value in {**settings, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        patch.setenv(name, value)
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="photos")
    yield client
    patch.undo()


def upload(client, folder, prefix):
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "photos", f"{prefix}/{path.relative_to(folder).as_posix()}")


@pytest.mark.slow
def test_a_bucket_serves_like_a_folder(bucket, bundle, encoders, tmp_path, monkeypatch):
    """A bundle and a release on S3 give the embeddings of the local one, and leave nothing on disk."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    release(bundle, str(tmp_path / "release"))
    upload(bucket, bundle, "some/bundle")
    upload(bucket, tmp_path / "release", "some/release")
    for uri in ("s3://photos/some/bundle", "s3://photos/some/bundle/", "s3://photos/some/release"):
        found = Encoders.load(uri)
        assert (found.texts(["red circle"]) == encoders.texts(["red circle"])).all()
        assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.slow
def test_a_damaged_bucket_is_refused(bucket, bundle, tmp_path):
    """Tampered, partial, pointing elsewhere, or not a bundle at all."""
    done = release(bundle, str(tmp_path / "release"))
    upload(bucket, bundle, "tampered")
    bucket.put_object(Bucket="photos", Key="tampered/tokenizer.json", Body=b"{}")
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        Encoders.load("s3://photos/tampered")
    upload(bucket, bundle, "partial")
    bucket.delete_object(Bucket="photos", Key="partial/text_encoder.onnx")
    with pytest.raises(IntegrityError, match=r"text_encoder\.onnx: no such object"):
        Encoders.load("s3://photos/partial")
    upload(bucket, tmp_path / "release", "moved")
    content = json.loads((Path(done.uri) / manifest.NAME).read_text()) | {"seed": 2}
    bucket.put_object(Bucket="photos", Key=f"moved/versions/{done.version}/manifest.json", Body=json.dumps(content).encode())
    with pytest.raises(IntegrityError, match=r"not the one that current\.json names"):
        Encoders.load("s3://photos/moved")
    with pytest.raises(IntegrityError, match="s3://photos/mistyped: neither a bundle"):
        Encoders.load("s3://photos/mistyped")
    with pytest.raises(ValueError, match="s3://bucket/prefix; it names no bucket"):
        Encoders.load("s3://")


SERVE = """
import sys
from trainworks.photostock.search import Encoders
from PIL import Image
encoders = Encoders.load(sys.argv[1])
print(encoders.images([Image.new("RGB", (40, 30), "red")]).shape, encoders.records([{"title": "red"}]).shape)
"""


def test_serving_imports_nothing_of_training(bundle):
    """torch, pandas, pyarrow, flytekit, open_clip and boto3 may all be absent."""
    absent = "import sys\nfor name in ('torch', 'pandas', 'pyarrow', 'flytekit', 'open_clip', 'boto3'): sys.modules[name] = None\n"
    found = subprocess.run([sys.executable, "-c", absent + SERVE, bundle], capture_output=True, text=True, check=False)
    assert found.stdout == f"(1, {DIM}) (1, {DIM})\n", found.stderr


@pytest.mark.slow
def test_a_fresh_environment_with_the_serve_extra_is_enough(bundle, tmp_path):
    """What ``pip install trainworks[serve]`` brings loads a bundle and answers."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    source = shutil.copytree(
        Path(trainworks.__file__).parent.parent,
        tmp_path / "source",
        ignore=shutil.ignore_patterns(".*", "artifacts", "data", "tests", "build", "*.egg-info", "__pycache__"),
    )
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    install = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
    done = subprocess.run([*install, "--quiet", f"{source}[serve]"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = subprocess.run([python, "-c", SERVE, bundle], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stdout == f"(1, {DIM}) (1, {DIM})\n", found.stderr
