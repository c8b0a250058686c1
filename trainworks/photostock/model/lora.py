"""Low-rank adapters on attention blocks (LoRA, Hu et al. 2021, arXiv 2106.09685) through ``peft``, put in and merged back in place."""

import re
from collections.abc import Mapping

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora.layer import LoraLayer
from peft.tuners.lora.layer import MultiheadAttention as AdaptedAttention
from torch import nn


def layers(model: nn.Module) -> dict[str, str]:
    """Weight → layer, by name, of all layers that can have an adapter: linear layers and :class:`torch.nn.MultiheadAttention`.

    A layer inside a MultiheadAttention is left out: its ``forward`` is never called.
    """
    layer_of_weight: dict[str, str] = {}
    attentions: tuple[str, ...] = ()
    for path, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            attentions += (f"{path}.",)
            if module.in_proj_weight is not None:  # None where queries, keys and values differ in size
                layer_of_weight[f"{path}.in_proj_weight"] = path
        elif isinstance(module, nn.Linear) and not path.startswith(attentions):
            layer_of_weight[f"{path}.weight"] = path
    return layer_of_weight


def inject(model: nn.Module, ranks: Mapping[str, int]) -> None:
    """Put an adapter of that rank on every layer named in *ranks*, in place; it changes nothing before the first step (B is 0).

    The adapted weight is W + BA: the paper's α/r is 1, so the learning rate alone sets the pace.
    Every parameter but the adapters is left with ``requires_grad = False``. Around a MultiheadAttention peft adds BA before
    and subtracts it after every forward pass: W stays but for rounding, 3e-7 after 1000 steps with weights up to 0.1.
    """
    # peft matches a plain name with the end of any name: anchored, a pattern for a text block does not match an image block.
    ranks_by_pattern = {f"^{re.escape(layer)}": rank for layer, rank in ranks.items()}
    config = LoraConfig(
        target_modules="|".join(map(re.escape, ranks)), rank_pattern=ranks_by_pattern, alpha_pattern=ranks_by_pattern, bias="none"
    )
    inject_adapter_in_model(config, model)


def merge(model: nn.Module) -> None:
    """Replace every adapted layer of *model* by the plain layer with weight W + BA."""
    attentions: tuple[str, ...] = ()
    for path, module in [(path, module) for path, module in model.named_modules() if isinstance(module, LoraLayer)]:
        if path.startswith(attentions):
            continue  # the output layer of an attention, merged with it
        if isinstance(module, AdaptedAttention):
            attentions += (f"{path}.",)
            plain: nn.Module = module.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)
        else:
            module.merge()
            plain = module.get_base_layer()
        parent, _, child = path.rpartition(".")
        setattr(model.get_submodule(parent), child, plain)
    if hasattr(model, "peft_config"):
        del model.peft_config
