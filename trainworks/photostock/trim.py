"""Text towers without the padding: where nothing reads it, it costs time and changes nothing."""

from typing import Any

from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transformer import TextTransformer
from torch import Tensor
from torch.func import functional_call
from torch.nn import Module

END_POOLS = ("argmax", "eos")


def encode_text(model: Any, ids: Tensor, *, normalize: bool = True) -> Tensor:
    """``model.encode_text(ids, normalize)``, with *ids* (B, L) read only as far as the longest text.

    Returns embeddings (B, D), equal to the untrimmed but for the last bits of a float. Trimmed are open_clip's
    causal towers that pool the end-of-text token, behind which nothing is read, and the towers of Hugging Face,
    which mask padding. Any other tower attends to its padding (SigLIP, MobileCLIP) and sees all of it.
    """
    text: Any = getattr(model, "text", None)
    if isinstance(text, HFTextEncoder):
        used = (ids != text.config.pad_token_id).any(0).nonzero()
        return model.encode_text(ids[:, : int(used.max()) + 1], normalize=normalize)
    # By exact type: a subclass, such as CoCa's, may read its text in another way.
    if type(model) is CLIP and model.attn_mask is not None and model.text_pool_type in END_POOLS:
        length = _length(ids, model.text_pool_type, model.text_eos_id)
        cut = {"attn_mask": model.attn_mask[:length, :length], "positional_embedding": model.positional_embedding[:length]}
    elif type(model) is CustomTextCLIP and type(text) is TextTransformer and _pools_end(text):
        length = _length(ids, text.pool_type, text.eos_id)
        cut = {"text.attn_mask": text.attn_mask[:length, :length]}  # it cuts its own positions
    else:
        return model.encode_text(ids, normalize=normalize)
    return functional_call(_TextEncoder(model, normalize), {f"model.{name}": value for name, value in cut.items()}, (ids[:, :length],))


class _TextEncoder(Module):
    """``encode_text`` as a forward, which is all that ``functional_call`` calls."""

    def __init__(self, model: Any, normalize: bool):
        super().__init__()
        self.model, self.normalize = model, normalize

    def forward(self, ids: Tensor) -> Tensor:
        return self.model.encode_text(ids, normalize=self.normalize)


def _pools_end(text: TextTransformer) -> bool:
    return text.attn_mask is not None and text.cls_emb is None and text.pool_type in END_POOLS


def _length(ids: Tensor, pool_type: str, eos_id: int) -> int:
    """Columns up to the last token that is pooled, found as ``open_clip.transformer.text_global_pool`` finds it."""
    pooled = ids if pool_type == "argmax" else (ids == eos_id).int()
    return int(pooled.argmax(1).max()) + 1
