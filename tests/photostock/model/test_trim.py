"""Text without padding: the same embeddings and gradients, in less time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

from trainworks.photostock.model.trim import encode_text
from trainworks.photostock.model.untouched import load

pytestmark = pytest.mark.filterwarnings("ignore")  # open_clip's and timm's own

CONTEXT, END = 12, 49
"""Columns of a row of ids, and the end-of-text token: the highest id, which argmax pooling takes."""


def toy(kind: type, **text: object) -> torch.nn.Module:
    """A CLIP of a few thousand weights whose text tower is set by *text*."""
    torch.manual_seed(1)
    image_config = CLIPVisionCfg(layers=1, width=32, head_width=16, patch_size=16, image_size=32)
    text_config = CLIPTextCfg(context_length=CONTEXT, vocab_size=END + 1, width=32, heads=2, layers=2, eos_id=END, **text)
    model = kind(8, image_config, text_config)
    for value in model.parameters():  # some start at 0 and would hide a mistake
        torch.nn.init.normal_(value, std=0.3)
    return model


def rows(lengths: list[int]) -> torch.Tensor:
    """Ids (B, CONTEXT): so many words, the end, zeros."""
    ids = torch.zeros(len(lengths), CONTEXT, dtype=torch.long)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = torch.arange(length) * 7 % 47 + 1
        row[length] = END
    return ids


def with_gradients(model, embeddings) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The *embeddings* by *model*, and the gradient of a function of them for every parameter."""
    model.zero_grad()
    (embeddings * torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)).sum().backward()
    return embeddings.detach(), [torch.zeros(()) if p.grad is None else p.grad.clone() for p in model.parameters()]


def columns(model, ids) -> list[int]:
    """How many columns of *ids* the transformer gets, for each part of the batch."""
    lengths = []
    layers = model.transformer if isinstance(model, CLIP) else model.text.transformer
    handle = layers.register_forward_hook(lambda module, args, out: lengths.append(args[0].shape[1]))
    encode_text(model, ids)
    handle.remove()
    return lengths


TRIMMED = [(kind, {"pool_type": pool}) for kind in (CLIP, CustomTextCLIP) for pool in ("argmax", "eos")]
UNTRIMMED = [
    *((kind, {"no_causal_mask": True}) for kind in (CLIP, CustomTextCLIP)),
    *((kind, {"pool_type": "last"}) for kind in (CLIP, CustomTextCLIP)),
    (CustomTextCLIP, {"embed_cls": True}),
]


@pytest.mark.parametrize(("kind", "text"), TRIMMED + UNTRIMMED)
@given(lengths=st.lists(st.integers(0, CONTEXT - 1), min_size=1, max_size=40), normalize=st.booleans())
@settings(max_examples=8)
def test_trimming_changes_neither_embeddings_nor_gradients(kind, text, lengths, normalize):
    """Whatever the tower and the texts, up to a context that is full."""
    model, ids = toy(kind, **text), rows(lengths)
    trimmed, gradients = with_gradients(model, encode_text(model, ids, normalize=normalize))
    untrimmed, expected = with_gradients(model, model.encode_text(ids, normalize=normalize))
    assert torch.allclose(trimmed, untrimmed, rtol=1e-5, atol=1e-5)
    for gradient, reference in zip(gradients, expected, strict=True):
        assert torch.allclose(gradient, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [CLIP, CustomTextCLIP])
def test_parts_of_a_batch_share_the_words_that_occur(kind):
    """Each would else fill a gradient as large as the whole vocabulary; where none is asked for, it is read as it is."""
    model, ids = toy(kind, pool_type="argmax"), rows([9, 2] * 32)
    looked_up = []
    embedding = model.token_embedding if kind is CLIP else model.text.token_embedding
    embedding.register_forward_hook(lambda module, args, out: looked_up.append(len(module.weight)))
    encode_text(model, ids)
    with torch.no_grad():
        encode_text(model, ids)
    assert looked_up == [len(ids.unique())] * 2 + [END + 1] * 2


@pytest.mark.parametrize(("kind", "text"), TRIMMED)
def test_a_causal_tower_reads_no_further_than_the_longest_text(kind, text):
    """Texts of two and four words and their ends: five columns of twelve. In a larger batch short texts are read less far."""
    assert columns(toy(kind, **text), rows([2, 4])) == [5]
    assert columns(toy(kind, **text), rows([9, 2] * 32)) == [3, 10]


@pytest.mark.parametrize(("kind", "text"), UNTRIMMED[:4])
def test_a_tower_that_reads_padding_gets_all_of_it(kind, text):
    """SigLIP pools its last column, MobileCLIP2 attends in both directions."""
    assert columns(toy(kind, **text), rows([2, 4])) == [CONTEXT]


def test_masked_padding_is_trimmed_behind_the_last_word():
    """MiniLM masks padding; a padding token inside a text does not shorten the text."""
    model = load("lite0-minilm", "random", 64, seed=1)
    model.model.eval()
    ids = torch.tensor([encoding.ids for encoding in model.tokenizer.encode_batch(["a red [PAD] [PAD] car", "apple"])])
    lengths = []
    model.model.text.register_forward_hook(lambda module, args, out: lengths.append(args[0].shape[1]))
    with torch.no_grad():
        assert torch.allclose(encode_text(model.model, ids), model.model.encode_text(ids, normalize=True), atol=1e-6)
    assert lengths == [7, model.context_length]
