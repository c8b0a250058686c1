"""The loss equals a slow reference written from its formula."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from trainworks.photostock.losses import contrastive


def slow_contrastive(image, text, scale, caption):
    """Pair by pair, as the formula in the docstring reads."""
    n = len(caption)

    def side(queries, answers):
        total = 0.0
        for i in range(n):
            logits = [scale * float(queries[i] @ answers[j]) for j in range(n)]
            log_sum = math.log(sum(math.exp(logit) for logit in logits))
            right = [j for j in range(n) if caption[j] == caption[i]]
            total -= sum(logits[j] - log_sum for j in right) / len(right)
        return total / n

    return (side(image, text) + side(text, image)) / 2


@given(st.lists(st.integers(0, 3), min_size=2, max_size=7), st.integers(0, 1000))
def test_contrastive_equals_the_formula(caption, seed):
    """Any pattern of shared captions, random unit vectors."""
    torch.manual_seed(seed)
    image, text = (normalize(torch.randn(len(caption), 5), dim=1) for _ in range(2))
    loss = contrastive(image, text, torch.tensor(10.0), torch.tensor(caption))
    assert loss.item() == pytest.approx(slow_contrastive(image, text, 10.0, caption), abs=1e-4)


def test_pictures_of_the_same_caption_do_not_repel():
    """With one caption for all, indifferent towers are already at the optimum: no gradient."""
    text = normalize(torch.ones(3, 4), dim=1)
    image = normalize(torch.ones(3, 4), dim=1).requires_grad_()
    contrastive(image, text, torch.tensor(10.0), torch.zeros(3, dtype=torch.long)).backward()
    assert image.grad is not None
    assert image.grad.abs().max() < 1e-6


def test_logits_stay_fp32_under_bf16():
    """Embeddings that differ by less than bf16 resolves still get their exact loss."""
    image = normalize(torch.eye(4) + 1e-3 * torch.arange(16.0).view(4, 4), dim=1)
    caption = torch.arange(4)
    exact = contrastive(image, image, torch.tensor(100.0), caption)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = contrastive(image, image, torch.tensor(100.0), caption)
    assert mixed.dtype == torch.float32
    assert mixed == exact
