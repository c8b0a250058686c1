"""A pickle runs whatever its author likes when it is loaded; named as weights, a checkpoint or a bundle's file, none of it runs."""

import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.photostock import toy_encoders
from trainworks.errors import IntegrityError, WeightsError
from trainworks.photostock.model import towers
from trainworks.photostock.model.untouched import load
from trainworks.photostock.search import Encoders
from trainworks.storage import manifest, s3
from trainworks.training import checkpoints

KEY = "a" * 64


class Malicious:
    """Makes the file *marker* when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path) -> Path:
    """What is there once a pickle was executed, as it is proved to be by whoever does load one."""
    marker = tmp_path / "executed"
    pickle.loads(pickle.dumps(Malicious(marker)))
    marker.rmdir()
    return marker


def numpy_file(save, value) -> bytes:
    file = io.BytesIO()
    save(file, value)
    return file.getvalue()


def torch_file(value, zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


FORMS = {
    "model.pt": lambda evil: pickle.dumps(evil, protocol=2),
    "model.pth": lambda evil: torch_file({"state_dict": evil}, zipped=True),
    "model.bin": lambda evil: torch_file({"state_dict": {"logit_scale": evil}}, zipped=False),
    "model.safetensors": lambda evil: pickle.dumps(evil, protocol=2),
    "model.npz": lambda evil: numpy_file(np.savez, np.array([evil], object)),
    "model.npy": lambda evil: numpy_file(np.save, np.array([evil], object)),
}


@pytest.fixture(scope="module")
def built():
    """Towers to give weights to."""
    return towers.build("lite0-minilm", 32)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("place", ["here", "s3"])
@pytest.mark.filterwarnings("ignore")  # timm's own
def test_weights_run_nothing(name, place, marker, tmp_path, bucket, built, monkeypatch):
    """Six kinds of file, on this machine and on S3: refused as weights that do not fit."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr(towers, "build", lambda backbone, size: built)
    weights = f"{bucket}/{name}" if place == "s3" else str(tmp_path / name)
    content = FORMS[name](Malicious(marker))
    s3.put(weights, content) if place == "s3" else Path(weights).write_bytes(content)
    with pytest.raises(WeightsError, match="does not fit lite0-minilm"):
        load("lite0-minilm", weights, 32, seed=1)
    assert not marker.exists()


def test_saved_towers_run_nothing(marker, tmp_path, built):
    """What a stage hands to the next is read as safetensors, whatever it is."""
    towers.save(built, tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(pickle.dumps(Malicious(marker)))
    with pytest.raises(Exception, match=r"[Hh]eader"):
        towers.read(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("form", ["pickle", "signed pickle", "signed, saved by torch", "signed, no training", "signed, no step"])
def test_checkpoints_to_resume_from_run_nothing(form, marker, tmp_path):
    """Also where the digest is right, the training is this one and only the content is not what it should be."""
    evil = Malicious(marker)
    content = torch_file({"global_step": 1, "state_dict": evil}, zipped=True) if "torch" in form else pickle.dumps(evil, protocol=2)
    if form != "pickle":
        header = {"signed, no training": b"\x80\xff\n", "signed, no step": f" {KEY} one\n".encode()}.get(form, f" {KEY} 7\n".encode())
        content = hashlib.sha256(header + content).hexdigest().encode() + header + content
    path = tmp_path / "resume" / f"{KEY[:20]}-0.ckpt"
    path.parent.mkdir()
    path.write_bytes(content)
    files = checkpoints.Files(path.parent, KEY)
    assert (files.newest is not None) == (form in ("signed pickle", "signed, saved by torch"))
    with pytest.raises(IntegrityError):
        files.load_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["image_encoder.onnx", "text_encoder.onnx", "tokenizer.json", "inference.json", "manifest.json"])
def test_a_bundle_runs_nothing(name, marker, tmp_path):
    """Not even one whose manifest vouches for the pickle in a file's place."""
    bundle = toy_encoders.write_bundle(tmp_path / "bundle", toy_encoders.write(tmp_path / "encoders", int8=False))
    (bundle / name).write_bytes(pickle.dumps(Malicious(marker)))
    if name != manifest.NAME:
        manifest.write(bundle)
    with pytest.raises(Exception) as refused:
        Encoders.load(bundle)
    assert not isinstance(refused.value, AssertionError) and not marker.exists()
