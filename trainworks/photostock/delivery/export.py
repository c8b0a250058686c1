"""A checkpoint to the two encoders that ship, each proved against torch on real pictures and captions."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from trainworks import onnx
from trainworks.photostock.model import towers, trim
from trainworks.photostock.preprocessing.pixels import Preprocessing, normalise, open_rgb
from trainworks.photostock.preprocessing.text import Prompt

SCHEMA = 1
SAMPLE = Path(__file__).parents[1] / "sample"
EXAMPLES = 12
"""Pictures and captions of the embedded sample that parity is checked on."""

INPUTS = {"image_encoder": "pixels", "text_encoder": "input_ids"}

TOLERANCE = 1e-5
"""Largest difference, in any component of a unit vector, between an ONNX encoder and its torch model."""


def trace(start: Path, out: Path) -> None:
    """Write the graphs of the encoders of the checkpoint *start* to *out*: what all its fine-tunings have in common."""
    model = towers.read(start)
    inputs = {
        "image_encoder": torch.zeros(2, 3, model.size, model.size),
        "text_encoder": torch.zeros(2, model.context_length, dtype=torch.long),
    }
    for name, encoder in _encoders(model).items():
        longest = None
        if name == "text_encoder" and encoder.trims:
            inputs[name], longest = inputs[name][:, : model.context_length // 2], model.context_length
        onnx.trace(encoder, {INPUTS[name]: inputs[name]}, [_output(name)], out / f"{name}.graph", longest)


def export(checkpoint: Path, graphs: Path, prompt: str, image: str, out: Path) -> None:
    """Write both encoders of *checkpoint* as ONNX (fp32 and int8), the tokenizer and ``inference.json`` to *out*.

    *graphs* are what :func:`trace` made of towers with the same architecture; *prompt* and *image* are the little languages that turn
    a record and a picture into inputs.

    Raises:
        ParityError: an encoder differs from torch by more than TOLERANCE.
    """
    model = towers.read(checkpoint)
    preprocessing = Preprocessing(image)
    model.tokenizer.save(str(out / "tokenizer.json"))
    pixels, ids, lengths = _examples(model, preprocessing, Prompt(prompt))
    inputs = {"image_encoder": pixels, "text_encoder": ids}
    parity = {}
    for name, encoder in _encoders(model).items():
        path = out / f"{name}.onnx"
        onnx.fill(graphs / f"{name}.graph", encoder, path)
        with torch.no_grad():
            expected = encoder(torch.from_numpy(inputs[name])).numpy()
        read = lengths if name == "text_encoder" and encoder.trims else None
        parity[name] = onnx.check_parity(path, {INPUTS[name]: inputs[name]}, {_output(name): expected}, absolute=TOLERANCE, lengths=read)
        onnx.quantise(path, out / f"{name}.int8.onnx")
    inference = {
        "schema": SCHEMA,
        "prompt": prompt,
        "image": image,
        "mean": model.mean,
        "std": model.std,
        "context_length": model.context_length,
        "embedding_size": expected.shape[1],
        "distance": "cosine",
        "temperature": 1 / model.model.logit_scale.exp().item(),
    }
    (out / "inference.json").write_text(json.dumps(inference, indent=1) + "\n")
    (out / "parity.json").write_text(json.dumps(parity, indent=1) + "\n")


def _examples(model: towers.Towers, preprocessing: Preprocessing, prompt: Prompt) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real inputs from the embedded sample: pixels (n, 3, size, size), ids (n, context), and how many of them are no padding (n,)."""
    with (SAMPLE / "catalogue.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, EXAMPLES)]
    pixels = np.stack([preprocessing.apply(open_rgb(SAMPLE / row["image"])) for row in rows])
    tokens = model.tokenizer.encode_batch([prompt.render(row) for row in rows])
    ids, lengths = np.array([text.ids for text in tokens], np.int64), np.array([sum(text.attention_mask) for text in tokens])
    return normalise(pixels, model.mean, model.std), ids, lengths


def _encoders(model: towers.Towers) -> dict[str, Any]:
    """What becomes a graph each, by the name of its file."""
    model.model.eval()
    return {"image_encoder": _ImageEncoder(model.model), "text_encoder": trim.TextEncoder(model.model)}


def _output(encoder: str) -> str:
    return encoder.replace("encoder", "embeds")


class _ImageEncoder(Module):
    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels, normalize=True)
