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


def test_only_what_cuts_patches_is_replaced_and_only_for_the_step():
    """Not a stem whose windows overlap, and nothing is left in the model."""
    stem, patches = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(3, 4, 2, stride=2)
    with matrix_products(nn.Sequential(stem, patches)):
        assert "forward" in vars(patches) and "forward" not in vars(stem)
    assert "forward" not in vars(patches)


def test_a_vision_transformer_embeds_as_before():
    """Attention included, in fp32 to the last bits."""
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32-alt", force_image_size=64)
    pixels = torch.rand(2, 3, 64, 64)
    expected = model.encode_image(pixels)
    with matrix_products(model):
        torch.testing.assert_close(model.encode_image(pixels), expected, rtol=1e-4, atol=1e-5)
