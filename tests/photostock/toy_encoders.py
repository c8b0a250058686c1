"""Encoders small enough to draw in code: real ONNX graphs and a real tokenizer, without a tower."""

import json
from pathlib import Path

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.release import toy_bundle
from trainworks.release import gates

SIDE, DIM, LENGTH = 16, 8, 6
WORDS = ["<pad>", "<unk>", "red", "green", "blue", "circle"]
INFERENCE = {
    "schema": 1,
    "prompt": "{title}. {tags}",
    "image": f"shortest({SIDE}) > center_crop({SIDE})",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.25, 0.5],
    "context_length": LENGTH,
    "embedding_size": DIM,
    "distance": "cosine",
    "temperature": 0.07,
}


def write(folder: Path, int8: bool = True) -> Path:
    """The ENCODERS folder: the image encoder projects the mean colour, the text encoder averages word vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(7)
    colours, words = draw.normal(size=(3, DIM)), draw.normal(size=(len(WORDS), DIM))
    projection = draw.normal(size=(DIM, DIM))
    _graph(
        folder / "image_encoder.onnx",
        ("pixels", TensorProto.FLOAT, [3, SIDE, SIDE]),
        "image_embeds",
        {"colours": colours.astype(np.float32)},
        [
            helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "colours"], ["raw"]),
        ],
    )
    _graph(
        folder / "text_encoder.onnx",
        ("input_ids", TensorProto.INT64, [LENGTH]),
        "text_embeds",
        {"words": words.astype(np.float32), "projection": projection.astype(np.float32), "axis": np.array([1], np.int64)},
        [
            helper.make_node("Gather", ["words", "input_ids"], ["vectors"]),
            helper.make_node("ReduceMean", ["vectors", "axis"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "projection"], ["raw"]),
        ],
    )
    if int8:
        for name in ("image_encoder", "text_encoder"):
            quantize_dynamic(folder / f"{name}.onnx", folder / f"{name}.int8.onnx", weight_type=QuantType.QInt8)
    _tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "inference.json").write_text(json.dumps(INFERENCE))
    return folder


def write_bundle(folder: Path, encoders: Path, recall: float = 0.5, trained_on: dict | None = None, **inference) -> Path:
    """A bundle of *encoders*, with *inference* settings changed; its one gate asks for a recall of 0.4."""
    verdict = gates.verdict([gates.Gate("recall", recall, 0.4, "R@10")])
    files = {path.name: path for path in encoders.iterdir() if path.suffix == ".onnx" or path.name == "tokenizer.json"}
    texts = {"inference.json": json.dumps(INFERENCE | inference)}
    if trained_on is not None:
        texts["trained_on.json"] = json.dumps(trained_on)
    return toy_bundle.write(folder, texts, files, pipeline="photostock", verdict=verdict)


def _graph(path: Path, given: tuple, output: str, weights: dict, nodes: list) -> None:
    name, kind, shape = given
    nodes = [*nodes, helper.make_node("LpNormalization", ["raw"], [output], axis=1, p=2)]
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, kind, ["batch", *shape])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", DIM])],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


def _tokenizer() -> tokenizers.Tokenizer:
    words = tokenizers.Tokenizer(WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    words.enable_padding(length=LENGTH, pad_token="<pad>")
    words.enable_truncation(LENGTH)
    return words
