"""Drift: a catalogue like the one a bundle was made of ends with 0, another one with 1, and what cannot be read with 2."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.conftest import COLOURS, SHAPES, draw
from tests.photostock import toy_encoders
from tests.release import toy_bundle
from trainworks.__main__ import main
from trainworks.photostock.catalogue import catalogue, slices
from trainworks.photostock.curation import index
from trainworks.photostock.curation.curate import curate
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.evaluation.queries import kinds_of_query
from trainworks.photostock.monitoring import profile
from trainworks.photostock.monitoring.drift import drift
from trainworks.photostock.preparation.prepare import prepare
from trainworks.photostock.search import Encoders
from trainworks.release import releases
from trainworks.storage import manifest


def shapes(folder, first, count):
    """A catalogue of *count* drawn shapes by 40 artists, numbered from *first*."""
    folder.mkdir()
    rows = []
    for number in range(first, first + count):
        colour, shape = COLOURS[number * 7 % 8], SHAPES[number % 3]
        draw(colour, shape, number).save(folder / f"{number}.png")
        rows.append(
            {"image": f"{number}.png", "title": f"{colour} {shape}", "tags": [colour, shape], "contributor": f"{first} {number % 40}"}
        )
    return write(folder, rows)


def write(folder, rows):
    (folder / "catalogue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The catalogue the bundle is made of."""
    return shapes(tmp_path_factory.mktemp("drift") / "own", 0, 240)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Nothing like it: coloured noise with long titles, no tags and no contributors."""
    folder, random = tmp_path_factory.mktemp("drift") / "noise", np.random.default_rng(0)
    folder.mkdir()
    for number in range(60):
        Image.fromarray(random.integers(0, 90, (200, 210, 3), np.uint8)).save(folder / f"{number}.png")
    return write(folder, [{"image": f"{number}.png", "title": "an invoice of the second quarter, page seven"} for number in range(60)])


@pytest.fixture(scope="module")
def made(own, tmp_path_factory):
    """A bundle with its profile, and the queries of its gallery."""
    base = tmp_path_factory.mktemp("made")
    found = catalogue.read(own)
    for name in ("slice", "shard", "dataset"):
        (base / name).mkdir()
    slices.write_slice(found.table, base / "slice")
    prepare(base / "slice", found.root, base / "shard", 64)
    manifest.write(base / "shard")
    curate([base / "shard"], DataConfig(gallery=60, subsample=""), base / "dataset")
    encoders = toy_encoders.write(base / "encoders", int8=False)
    serving = Encoders.load(toy_encoders.write_bundle(base / "plain", encoders))
    test, train = (index.rows(base / "dataset", split) for split in ("test", "train"))
    asked = {kind: queries.texts for kind, queries in kinds_of_query(test).items()}
    images = serving.images([Image.open(BytesIO(data)) for _, data in sorted(index.pictures(test, [base / "shard"]))])
    texts = {kind: serving.texts(words) for kind, words in asked.items()}
    reference = profile.profile(test, train, [base / "shard"], images, texts, asked)
    files = {path.name: path for path in encoders.iterdir()}
    toy_bundle.write(base / "bundle", {profile.FILE: json.dumps(reference)}, files, pipeline="photostock", config={"stored_size": 64})
    return base / "bundle", [text for kind in profile.QUERIES if kind in asked for text in asked[kind]]


@pytest.fixture
def queries(made, tmp_path):
    """A log of what the gallery was asked by, several times over."""
    path = tmp_path / "queries.txt"
    path.write_text("\n".join(made[1] * 2) + "\n")
    return path


def test_its_own_catalogue_and_queries_are_within_bounds(made, own, queries, capsys):
    """Exit status 0, and a line for each measure with reference, now, shift and threshold."""
    assert main(["photostock", "drift", str(made[0]), own, "--queries", str(queries)]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("240 rows, 240 pictures: no drift\n")
    assert all(name in printed for name in ("picture embedding", "tags", "fields present", "best answer, cosine", "largest contributor"))


def test_new_pictures_of_the_same_kind_are_within_bounds(made, tmp_path):
    """Other artists, other pictures, the same colours and shapes."""
    assert drift(str(made[0]), shapes(tmp_path / "more", 1000, 80))["ok"]


def test_other_pictures_and_texts_have_drifted(made, noise, capsys):
    """Exit status 1, for a job to retrain; the measures that moved are named."""
    assert main(["photostock", "drift", str(made[0]), noise]) == 1
    drifted = capsys.readouterr().out.rpartition("drifted: ")[2]
    assert all(name in drifted for name in ("picture embedding", "words of a caption", "fields present", "shorter side, pixels"))


def test_other_queries_have_drifted(made, own, tmp_path):
    """Though the pictures are those the bundle knows."""
    (tmp_path / "log.csv").write_text("query,user\n" + '"circle, circle circle circle",7\n' * 50)
    drifted = {row["measure"] for row in drift(str(made[0]), own, tmp_path / "log.csv")["measures"] if not row["ok"]}
    assert {"query embedding", "words of a query"} <= drifted and not any("picture" in name for name in drifted)


def test_a_release_on_s3_is_compared_as_a_folder_is(made, noise, bucket):
    """The current version, fetched and verified."""
    assert releases.release(made[0], f"{bucket}/shop").moved
    assert drift(f"{bucket}/shop", noise) == drift(str(made[0]), noise)


def test_bad_input_is_not_drift(made, own, noise, tmp_path, capsys):
    """Exit status 2 with one line: no bundle, an old one, a damaged one, no catalogue, too few pictures, no log."""
    old = toy_encoders.write_bundle(tmp_path / "old", toy_encoders.write(tmp_path / "encoders", int8=False))
    few = write(tmp_path, [{"image": f"{noise}/{number}.png", "title": "far away"} for number in range(3)])
    for arguments, message in (
        ([str(tmp_path / "gone"), own], "manifest.json"),
        ([str(old), own], "no profile.json"),
        ([str(made[0]), str(tmp_path / "gone")], "no such file or folder"),
        ([str(made[0]), few], "none of 3 rows"),
        ([str(made[0]), own, "--queries", str(tmp_path / "gone.txt")], "not a readable query log"),
    ):
        assert main(["photostock", "drift", *arguments]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ") and message in error


def test_a_tampered_profile_is_refused(made, own, tmp_path):
    """Thresholds are part of what the manifest vouches for."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in made[0].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / profile.FILE).write_text(json.dumps({"schema": 1}))
    assert main(["photostock", "drift", str(copy), own]) == 2


def test_the_profile_names_nobody(made):
    """It counts contributors; who they are, and which pictures they gave, stays in the dataset."""
    text = (made[0] / profile.FILE).read_text()
    contributors = json.loads(text)["contributors"]
    assert contributors["number"] > 10 and max(contributors["shares"]) == 0.05
    assert ".png" not in text and not any(f'"0 {number}"' in text for number in range(40))
