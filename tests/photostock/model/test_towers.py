"""Backbones load, keep what they learnt, and say clearly when they cannot be had."""

from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainworks.errors import WeightsError
from trainworks.photostock.model import towers
from trainworks.photostock.model.untouched import load
from trainworks.photostock.preprocessing.pixels import Preprocessing, normalise, open_rgb

SAMPLE = Path(towers.__file__).parents[1] / "sample"

pytestmark = pytest.mark.filterwarnings("ignore")  # open_clip's and timm's own


def test_the_offline_towers_are_pretrained():
    """MiniLM knows which two of three sentences are about music; random weights would not."""
    model = load("lite0-minilm", "pretrained", 64, seed=1)
    ids = torch.tensor(
        [
            encoding.ids
            for encoding in model.tokenizer.encode_batch(["a man plays a guitar", "somebody performs music", "the stock market fell"])
        ]
    )
    with torch.no_grad():
        hidden = model.model.text.transformer.eval()(ids, attention_mask=(ids != 0).long()).last_hidden_state
    mask = (ids != 0)[:, :, None]
    guitar, music, stocks = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
    assert guitar @ music > guitar @ stocks + 0.3


def test_a_checkpoint_is_read_back_as_it_was_saved(tmp_path):
    """Same weights, same preprocessing constants, same answers."""
    saved = load("lite0-minilm", "random", 64, seed=3)
    towers.save(saved, tmp_path)
    read = towers.read(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(saved.model.state_dict().values(), read.model.state_dict().values(), strict=True))
    assert (read.backbone, read.size, read.mean, read.std) == (saved.backbone, saved.size, saved.mean, saved.std)


@given(count=st.integers(1, 3), size=st.integers(1, 9), seed=st.integers(0, 9))
def test_training_normalises_as_serving_does(count, size, seed):
    """The same planes from the same bytes, each channel by its own constants; in memory channels stay last."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)
    mean, std = (0.48, 0.45, 0.4), (0.26, 0.27, 0.3)
    planes = towers.normalise(torch.from_numpy(pixels), torch.tensor(mean), torch.tensor(std))
    np.testing.assert_allclose(planes.numpy(), normalise(pixels, mean, std), atol=1e-6)
    assert planes.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_the_offline_towers_agree_before_any_training():
    """Joined by the names of ImageNet's classes, most of nine words rank their own drawing first; at random, one would."""
    words = ["rooster", "ladybug", "water tower", "pretzel", "sombrero", "mitten", "acorn", "french horn", "soccer ball"]
    rows = pd.read_json(SAMPLE / "catalogue.jsonl", lines=True)
    files = [rows[rows["title"].str.lower() == word]["image"].iloc[0] for word in words]
    model = load("lite0-minilm", "pretrained", 96, seed=1)
    pixels = np.stack([Preprocessing("pad(96)").apply(open_rgb(SAMPLE / file)) for file in files])
    ids = torch.tensor([encoding.ids for encoding in model.tokenizer.encode_batch(words)])
    image = model.model.eval().encode_image(torch.from_numpy(normalise(pixels, model.mean, model.std)), normalize=True)
    text = model.model.encode_text(ids, normalize=True)
    assert ((text @ image.T).argmax(1) == torch.arange(len(words))).sum() >= 5


def test_random_weights_follow_the_seed():
    """The same seed gives the same untouched model, another seed another."""
    one, same, other = (load("lite0-minilm", "random", 64, seed).model.visual.head.proj.weight for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.slow
def test_a_local_checkpoint_of_any_architecture_loads(tmp_path):
    """Weights saved from open_clip itself come back through their path."""
    source = towers.build("ViT-S-32-alt", 64)
    path = tmp_path / "clip.pt"
    torch.save(source.model.state_dict(), path)
    loaded = load("ViT-S-32-alt", str(path), 64, seed=9)
    assert torch.equal(loaded.model.visual.conv1.weight, source.model.visual.conv1.weight)
    with pytest.raises(WeightsError, match="does not fit lite0-minilm"):
        load("lite0-minilm", str(path), 64, seed=9)


@pytest.mark.parametrize(
    ("backbone", "weights", "says"),
    [
        ("ViT-B-33", "random", "no backbone 'ViT-B-33'.*did you mean 'ViT-B-32'"),
        ("ViT-B-32", "laion3b", "has no weights 'laion3b'.*laion2b_s34b_b79k"),
        ("ViT-B-32", "openai", "choose the backbone ViT-B-32-quickgelu"),
        ("lite0-minilm", "openai", "expected pretrained, random or the path"),
        ("lite0-minilm", "missing/weights.pt", "no checkpoint missing/weights.pt"),
    ],
)
def test_weights_that_cannot_be_had_are_named(backbone, weights, says):
    """Each message says what was requested and what is available."""
    with pytest.raises(WeightsError, match=says):
        load(backbone, weights, 64, seed=1)


@pytest.fixture(scope="module")
def both():
    """CLIP's tokenizer as open_clip has it, and as one tokenizer.json."""
    from trainworks.photostock.model.vocabulary import open_clip_tokenizer

    return open_clip.get_tokenizer("ViT-B-32"), open_clip_tokenizer("ViT-B-32")[0]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=60))
@settings(max_examples=300)
def test_clip_tokens_equal_open_clips(both, text):
    """The JSON tokenizer gives open_clip's ids for any text that open_clip's own clean-up leaves as it is, control tokens apart."""
    from open_clip.tokenizer import basic_clean

    theirs, ours = both
    controls = any(token in text.lower() for token in ("<start_of_text>", "<end_of_text>"))
    if not controls and basic_clean(text) == text.strip() and text.lower().upper().lower() == text.lower():
        assert ours.encode(text).ids == theirs([text])[0].tolist()


def test_a_control_token_in_a_text_is_only_text(both):
    """A title that says <end_of_text> does not end the text for us; open_clip would read nothing behind it."""
    _, ours = both
    ids = ours.encode("<END_OF_TEXT> cat").ids
    end = ours.token_to_id("<end_of_text>")
    assert ids.count(end) == 1
    assert ids[ids.index(end) - 1] == ours.token_to_id("cat</w>")


@pytest.mark.parametrize(
    "text", ["A Red Car's 2nd door — it'll   go!", "", "naïve café ÉCOLE", "word " * 100, "don't\tSTOP\nnow 日本語 😀"]
)
def test_clip_tokens_equal_open_clips_on_hard_cases(both, text):
    """Contractions, digits, case, truncation, other scripts."""
    theirs, ours = both
    assert ours.encode(text).ids == theirs([text])[0].tolist()
