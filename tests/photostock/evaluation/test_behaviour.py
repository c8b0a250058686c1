"""Behaviour checks of PhotoStock find the flaw that an encoder has, and no other."""

import json
import re
import zlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.conftest import COLOURS, SHAPES, draw
from tests.photostock import toy_encoders
from trainworks.behaviour import rate
from trainworks.photostock.evaluation import another_process, behaviour
from trainworks.photostock.evaluation.behaviour import Gallery, checks
from trainworks.photostock.evaluation.checks import BEHAVIOUR
from trainworks.photostock.search import Encoders
from trainworks.storage import manifest

NAMED = {colour: np.array(Image.new("RGB", (1, 1), colour).getpixel((0, 0)), float) for colour in COLOURS}


def vector(name: str) -> np.ndarray:
    """What stands for a word, or for a place of a picture."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(size=64)


def units(rows: list[np.ndarray]) -> np.ndarray:
    return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)


class Seer:
    """Encoders that name a picture's colour and shape, see how high it is, and know words in any case and order."""

    def images(self, pictures):
        return units([self.look(p if isinstance(p, Image.Image) else Image.open(BytesIO(p))) for p in pictures])

    def texts(self, texts):
        return units([sum((vector(word) for word in self.words(text)), 0.1 * vector("")) for text in texts])

    def words(self, text: str) -> list[str]:
        return [word.casefold() for word in re.findall(r"\w+", text)]

    def look(self, picture: Image.Image) -> np.ndarray:
        pixels = np.asarray(picture.resize((96, 80)), float)
        dark = 255 - pixels.min(axis=2)
        paint = (pixels * dark[..., None]).sum((0, 1)) / dark.sum()
        colour = min(NAMED, key=lambda name: float(np.abs(NAMED[name] - paint).sum()))
        height = (dark.sum(1) @ np.arange(80)) / dark.sum() / 80
        rows, columns = np.nonzero(dark > 60)
        filled = len(rows) / (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
        shape = "rectangle" if filled > 0.9 else "ellipse" if filled > 0.65 else "triangle"
        return 3 * (vector(colour) + vector(shape)) + height * vector("height") + self.more(dark)

    def more(self, dark: np.ndarray) -> np.ndarray:
        return np.zeros(64)


class Handed(Seer):
    """Sees little but on which side the paint is."""

    def more(self, dark):
        return np.sign(dark[:, :48].sum() - dark[:, 48:].sum()) * 30 * vector("side")


class ColourBlind(Seer):
    """Ignores colours in texts."""

    def words(self, text):
        return [word for word in super().words(text) if word not in COLOURS]


class Literal(Seer):
    """Takes a word in another case for another word."""

    def words(self, text):
        return re.findall(r"\w+", text)


class FirstWord(Seer):
    """Reads no further than the first word."""

    def words(self, text):
        return super().words(text)[:1]


class Contrary(Seer):
    """Turns away from a picture when it is told a second tag."""

    def texts(self, texts):
        return np.array([[-1 if "," in text else 1] for text in texts], np.float32) * super().texts(texts)


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    """Forty drawn shapes, as the seer sees them."""
    things = [(COLOURS[n % 8], SHAPES[n % 3], n) for n in range(40)]
    pictures = []
    for thing in things:
        file = BytesIO()
        draw(*thing).save(file, "PNG")
        pictures.append(file.getvalue())
    titles, tags = [f"{colour} {shape}" for colour, shape, _ in things], [[colour, shape] for colour, shape, _ in things]
    texts = [(k, text) for k, own in enumerate(zip(titles, map(", ".join, tags), strict=True)) for text in own]
    seer = Seer()
    ids = [f"p{k:02d}" for k in range(40)]
    return Gallery(seer, ids, titles, tags, pictures, texts, seer.images(pictures), seer.texts(sorted(set(titles))))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Toy encoders as a bundle, in fp32 and int8."""
    base = tmp_path_factory.mktemp("bundle")
    return toy_encoders.write_bundle(base / "bundle", toy_encoders.write(base / "encoders"))


@pytest.fixture(scope="module")
def rates(gallery, bundle):
    """The rate of each of some checks, for some encoders."""

    def rates(encoders, *names: str) -> list[float]:
        captions = encoders.texts(sorted(set(gallery.titles)))
        seen = replace(gallery, encoders=encoders, images=encoders.images(gallery.pictures), captions=captions)
        return [rate(checks(bundle)[name](seen))["rate"] for name in names]

    return rates


def test_an_encoder_without_a_flaw_passes(rates):
    """Nearly all cases of nearly all checks: it sees what the texts tell."""
    assert rates(Seer(), "flip", "reencoding", "rescaling", "case", "tag_order", "contrast", "monotonicity") == pytest.approx(
        [1.0] * 7, abs=0.06
    )


@pytest.mark.parametrize(
    ("flawed", "check", "others"),
    [
        (Handed, "flip", ("reencoding", "border")),
        (ColourBlind, "contrast", ("case",)),
        (Literal, "case", ("tag_order",)),
        (FirstWord, "tag_order", ("case",)),
        (Contrary, "monotonicity", ()),
    ],
)
def test_the_check_for_a_flaw_finds_it(rates, flawed, check, others):
    """Its rate falls, and that of other checks does not."""
    assert rates(flawed(), check)[0] < 0.5
    assert all(found > 0.9 for found in rates(flawed(), *others))


def test_one_input_has_one_embedding(gallery, bundle):
    """Real encoders pass alone, in a batch, in another order and in another process; with neighbours that rub off they do not."""
    real = Encoders.load(bundle)
    cases = behaviour.consistency(bundle, replace(gallery, encoders=real))
    assert len(cases) > 50 and all(case.passed for case in cases)

    class Sociable:
        images = real.images

        def texts(self, texts):
            alone = real.texts(texts)
            return units(list(alone + 0.01 * alone.mean(axis=0)))

    failed = [case for case in behaviour.consistency(bundle, replace(gallery, encoders=Sociable())) if not case.passed]
    assert len(failed) > 16 and not any("picture" in case.shown for case in failed)


def test_another_process_answers_alike_or_says_why_not(gallery, bundle, tmp_path):
    """Pictures and texts in their order; a bundle that cannot be loaded is told with its reason."""
    real = Encoders.load(bundle)
    pictures, texts = gallery.pictures[:12], ["red", "", "naïve\n山"]
    images, words = another_process.embed(bundle, pictures, texts)
    np.testing.assert_allclose(images, real.images(pictures), atol=1e-6)
    np.testing.assert_allclose(words, real.texts(texts), atol=1e-6)
    with pytest.raises(RuntimeError, match=r"in another process: .*manifest"):
        another_process.embed(tmp_path, pictures, texts)


def test_kept_answers_are_counted_as_by_hand():
    """Half of the first answers and a cosine of 0.9 are enough; less of either is not."""
    draw = np.random.default_rng(3)
    gallery, before = units(list(draw.normal(size=(30, 8)))), units(list(draw.normal(size=(20, 8))))
    after = units(list(before + draw.normal(size=before.shape) * 0.25))
    margins, numbers = behaviour.kept(before, after, gallery)
    for b, a, margin, number in zip(before, after, margins, numbers, strict=True):
        first = [set(sorted(range(30), key=lambda g: -float(query @ gallery[g]))[:10]) for query in (b, a)]
        overlap, cosine = len(first[0] & first[1]) / 10, float(b @ a)
        assert number == {"overlap": overlap, "similarity": pytest.approx(cosine)}
        assert (margin >= 0) == (overlap >= 0.5 and cosine >= 0.9)
    assert 0 < sum(margin >= 0 for margin in margins) < 20


def test_a_gallery_without_words_to_change_has_no_cases(gallery, bundle):
    """No tags, no titles: the checks of texts say that there was nothing to try."""
    mute = replace(gallery, texts=[], tags=[[]] * 40)
    for name in ("case", "synonyms", "contrast", "monotonicity", "int8_agreement"):
        assert checks(bundle)[name](mute) == []


def test_without_an_8_bit_encoder_nothing_agrees_or_disagrees(gallery, bundle, tmp_path):
    """Its agreement is about a file that there may be none of."""
    fp32 = toy_encoders.write_bundle(tmp_path / "bundle", toy_encoders.write(tmp_path / "encoders", int8=False))
    real = replace(gallery, encoders=Encoders.load(bundle), images=Encoders.load(bundle).images(gallery.pictures))
    assert behaviour.int8_agreement(fp32, real) == []
    assert len(behaviour.int8_agreement(bundle, real)) == 40


@pytest.mark.slow
def test_the_stage_writes_every_check(bundle, shards, dataset, tmp_path):
    """All that a gate may ask for, with the pictures of the examples, and twice the same bytes."""
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        behaviour.behave(bundle, dataset, shards, tmp_path / name)
        manifest.write(tmp_path / name)
    found = json.loads((tmp_path / "first" / "behaviour.json").read_text())["checks"]
    assert list(found) == list(BEHAVIOUR) and all(check["meaning"] == BEHAVIOUR[name] for name, check in found.items())
    assert found["flip"]["rate"] == 1 and found["flip"]["cases"] == 10
    shown = {name for check in found.values() for example in check["examples"] for name in example.values() if str(name).endswith(".webp")}
    assert shown and shown == {path.name for path in (tmp_path / "first").glob("*.webp")}
    assert manifest.digest(tmp_path / "first") == manifest.digest(tmp_path / "again")
