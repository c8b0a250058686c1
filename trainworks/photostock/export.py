"""A checkpoint to the two encoders that ship, each proved against torch on real pictures and captions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from trainworks import onnx
from trainworks.photostock import catalogue, towers
from trainworks.photostock.pixels import Preprocessing, normalise, open_rgb
from trainworks.photostock.text import Prompt

SCHEMA = 1
EXAMPLES = 12
"""Pictures and captions of the embedded sample that parity is checked on."""


def export(checkpoint: Path, prompt: str, image: str, out: Path) -> None:
    """Write both encoders of *checkpoint* as ONNX (fp32 and int8), the tokenizer and ``inference.json`` to *out*.

    *prompt* and *image* are the little languages that turn a record and a picture into inputs.

    Raises:
        ParityError: an encoder differs from torch by more than ``onnx.TOLERANCE``.
    """
    model = towers.read(checkpoint)
    model.model.eval()
    preprocessing = Preprocessing(image)
    model.tokenizer.save(str(out / "tokenizer.json"))
    pixels, ids = _examples(model, preprocessing, Prompt(prompt))
    parity = {}
    for name, encoder, inputs, given in (
        ("image_encoder", _ImageEncoder(model.model), pixels, "pixels"),
        ("text_encoder", _TextEncoder(model.model), ids, "input_ids"),
    ):
        path = out / f"{name}.onnx"
        tensor = torch.from_numpy(inputs)
        with torch.no_grad():
            expected = encoder(tensor).numpy()
        onnx.export(encoder, tensor[:2], path, given, name.replace("encoder", "embeds"))
        parity[name] = onnx.check_parity(path, inputs, expected)
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


def _examples(model: towers.Towers, preprocessing: Preprocessing, prompt: Prompt) -> tuple[np.ndarray, np.ndarray]:
    """Real inputs from the embedded sample: pixels (n, 3, size, size) and ids (n, context)."""
    sample = catalogue.read("sample")
    rows = [row for row in sample.table.slice(0, 4 * EXAMPLES).to_pylist() if not row["rejected"]][:EXAMPLES]
    pixels = np.stack([preprocessing.apply(open_rgb(sample.root / row["image"])) for row in rows])
    ids = [encoding.ids for encoding in model.tokenizer.encode_batch([prompt.render(row) for row in rows])]
    return normalise(pixels, model.mean, model.std), np.array(ids, np.int64)


class _ImageEncoder(Module):
    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels, normalize=True)


class _TextEncoder(Module):
    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.model.encode_text(input_ids, normalize=True)
