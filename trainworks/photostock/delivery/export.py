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

TOLERANCE = 1e-5
"""Largest difference, in any component of a unit vector, between an ONNX encoder and its torch model."""


def export(checkpoint: Path, prompt: str, image: str, out: Path) -> None:
    """Write both encoders of *checkpoint* as ONNX (fp32 and int8), the tokenizer and ``inference.json`` to *out*.

    *prompt* and *image* are the little languages that turn a record and a picture into inputs.

    Raises:
        ParityError: an encoder differs from torch by more than TOLERANCE.
    """
    model = towers.read(checkpoint)
    model.model.eval()
    preprocessing = Preprocessing(image)
    model.tokenizer.save(str(out / "tokenizer.json"))
    pixels, ids, lengths = _examples(model, preprocessing, Prompt(prompt))
    trims = trim.ignores_padding(model.model)
    parity = {}
    for name, encoder, inputs, given, read in (
        ("image_encoder", _ImageEncoder(model.model), pixels, "pixels", None),
        ("text_encoder", trim.TextEncoder(model.model), ids, "input_ids", lengths if trims else None),
    ):
        path = out / f"{name}.onnx"
        tensor = torch.from_numpy(inputs)
        with torch.no_grad():
            expected = encoder(tensor).numpy()
        example, longest = (tensor[:2], None) if read is None else (tensor[:2, : model.context_length // 2], model.context_length)
        embeds = name.replace("encoder", "embeds")
        onnx.export(encoder, {given: example}, [embeds], path, longest)
        parity[name] = onnx.check_parity(path, {given: inputs}, {embeds: expected}, absolute=TOLERANCE, lengths=read)
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


class _ImageEncoder(Module):
    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels, normalize=True)
