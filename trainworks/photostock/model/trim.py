"""Text towers without the padding: where no layer reads it, leaving it out saves time and changes nothing."""

from math import ceil
from typing import Any

import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transformer import TextTransformer
from torch import Tensor
from torch.func import functional_call
from torch.nn import Embedding, Module

END_POOLS = ("argmax", "eos")

BUCKETS, SMALLEST = 4, 32
"""Parts of a batch, shortest texts first, and the fewest texts in a part. Each is cut to its own longest text, which halves the work."""


def encode_text(model: Any, ids: Tensor, *, normalize: bool = True) -> Tensor:
    """``model.encode_text(ids, normalize)`` of *ids* (B, L), without most of the padding.

    Returns embeddings (B, D), equal to the untrimmed but for the last bits of a float.
    """
    if not ignores_padding(model):
        return model.encode_text(ids, normalize=normalize)
    encoder, lengths = TextEncoder(model, normalize), _lengths(model, ids).cpu()
    order = lengths.argsort(stable=True)
    parts = order.split(max(SMALLEST, ceil(len(order) / BUCKETS)))
    ids, vocabulary = _own_vocabulary(model, ids)
    embeddings = [functional_call(encoder, vocabulary, (ids[rows.to(ids.device), : int(lengths[rows[-1]])],)) for rows in parts]
    return torch.cat(embeddings)[order.argsort().to(ids.device)]


def _own_vocabulary(model: Any, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """*ids* renumbered among those that occur, and the embeddings of these in place of the whole vocabulary's, where that learns.

    Its gradient is then as large as the vocabulary once a batch, and not once for each part. Ids keep their order, so that the
    highest still ends a text; a tower that looks for the end by its id keeps all.
    """
    path, tower = ("encode.model", model) if isinstance(model, CLIP) else ("encode.model.text", model.text)
    words = getattr(tower, "token_embedding", None)
    if not (isinstance(words, Embedding) and words.weight.requires_grad and torch.is_grad_enabled() and _end(model)[0] == "argmax"):
        return ids, {}
    used, renumbered = ids.unique(return_inverse=True)
    return renumbered, {f"{path}.token_embedding.weight": words.weight.index_select(0, used)}


def ignores_padding(model: Any) -> bool:
    """Whether padding changes nothing: in open_clip's causal towers that pool the end-of-text token, and those of Hugging Face, which mask.

    Any other tower attends to its padding (SigLIP, MobileCLIP) and must see all of it.
    """
    text: Any = getattr(model, "text", None)
    # By exact type: a subclass, such as CoCa's, may use its padding.
    if type(model) is CLIP:
        return model.attn_mask is not None and model.text_pool_type in END_POOLS
    if type(model) is CustomTextCLIP and type(text) is TextTransformer:
        return text.attn_mask is not None and text.cls_emb is None and text.pool_type in END_POOLS
    return isinstance(text, HFTextEncoder)


class TextEncoder(Module):
    """Token ids int64 (B, L) to embeddings (B, D); where *model* ignores padding, L is any length up to its context."""

    def __init__(self, model: Any, normalize: bool = True):
        super().__init__()
        self.encode, self.trims = _EncodeText(model, normalize), ignores_padding(model)

    def forward(self, ids: Tensor) -> Tensor:
        """As ``model.encode_text``, which itself refuses rows shorter than its context: mask and positions are cut to their length."""
        model, length = self.encode.model, ids.shape[1]
        trimmed = {}
        if self.trims and isinstance(model, CLIP):
            trimmed = {
                "model.attn_mask": model.attn_mask[:length, :length],
                "model.positional_embedding": model.positional_embedding[:length],
            }
        elif self.trims and isinstance(model.text, TextTransformer):
            trimmed = {"model.text.attn_mask": model.text.attn_mask[:length, :length]}  # it trims its own positions
        return functional_call(self.encode, trimmed, (ids,))


class _EncodeText(Module):
    """``encode_text`` as a ``forward``, which ``functional_call`` needs."""

    def __init__(self, model: Any, normalize: bool):
        super().__init__()
        self.model, self.normalize = model, normalize

    def forward(self, ids: Tensor) -> Tensor:
        return self.model.encode_text(ids, normalize=self.normalize)


def _lengths(model: Any, ids: Tensor) -> Tensor:
    """Columns of every row up to the last token that changes its embedding, int64 (B,)."""
    text: Any = getattr(model, "text", None)
    if isinstance(text, HFTextEncoder):
        columns = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        return ((ids != text.config.pad_token_id) * columns).amax(1).clamp(min=1)
    pool, end = _end(model)
    score = ids if pool == "argmax" else (ids == end).int()  # as open_clip.transformer.text_global_pool finds it
    return score.argmax(1) + 1


def _end(model: Any) -> tuple[str, int]:
    """How an open_clip tower finds the end of a text, one of END_POOLS, and the token that ends it."""
    return (model.text_pool_type, model.text_eos_id) if isinstance(model, CLIP) else (model.text.pool_type, model.text.eos_id)
