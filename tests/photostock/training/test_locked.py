"""Features of a locked tower and its head on top are the tower itself."""

import numpy as np
import pytest
import torch

from trainworks.photostock.model import towers
from trainworks.photostock.model.untouched import load
from trainworks.photostock.training import changes, locked
from trainworks.photostock.training.inputs import Inputs
from trainworks.photostock.training.knobs import TrainConfig

pytestmark = pytest.mark.filterwarnings("ignore")  # open_clip's and timm's own

FP32 = torch.autocast("cpu", enabled=False)
TEXTS = ["a red car", "apple", "two boats by the sea, evening"]


@pytest.fixture(scope="module", params=["lite0-minilm", "ViT-S-32-alt"])
def model(request):
    """A convolutional image tower with BERT, and a transformer with CLIP's causal text tower."""
    loaded = load(request.param, "random", 64, seed=1)
    loaded.model.eval()
    return loaded


@torch.no_grad()
def test_features_and_head_are_the_whole_image_tower(model):
    """The same embeddings as from pixels, to the rounding of another order of sums."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    features = locked.image_features(model, pixels, FP32)
    ready = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor(model.mean).view(3, 1, 1)) / torch.tensor(model.std).view(
        3, 1, 1
    )
    expected = model.model.encode_image(ready, normalize=True)
    torch.testing.assert_close(locked.project(model.model, "image", torch.from_numpy(features)), expected, atol=1e-6, rtol=0)


@torch.no_grad()
def test_features_and_head_are_the_whole_text_tower(model):
    """The same embeddings as from token ids."""
    features = locked.text_features(model, TEXTS, FP32)
    expected = model.model.encode_text(torch.tensor([encoding.ids for encoding in model.tokenizer.encode_batch(TEXTS)]), normalize=True)
    torch.testing.assert_close(locked.project(model.model, "text", torch.from_numpy(features)), expected, atol=1e-6, rtol=0)


def test_taking_features_leaves_the_model_as_it_was(model):
    """Same weights under the same names, and still in the mode it was in."""
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    model.model.train()
    locked.text_features(model, TEXTS, FP32)
    assert model.model.training
    model.model.eval()
    after = model.model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], value) for name, value in before.items())


def test_attention_pooling_is_no_separate_head():
    """A ResNet of CLIP ends in attention over the whole feature map: nothing small to keep, so it is not locked."""
    model = towers.build("RN50", 64).model
    assert not locked.has_separate_head(model, "image")
    assert locked.has_separate_head(model, "text")


@pytest.mark.parametrize(
    ("loss", "augment", "columns"),
    [("clip", "", ()), ("clip", "sample_field", ("texts",)), ("tags", "", ("tags",)), ("clip + invariance", "sample_field", ("texts",))],
)
def test_only_texts_that_the_recipe_draws_are_made(untouched, shards, dataset, tmp_path, monkeypatch, loss, augment, columns):
    """Captions of both splits; of training pictures the other texts where a field is drawn, single tags and typos where the loss asks."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))
    config = TrainConfig(image="squash(32)", loss=loss, augment_text=augment, tune="*.head=1, *=0", batch_size=16)
    inputs = Inputs(towers.read(untouched), untouched, dataset, shards, config, tmp_path)
    train, val = inputs.rows["train"], inputs.rows["val"]
    texts_encoded = {*train["caption"], *val["caption"], *(text for column in columns for texts in train[column] for text in texts)}
    if "invariance" in loss:
        drawn = {*train["caption"], *(text for texts in train["texts"] for text in texts)}
        texts_encoded |= {changes.text(text) for text in drawn}
    (features,) = (tmp_path / "artifacts").rglob("*-text*/**/features.npy")
    assert len(np.load(features)) == len(texts_encoded)
