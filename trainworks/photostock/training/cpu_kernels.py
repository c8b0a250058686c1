"""What torch computes slowly in bf16 on a CPU, as plain matrix products, which it computes fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn


@contextmanager
def matrix_products(model: Any) -> Iterator[None]:
    """While *model* runs: self-attention, and the convolution that cuts pictures into patches, are plain products, backward too.

    Of a step of ViT-S-32-alt they save a third: flash attention takes two to four times as long backward for sequences below 100,
    torch's attention copies what it transposes and, without gradients, multiplies position by position; the convolution's backward
    is a fifth of a step by itself. Equal but for rounding: scores of attention are bf16, as all products are.
    """
    replaced = {module: forward for module in model.modules() if (forward := _plain(module))}
    for module, forward in replaced.items():
        module.forward = partial(forward, module)
    try:
        yield
    finally:
        for module in replaced:
            del module.forward


def _plain(module: nn.Module) -> Any:
    """What stands in for the ``forward`` of *module*; None where that stays."""
    if isinstance(module, nn.MultiheadAttention):
        plain = module.batch_first and not module.dropout and module.in_proj_weight is not None
        return _attend if plain and module.bias_k is None and not module.add_zero_attn else None
    if isinstance(module, nn.Conv2d):
        each_once = module.stride == module.kernel_size and module.padding == (0, 0) and module.dilation == (1, 1)
        return _patches if each_once and module.in_channels == 3 and module.groups == 1 else None
    return None


def _attend(module: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, **how: Any) -> tuple[Tensor, Tensor | None]:
    """Self-attention of *query* (B, L, W), under an ``attn_mask`` (L, L) to add or none; the module's own forward does all else."""
    mask = how.get("attn_mask")
    plain = query is key is value and not how.get("need_weights", True) and not how.keys() - {"attn_mask", "need_weights"}
    if not plain or (mask is not None and (mask.ndim != 2 or not mask.is_floating_point())):
        return type(module).forward(module, query, key, value, **how)
    projected = nn.functional.linear(query, module.in_proj_weight, module.in_proj_bias)
    q, k, v = projected.unflatten(2, (3, module.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, L, W / heads) each
    score = (q * q.shape[-1] ** -0.5) @ k.mT
    if mask is not None:
        score = score + mask.to(score.dtype)
    attended = score.softmax(-1).to(v.dtype) @ v
    return module.out_proj(attended.transpose(1, 2).flatten(2)), None


def _patches(module: nn.Conv2d, pixels: Tensor) -> Tensor:
    """*pixels* (B, 3, H, W) to (B, D, H / side, W / side), a row of a matrix for each patch."""
    (high, wide), (rows, columns) = module.kernel_size, pixels.shape[2:]
    down, across = rows // high, columns // wide
    cut = pixels[:, :, : down * high, : across * wide].unflatten(2, (down, high)).unflatten(4, (across, wide))
    patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(3)
    return nn.functional.linear(patches, module.weight.flatten(1), module.bias).permute(0, 3, 1, 2)
