"""Patterns decide what learns and how fast; the first match wins, and a mistake is named."""

import pytest
import torch

from trainworks.errors import LanguageError
from trainworks.photostock import tune

NAMES = ["visual.trunk.conv.weight", "visual.head.proj.weight", "text.transformer.layer.0.weight", "text.proj.weight", "logit_scale"]


class Towers(torch.nn.Module):
    """Five parameters under open_clip's names."""

    def __init__(self):
        super().__init__()
        self.visual = torch.nn.ModuleDict({"trunk": torch.nn.Linear(2, 3), "head": torch.nn.Linear(3, 2)})
        self.logit_scale = torch.nn.Parameter(torch.tensor(1.0))


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("*=1", [1, 1, 1, 1, 1]),
        ("*.head=1, *=0", [0, 1, 0, 1, 0]),
        ("logit_scale=1, image.head=1, text=0.5, *=0.1", [0.1, 1, 0.5, 0.5, 1]),
        ("image.trunk=0, *=1e-1", [0, 0.1, 0.1, 0.1, 0.1]),
        ("text.transformer.layer.0=0, text=1, *=0", [0, 0, 0, 1, 0]),
    ],
)
def test_the_first_matching_pattern_wins(text, factors):
    """Whole model, heads only, per-tower factors, one block frozen."""
    assert list(tune.factors(NAMES, text).values()) == factors


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("visual.proj", "image.head"),  # ViT
        ("visual.attnpool.c_proj.weight", "image.head.c_proj.weight"),  # ResNet
        ("visual.head.proj.weight", "image.head.proj.weight"),  # timm
        ("visual.conv1.weight", "image.conv1.weight"),
        ("text_projection", "text.head"),  # CLIP
        ("text.text_projection.weight", "text.head.weight"),  # CLIP with its own text tower
        ("text.proj.0.weight", "text.head.0.weight"),  # Hugging Face towers
        ("transformer.resblocks.0.ln_1.weight", "text.transformer.resblocks.0.ln_1.weight"),
        ("positional_embedding", "text.positional_embedding"),
        ("logit_scale", "logit_scale"),
    ],
)
def test_heads_have_one_name_in_every_architecture(name, shown):
    """image.head and text.head work for any backbone."""
    assert tune.readable(name) == shown


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("image.haed=1, *=0", 0, "did you mean 'image.head'"),
        ("*.head=1, txet=0.1, *=0", 10, "did you mean 'text'"),
        ("*.head", 0, "expected pattern=factor"),
        ("*=1, ", 4, "expected pattern=factor"),
        ("", 0, "expected pattern=factor"),
        ("*=-1", 0, "expected pattern=factor"),
        ("*.head=1", 8, r"no pattern says how fast 'image.trunk.conv.weight' learns"),
    ],
)
def test_a_mistake_is_named_with_its_position(text, position, says):
    """A rule that names nothing, does not parse, or leaves a parameter undecided."""
    with pytest.raises(LanguageError, match=says) as error:
        tune.factors(NAMES, text)
    assert error.value.position == position


def test_groups_carry_rates_and_spare_biases_the_decay():
    """Frozen parameters are in no group; matrices decay, vectors and the temperature do not."""
    model = Towers()
    optimised, table = tune.groups(model, "image.head=1, logit_scale=0.5, *=0", learning_rate=0.01, weight_decay=0.2)
    assert [row["group"] for row in table] == ["image", "image.head", "logit_scale"]
    assert [row["parameters"] for row in table] == [9, 8, 1]
    assert [row["learning_rate"] for row in table] == [0, 0.01, 0.005]
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in optimised for p in group["params"]}
    head = model.visual["head"]
    assert rates == {id(head.weight): (0.01, 0.2), id(head.bias): (0.01, 0.0), id(model.logit_scale): (0.005, 0.0)}
    assert not model.visual["trunk"].weight.requires_grad
