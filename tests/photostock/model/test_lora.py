"""Adapters change nothing until they learn, learn alone, and merge into the plain model."""

import open_clip
import pytest
import torch

from trainworks.photostock.model import lora, towers, tune

VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 2}
PIXELS, IDS = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32), torch.arange(16).reshape(2, 8)


def clip():
    """A CLIP of two small transformers."""
    torch.manual_seed(1)
    return open_clip.CLIP(16, VISION, TEXT)


def embed(model, ids=IDS):
    """Image and text embeddings, (2, 16) each."""
    return torch.stack([model.encode_image(PIXELS), model.encode_text(ids)])


def learn(model, text, ids=IDS, steps=3):
    """A few AdamW steps on what *text* lets learn."""
    optimised, _ = tune.groups(model, text, learning_rate=0.01, weight_decay=0.1)
    optimizer = torch.optim.AdamW(optimised)
    for _ in range(steps):
        optimizer.zero_grad()
        embed(model, ids).square().sum().backward()
        optimizer.step()


@pytest.fixture(scope="module")
def ready():
    """Plain model's state and outputs; then adapted, before and after learning, and merged."""
    text = "logit_scale=1, *.head=0, image=lora(4), text=0.5*lora(2)"
    model = clip().eval()
    plain = {name: value.clone() for name, value in model.state_dict().items()}
    seen = {"plain": embed(model).detach()}
    tune.adapt(model, text, epochs=1)
    names = [name for name, _ in model.named_parameters()]
    seen["adapted"] = embed(model).detach()
    learn(model, text)
    seen["learnt"] = embed(model).detach()
    tune.merge(model)
    seen["merged"] = embed(model).detach()
    return plain, names, seen, model


def test_a_new_adapter_adds_nothing(ready):
    """B is zero, so the adapted model answers as the plain one."""
    seen = ready[2]
    torch.testing.assert_close(seen["adapted"], seen["plain"], atol=1e-6, rtol=0)


def test_merging_keeps_what_was_learnt(ready):
    """The merged model answers as the adapted one, and not as the plain one."""
    seen = ready[2]
    torch.testing.assert_close(seen["merged"], seen["learnt"], atol=1e-5, rtol=0)
    assert (seen["learnt"] - seen["plain"]).abs().max() > 1e-3


def test_the_merged_model_has_the_plain_models_names_and_shapes(ready):
    """A checkpoint of it loads into the architecture as it was."""
    plain, _, _, model = ready
    merged = model.state_dict()
    assert {name: value.shape for name, value in merged.items()} == {name: value.shape for name, value in plain.items()}
    assert type(model.transformer.resblocks[0].attn) is torch.nn.MultiheadAttention
    clip().load_state_dict(merged)


def test_only_adapted_weights_change_and_by_their_rank(ready):
    """Attention and MLP matrices change by a matrix of rank 4 in the image tower and 2 in the text tower; all else stays."""
    plain, _, _, model = ready
    change = {name: value - plain[name] for name, value in model.state_dict().items()}
    moved = {name: delta for name, delta in change.items() if delta.abs().max() > 1e-5}
    layers = ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    assert set(moved) == {f"{tower}transformer.resblocks.{k}.{layer}" for tower in ("visual.", "") for k in (0, 1) for layer in layers}
    for name, delta in moved.items():
        assert torch.linalg.matrix_rank(delta, rtol=1e-3) == (4 if name.startswith("visual") else 2), name


def test_the_text_towers_blocks_do_not_take_the_image_towers_with_them():
    """transformer.resblocks.0 ends the name of visual.transformer.resblocks.0; only the one named is adapted."""
    model = clip()
    lora.inject(model, {"transformer.resblocks.0.mlp.c_fc": 3})
    adapted = {name for name, _ in model.named_parameters() if ".lora_" in name}
    assert adapted == {f"transformer.resblocks.0.mlp.c_fc.lora_{side}.default.weight" for side in "AB"}


def test_a_frozen_base_stays_through_many_forward_passes():
    """peft adds and subtracts the adapter around every attention; the rounding must not add up."""
    model = clip().eval()
    before = model.visual.transformer.resblocks[0].attn.in_proj_weight.detach().clone()
    text = "image.transformer=lora(4), *=1"
    tune.adapt(model, text, epochs=1)
    learn(model, text, steps=30)
    after = model.visual.transformer.resblocks[0].attn.base_layer.in_proj_weight
    torch.testing.assert_close(after, before, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # timm's own
def test_hugging_face_text_towers_take_adapters():
    """MiniLM's linear layers learn through adapters and merge; EfficientNet stays."""
    torch.manual_seed(1)
    model = towers.build(towers.LITE0_MINILM, 32).model.eval()
    names = set(model.state_dict())
    text = "logit_scale=1, *.head=1, text=lora(4), image=0"
    ids = torch.arange(101, 133).reshape(2, 16)
    tune.adapt(model, text, epochs=1)
    learn(model, text, ids, steps=2)
    adapted = embed(model, ids).detach()
    tune.merge(model)
    torch.testing.assert_close(embed(model, ids).detach(), adapted, atol=1e-5, rtol=0)
    assert set(model.state_dict()) == names
