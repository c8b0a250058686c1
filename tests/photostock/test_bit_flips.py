"""One flipped bit anywhere is noticed before a value is used: a network of which one bit is wrong answers as if it were right."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.bit_flips import flipped
from tests.photostock import toy_encoders
from trainworks.errors import IntegrityError
from trainworks.photostock.search import Encoders
from trainworks.storage import manifest, store


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("flips")
    return toy_encoders.write_bundle(base / "bundle", toy_encoders.write(base / "encoders"))


@pytest.mark.parametrize("name", ["image_encoder.onnx", "text_encoder.int8.onnx", "tokenizer.json", "inference.json", "manifest.json"])
def test_a_bundle_with_a_flipped_bit_is_not_loaded(bundle, name, monkeypatch):
    """200 of 200 in ONNX, in JSON and in the manifest itself; neither onnxruntime nor the tokenizer sees any of them."""
    Encoders.load(bundle)
    with monkeypatch.context() as patch:
        for parser in ("onnxruntime.InferenceSession", "trainworks.photostock.search.Tokenizer"):
            patch.setattr(parser, lambda *_, **__: pytest.fail("parsed"))
        for _ in flipped(bundle / name):
            with pytest.raises(IntegrityError):
                Encoders.load(bundle)
    Encoders.load(bundle)


@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json"])
def test_a_stage_output_with_a_flipped_bit_is_made_again(name, tmp_path, monkeypatch):
    """200 of 200 in safetensors, which alone would load every one of them, and in the manifest."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path))
    made = []

    def make(out: Path) -> None:
        made.append(out)
        save_file({"weight": torch.arange(500, dtype=torch.float32)}, out / "weights.safetensors")

    folder = store.remember("toy", "key", make)
    for _ in flipped(folder / name):
        assert not store.is_whole(folder)
    assert store.is_whole(folder) and len(made) == 1
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    assert manifest.verify(store.remember("toy", "key", make)) and len(made) == 2
