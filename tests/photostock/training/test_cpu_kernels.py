"""The matrix products that stand in for torch's slow kernels are what they replace."""

import open_clip
import pytest
import torch
from torch import nn

from trainworks.photostock.training.cpu_kernels import matrix_products


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "size"), [((4, 4), (8, 12)), ((4, 2), (11, 7))])
def test_patches_are_what_the_convolution_makes_of_them(kernel, size, bias):
    """Values and gradients; pixels beyond the last whole patch are left out, as a convolution does."""
    torch.manual_seed(0)
    convolution, pixels = nn.Conv2d(3, 5, kernel, stride=kernel, bias=bias), torch.rand(2, 3, *size)
    expected = convolution(pixels)
    expected.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in convolution.parameters()]
    convolution.zero_grad()
    with matrix_products(nn.Sequential(convolution)):
        product = convolution(pixels)
    product.square().sum().backward()
    torch.testing.assert_close(product, expected)
    for parameter, gradient in zip(convolution.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_only_what_is_plain_is_replaced_and_only_meanwhile():
    """Not a stem whose windows overlap, nor attention with dropout; nothing is left in the model."""
    stem, patches = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(3, 4, 2, stride=2)
    attention, dropped = nn.MultiheadAttention(8, 2, batch_first=True), nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
    with matrix_products(nn.ModuleList([stem, patches, attention, dropped])):
        assert ["forward" in vars(module) for module in (stem, patches, attention, dropped)] == [False, True, True, False]
    assert not any("forward" in vars(module) for module in (patches, attention))


@pytest.mark.parametrize("masked", [True, False])
def test_self_attention_is_torchs(masked):
    """With a causal mask and without, values and gradients."""
    torch.manual_seed(0)
    attention, tokens = nn.MultiheadAttention(8, 2, batch_first=True), torch.rand(3, 5, 8, requires_grad=True)
    mask = torch.full((5, 5), -torch.inf).triu(1) if masked else None
    expected, _ = attention(tokens, tokens, tokens, need_weights=False, attn_mask=mask)
    (wanted,) = torch.autograd.grad(expected.square().sum(), tokens)
    with matrix_products(attention):
        product, weights = attention(tokens, tokens, tokens, need_weights=False, attn_mask=mask)
    (gradient,) = torch.autograd.grad(product.square().sum(), tokens)
    torch.testing.assert_close(product, expected)
    torch.testing.assert_close(gradient, wanted)
    assert weights is None


@pytest.mark.parametrize("asked", ["another key", "weights", "padding", "bool mask", "mask for each"])
def test_other_attention_is_torchs_own(asked):
    """Of other keys, with its weights, with padding left out, or masked otherwise."""
    torch.manual_seed(0)
    attention, tokens, other = nn.MultiheadAttention(8, 2, batch_first=True), torch.rand(3, 5, 8), torch.rand(3, 4, 8)
    keys = other if asked == "another key" else tokens
    causal = torch.ones(5, 5).triu(1).bool()
    masks = {
        "padding": {"key_padding_mask": torch.eye(3, 5) > 0},
        "bool mask": {"attn_mask": causal},
        "mask for each": {"attn_mask": causal.float().expand(6, 5, 5)},
    }
    how = {"need_weights": asked == "weights"} | masks.get(asked, {})
    expected = attention(tokens, keys, keys, **how)
    with matrix_products(attention):
        torch.testing.assert_close(attention(tokens, keys, keys, **how), expected)


@pytest.mark.parametrize("kind", ["ViT-S-32-alt", "ViT-B-32-quickgelu"])
def test_a_model_embeds_as_before(kind):
    """In fp32 to the last bits, pictures and texts."""
    torch.manual_seed(0)
    model = open_clip.create_model(kind, force_image_size=64).eval()
    pixels, ids = torch.rand(2, 3, 64, 64), torch.randint(1, 49_000, (2, 77))
    expected = model.encode_image(pixels), model.encode_text(ids)
    with matrix_products(model):
        found = model.encode_image(pixels), model.encode_text(ids)
    for product, own in zip(found, expected, strict=True):
        torch.testing.assert_close(product, own, rtol=1e-4, atol=1e-5)
