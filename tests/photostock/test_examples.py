"""A bundle's files say all that a service in another language needs; its examples prove it."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from tests.photostock import service_of_another, toy_encoders
from trainworks.__main__ import main
from trainworks.photostock import examples
from trainworks.photostock.delivery import pixel_graph
from trainworks.photostock.delivery.package import graph
from trainworks.photostock.preprocessing.pixels import Preprocessing, normalise, open_rgb
from trainworks.photostock.preprocessing.steps import steps
from trainworks.storage import manifest

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision")

TOKENIZER = json.dumps({"padding": {"pad_id": 0, "direction": "Right"}, "truncation": {"direction": "Right"}})
MEAN_STD = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of toy encoders with its examples, as package writes it."""
    folder = tmp_path_factory.mktemp("bundle")
    encoders = toy_encoders.write(folder / "encoders")
    manifest.write(encoders)
    (folder / "examples").mkdir()
    files = examples.files(encoders, folder / "examples")
    settings = toy_encoders.INFERENCE
    told = steps(settings, (encoders / "tokenizer.json").read_text())
    graphs = {name: graph(encoders / f"{name}.onnx") for name in ("image_encoder", "text_encoder")}
    shutil.rmtree(folder / "encoders" / "examples", ignore_errors=True)
    made = toy_encoders.write_bundle(folder / "made", encoders, steps=told, graphs=graphs)
    for name, file in files.items():
        (made / name).parent.mkdir(exist_ok=True)
        shutil.copy(file, made / name)
    facts = {name: value for name, value in manifest.read(made).items() if name != "files"}
    (made / manifest.NAME).unlink()
    manifest.write(made, **facts)
    return made


@pytest.mark.parametrize(
    "image",
    ["pad(128)", "pad(96, black, lanczos)", "shortest(64) > center_crop(64)", "shortest(80, bilinear) > center_crop(64)", "squash(48)"],
)
@pytest.mark.parametrize("picture", examples.PICTURES)
def test_the_steps_are_what_happens_to_a_picture(image, picture):
    """Whatever the language says and the picture is: written anew from the steps alone, nearly every value is the same."""
    content = examples.PICTURES[picture][1]()
    ours = normalise(Preprocessing(image).apply(open_rgb(content))[None], MEAN_STD["mean"], MEAN_STD["std"])
    told = steps({"image": image, "context_length": 8, **MEAN_STD}, TOKENIZER)["picture"]
    theirs = service_of_another.apply(told, service_of_another.decoded(content))
    assert theirs.shape == ours.shape and theirs.dtype == ours.dtype
    level = 1 / 255 / 0.26
    assert np.abs(theirs - ours).mean() < 0.2 * level and np.quantile(np.abs(theirs - ours), 0.99) < 3.5 * level


def test_a_service_of_another_language_reaches_the_examples(bundle):
    """Every picture and every text, with other decoders, another resize and another way to cut."""
    service, told = service_of_another.Service(bundle), json.loads((bundle / "examples/examples.json").read_text())
    found = {each["about"]: service.image((bundle / each["file"]).read_bytes()) @ each["embedding"] for each in told["pictures"]}
    found |= {each["about"]: service.text(each["text"]) @ each["embedding"] for each in told["texts"]}
    assert len(found) == len(examples.PICTURES) + len(examples.TEXTS)
    assert {about: cosine for about, cosine in found.items() if cosine < told["least_cosine"]} == {}


def test_release_check_runs_the_examples(bundle, tmp_path, capsys):
    """Each is a row; a bundle whose preprocessing is another than the one its examples were made with differs."""
    assert main(["release", "check", str(bundle)]) == 0
    assert "longer than the context" in capsys.readouterr().out
    other = shutil.copytree(bundle, tmp_path / "other")
    settings = json.loads((other / "inference.json").read_text())
    (other / "inference.json").write_text(json.dumps(settings | {"image": "pad(16, black)"}))
    facts = {name: value for name, value in manifest.read(other).items() if name != "files"}
    (other / manifest.NAME).unlink()
    manifest.write(other, **facts)
    assert main(["release", "check", str(other)]) == 1
    assert "differs" in capsys.readouterr().out


SHAPES = [(91, 128), (128, 91), (50, 100), (20, 60), (300, 64), (96, 96)]
"""Width and height; Pillow would begin with the vertical pass for some, ONNX for none."""


@pytest.mark.parametrize(
    ("image", "levels"), {"pad(128)": 1, "pad(96, black)": 1, "shortest(64) > center_crop(64)": 2, "squash(48, bilinear)": 1}.items()
)
def test_a_graph_does_all_but_decoding(image, levels, tmp_path):
    """Decoded pixels of any size go in; out comes what the encoder reads, but for a level of 255, or two at edges of a cut."""
    told = steps({"image": image, "context_length": 8, **MEAN_STD}, TOKENIZER)["picture"]
    pixel_graph.write(told, tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx")
    rng = np.random.default_rng(0)
    pictures = [np.array(open_rgb(picture())) for _, picture in examples.PICTURES.values()]
    for rgb in pictures + [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in SHAPES]:
        ours = normalise(Preprocessing(image).apply(open_rgb(Image.fromarray(rgb)))[None], MEAN_STD["mean"], MEAN_STD["std"])
        (theirs,) = session.run(None, {"rgb": rgb})
        assert theirs.shape == ours.shape
        assert np.abs(theirs - ours).max() <= (levels + 0.01) / 255 / min(MEAN_STD["std"])


def test_what_onnx_cannot_resize_has_no_such_graph():
    """Lanczos; all else has."""
    told = [steps({"image": image, "context_length": 8, **MEAN_STD}, TOKENIZER)["picture"] for image in ("pad(64, lanczos)", "pad(64)")]
    assert [pixel_graph.possible(each) for each in told] == [False, True]
