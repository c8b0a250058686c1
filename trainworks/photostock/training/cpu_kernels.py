"""What torch computes slowly in bf16 on a CPU, as matrix products, which it computes fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def matrix_products(model: Any) -> Iterator[None]:
    """While a step runs forward: attention, and the convolution that cuts pictures into patches, are matrix products, backward too.

    Backward, flash attention takes two to four times as long for sequences below 100, and the convolution a fifth of a whole step of
    ViT-S-32-alt. Equal but for rounding.
    """
    patches = [module for module in model.modules() if isinstance(module, nn.Conv2d) and _cuts_patches(module)]
    for convolution in patches:
        convolution.forward = partial(_product, convolution)  # type: ignore[method-assign]
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for convolution in patches:
            del convolution.forward


def _cuts_patches(convolution: nn.Conv2d) -> bool:
    """Whether it takes pixels, each once."""
    plain = convolution.padding == (0, 0) and convolution.dilation == (1, 1)
    return convolution.in_channels == 3 and convolution.groups == 1 and convolution.stride == convolution.kernel_size and plain


def _product(convolution: nn.Conv2d, pixels: Tensor) -> Tensor:
    """*pixels* (B, 3, H, W) to (B, D, H / side, W / side), a row of a matrix for each patch."""
    (high, wide), (rows, columns) = convolution.kernel_size, pixels.shape[2:]
    down, across = rows // high, columns // wide
    cut = pixels[:, :, : down * high, : across * wide].unflatten(2, (down, high)).unflatten(4, (across, wide))
    patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(3)
    return nn.functional.linear(patches, convolution.weight.flatten(1), convolution.bias).permute(0, 3, 1, 2)
