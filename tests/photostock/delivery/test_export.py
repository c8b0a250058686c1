"""What ships answers as the model it came from, in every batch size, or the export fails with the numbers."""

import json
from pathlib import Path

import numpy as np
import onnx as onnx_format
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from trainworks import onnx
from trainworks.errors import ParityError
from trainworks.photostock.delivery.export import export, trace
from trainworks.photostock.evaluation import evaluate
from trainworks.photostock.model import towers
from trainworks.photostock.model.untouched import load
from trainworks.photostock.preprocessing.pixels import normalise, open_rgb
from trainworks.photostock.preprocessing.tokens import Tokenizer
from trainworks.photostock.search import Encoders
from trainworks.storage import manifest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the exporter's and timm's own

PROMPT, IMAGE = "{title}. {tags}", "pad(64)"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The untouched towers at 64 pixels."""
    folder = tmp_path_factory.mktemp("checkpoint")
    towers.save(load("lite0-minilm", "pretrained", 64, seed=1), folder)
    return folder


@pytest.fixture(scope="module")
def encoders(checkpoint, tmp_path_factory):
    """Their encoders, with a manifest as the stage writes it."""
    graphs, folder = tmp_path_factory.mktemp("graphs"), tmp_path_factory.mktemp("encoders")
    trace(checkpoint, graphs)
    export(checkpoint, graphs, PROMPT, IMAGE, folder)
    manifest.write(folder)
    return folder


def test_parity_was_proved_on_real_inputs(encoders):
    """Both encoders within 1e-5 of torch at batches 1, 2, 3 and 8."""
    parity = json.loads((encoders / "parity.json").read_text())
    assert parity.keys() == {"image_encoder", "text_encoder"}
    for found in parity.values():
        assert found["max_abs"] <= 1e-5
        assert found["batches"] == [1, 2, 3, 8]


def test_serving_equals_torch_from_picture_and_record_on(checkpoint, encoders, shards, dataset):
    """The whole path, preprocessing and tokens included: PIL picture and catalogue record in, the same vectors out."""
    from trainworks.photostock.curation import index

    model, served = towers.read(checkpoint), Encoders.load(encoders)
    stored = [picture for _, picture in index.pictures(index.rows(dataset, "test"), shards)][:5]
    record = {"title": "red ellipse", "tags": ["red", "round"]}
    with torch.no_grad():
        pixels = np.stack([served_pixels(picture) for picture in stored])
        image = model.model.eval().encode_image(torch.from_numpy(normalise(pixels, model.mean, model.std)), normalize=True)
        ids = torch.tensor([model.tokenizer.encode("red ellipse. red, round").ids])
        text = model.model.encode_text(ids, normalize=True)
    assert np.abs(served.images(stored) - image.numpy()).max() <= 1e-5
    assert np.abs(served.records([record]) - text.numpy()).max() <= 1e-5


def served_pixels(picture):
    """The preprocessing training uses."""
    from trainworks.photostock.preprocessing.pixels import Preprocessing

    return Preprocessing(IMAGE).apply(open_rgb(picture))


def test_inference_json_is_all_a_service_needs(encoders):
    """Prompt, preprocessing, constants, sizes, distance and temperature."""
    found = json.loads((encoders / "inference.json").read_text())
    assert found == {
        "schema": 1,
        "prompt": PROMPT,
        "image": IMAGE,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "context_length": 32,
        "embedding_size": 384,
        "distance": "cosine",
        "temperature": pytest.approx(0.07, rel=1e-3),
    }


def test_a_changed_weight_is_a_parity_error(encoders, tmp_path):
    """A graph that is off in one tensor fails with the difference, by batch size."""
    path = encoders / "image_encoder.onnx"
    graph = onnx_format.load(path)
    weight = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(weight)
    uneven = np.linspace(0.5, 1.5, values.size, dtype=values.dtype).reshape(values.shape)  # the L2 norm undoes an even factor
    weight.CopyFrom(numpy_helper.from_array(values * uneven, weight.name))
    onnx_format.save(graph, tmp_path / "image_encoder.onnx")
    pixels = np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype(np.float32)
    right = onnxruntime.InferenceSession(path).run(None, {"pixels": pixels})[0]
    with pytest.raises(ParityError, match=r"image_encoder.onnx: image_embeds differs from its model by .*, allowed 1e-05;"):
        onnx.check_parity(tmp_path / "image_encoder.onnx", {"pixels": pixels}, {"image_embeds": right}, absolute=1e-5)


def test_a_text_encoder_reads_no_padding_and_no_neighbour(encoders):
    """One text alone, beside a long one, and padded by hand to the context: the same vector; the graph takes any of these lengths."""
    served, long = Encoders.load(encoders), "a very long text about " + "nothing " * 40
    (alone,), beside = served.texts(["red car"]), served.texts([long, "red car"])[1]
    padded = Tokenizer(encoders / "tokenizer.json")(["red car"])
    session = onnxruntime.InferenceSession(encoders / "text_encoder.onnx")
    assert session.get_inputs()[0].shape == ["batch", "length"]
    (whole,) = session.run(None, {"input_ids": padded})[0]
    assert padded.shape == (1, 32)
    assert np.abs(alone - beside).max() <= 1e-6
    assert np.abs(alone - whole).max() <= 1e-6


def test_a_graph_names_no_path_of_the_machine_that_made_it(encoders):
    """The same model exported in another folder is the same file."""
    for name in ("image_encoder.onnx", "text_encoder.onnx"):
        assert str(Path(onnx.__file__).parent).encode() not in (encoders / name).read_bytes()


def test_evaluation_measures_what_ships(encoders, shards, dataset, tmp_path):
    """Against itself as the baseline nothing is gained; numbers and answers agree with each other."""
    import pyarrow.parquet as pq

    evaluate.evaluate(encoders, encoders, dataset, shards, "", tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["finetuned"] == found["baseline"]
    assert found["gallery"] == {"pictures": 10, "captions": 10}
    assert found["chance"]["R@5"] == 0.5
    answers = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    assert found["finetuned"]["text_to_image"]["R@5"] == np.mean([row["rank"] <= 5 for row in answers])
    for row in answers:
        place = row["right"].index(True) + 1 if True in row["right"] else None
        assert place == (row["rank"] if row["rank"] <= len(row["found"]) else None)
        assert row["scores"] == sorted(row["scores"], reverse=True)
