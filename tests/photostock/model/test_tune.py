"""Ordered rules decide what learns, how fast and from when; a mistake is named."""

import subprocess
import sys

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainworks.errors import LanguageError
from trainworks.photostock.model import tune
from trainworks.photostock.model.tune import Rule

VISION = {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 16}
CONVOLUTIONS = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}
TEXT = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 2}


def clip(vision=VISION):
    """A CLIP of two small transformers (three and two blocks), or with a ResNet for pictures."""
    torch.manual_seed(1)
    return open_clip.CLIP(16, vision, TEXT)


CLIP = clip()


def factors(text, *names):
    """Factors of the named parameters of :data:`CLIP` by the rules in *text*; 0 where frozen."""
    optimised, _ = tune.groups(CLIP, text, learning_rate=1, weight_decay=0)
    rates = {id(parameter): group["lr"] for group in optimised for parameter in group["params"]}
    return [pytest.approx(rates.get(id(CLIP.get_parameter(name)), 0)) for name in names]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("text=1", Rule("text", 1.0, 0)),
        ("  *.head = 1e-1 @ 3 ", Rule("*.head", 0.1, 2, thaw=3)),
        ("image.last(2)=0.5", Rule("image.last(2)", 0.5, 0, last=2)),
        ("text=lora(8)", Rule("text", 1.0, 0, lora=8)),
        ("text=0.5*lora(8)@2", Rule("text", 0.5, 0, lora=8, thaw=2)),
        ("*=0.5 * decay(0.8)", Rule("*", 0.5, 0, decay=0.8)),
        ("*=decay( 1 )", Rule("*", 1.0, 0, decay=1.0)),
    ],
)
def test_a_rule_reads_as_written(text, rule):
    """Factor, epoch, last blocks, adapters and decay."""
    assert tune.rules(text) == [rule]


STEM, FIRST, LAST = "visual.conv1.weight", "visual.transformer.resblocks.0.ln_1.weight", "visual.transformer.resblocks.2.mlp.c_fc.weight"
AFTER, HEAD = "visual.ln_post.weight", "visual.proj"
WORDS, SCALE = "token_embedding.weight", "logit_scale"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*=1", [1, 1, 1, 1, 1, 1, 1]),
        ("*.head=1, *=0", [0, 0, 0, 0, 1, 0, 0]),
        ("logit_scale=1, image.head=1, text.*=0.1, *=0", [0, 0, 0, 0, 1, 0.1, 1]),
        ("image.conv1=0, *=1e-1", [0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]),
        ("image.transformer.resblocks.0=0, image=1, *=0", [1, 0, 1, 1, 1, 0, 0]),
        ("image.last(1)=1, *=0", [0, 0, 1, 1, 0, 0, 0]),
        ("*.last(3)=1, *=0", [0, 1, 1, 1, 0, 0, 0]),
        ("image.norms=0.5, image.last(1)=1, *=0", [0, 0.5, 1, 0.5, 0, 0, 0]),
        ("*.norms=1, *=0", [0, 1, 0, 1, 0, 0, 0]),
        ("image=0.8*decay(0.5), *=0", [0.1, 0.2, 0.8, 0.8, 0.8, 0, 0]),
        ("*=decay(0.1)", [0.001, 0.01, 1, 1, 1, 0.01, 1]),
    ],
)
def test_the_first_matching_pattern_wins(text, expected):
    """Stem, first and last block, final norm, head, token embedding and temperature, worked out by hand."""
    assert factors(text, STEM, FIRST, LAST, AFTER, HEAD, WORDS, SCALE) == expected


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("*.head", 0, "expected pattern=factor"),
        ("*=1, ", 4, "expected pattern=factor"),
        ("*=1,,text=1", 4, "expected pattern=factor"),
        ("", 0, "expected pattern=factor"),
        ("*=-1", 2, r"expected a factor such as 0.1, lora\(8\) or 0.5\*decay\(0.8\), found '-1'"),
        ("*=1e999", 2, "finite"),
        ("text=1, *=0.1*lroa(8)", 14, "unknown 'lroa', expected one of lora, decay; did you mean 'lora'"),
        ("*=lora(0)", 7, "expected a rank from 1"),
        ("*=lora(2.5)", 7, "expected a rank from 1"),
        ("*=decay(1.1)", 8, "above 0 and at most 1"),
        ("*=decay(0)", 8, "above 0 and at most 1"),
        ("*=0*lora(8)", 2, "0 freezes"),
        ("text=0@2, *=1", 7, "leave out @2"),
        ("text=1@0, *=1", 7, "expected an epoch from 1"),
        ("text=1@x, *=1", 7, "expected an epoch from 1"),
        ("text=1@4, *=1", 7, "epoch 4 never comes: the run has 3"),
        ("image.frist(2)=1", 0, "unknown 'frist', expected one of last"),
        ("last(2)=1", 0, "such as image.last"),
        ("image.last(0)=1", 0, "blocks counted from 1"),
    ],
)
def test_what_does_not_parse_is_refused_with_its_position(text, position, says):
    """Before any model is built: syntax, and contradictions such as an epoch that never comes."""
    with pytest.raises(LanguageError, match=says) as error:
        tune.rules(text, epochs=3)
    assert error.value.position == position


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("image.haed=1, *=0", 0, "did you mean 'image.head'"),
        ("*.haed=1", 0, r"did you mean '\*.head'"),
        ("*.head=1, txet=0.1, *=0", 10, "did you mean 'text'"),
        ("*.head=1, image.norm=0.1, *=0", 10, "did you mean 'image.norms'"),
        ("*.head=1", 8, "no pattern says how fast 'text.positional_embedding' learns"),
        ("image=0, image.head=1, *=1", 9, "put it before them"),
        ("*.head=decay(0.5), *=0", 0, "nothing to decay over"),
        ("*=0", 0, "every parameter is frozen"),
        ("*.head=1@3, *=0.1@2", 0, "nothing would learn before epoch 2"),
        ("image.head=lora(2), *=1", 0, "lora needs attention, and 'image.head' names none in the image tower"),
        ("logit_scale=lora(2), *=1", 0, "lora needs attention, and 'logit_scale' names none there"),
        ("text.norms=lora(2), *=1", 0, "lora needs attention"),
        ("*.out_proj=1, *=lora(2)", 0, r"'\*.out_proj' parts image.transformer.resblocks.0.attn"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_with_its_position(text, position, says):
    """A rule that names nothing, never decides, leaves a parameter open or needs what the model lacks."""
    model = clip()
    with pytest.raises(LanguageError, match=says) as error:
        tune.adapt(model, text, epochs=3)
    assert error.value.position == position
    assert set(model.state_dict()) == set(CLIP.state_dict())


def test_lora_is_refused_for_a_tower_without_attention():
    """Also when a wider pattern reaches it along with one that has attention."""
    for text, pattern in (("image=lora(4), *=1", "image"), ("logit_scale=1, *.head=1, *=lora(4)", r"\*")):
        with pytest.raises(LanguageError, match=f"lora needs attention, and '{pattern}' names none in the image tower"):
            tune.adapt(clip(CONVOLUTIONS), text, epochs=1)


def test_groups_carry_rates_and_spare_vectors_the_decay():
    """Frozen parameters are in no group; matrices decay, norms, biases and the temperature do not."""
    optimised, table = tune.groups(CLIP, "image.head=1, logit_scale=0.5@2, image.last(1)=0.1, *=0", learning_rate=0.01, weight_decay=0.2)
    assert [(row["group"], row["factor"], row["learning_rate"], row["thaw"], row["lora"]) for row in table] == [
        ("image (*)", 0, 0, 0, 0),
        ("image (image.last(1))", 0.1, 0.001, 1, 0),
        ("image.head", 1, 0.01, 1, 0),
        ("logit_scale", 0.5, 0.005, 2, 0),
        ("text", 0, 0, 0, 0),
        ("text.head", 0, 0, 0, 0),
    ]
    assert sum(row["parameters"] for row in table) == sum(p.numel() for p in CLIP.parameters())
    assert [(group["name"], group["weight_decay"], group["thaw"], len(group["params"])) for group in optimised] == [
        ("image (image.last(1))", 0.2, 1, 4),
        ("image (image.last(1)), no decay", 0.0, 1, 10),
        ("image.head", 0.2, 1, 1),
        ("logit_scale, no decay", 0.0, 2, 1),
    ]
    assert CLIP.visual.proj.requires_grad
    assert not CLIP.logit_scale.requires_grad and not CLIP.text_projection.requires_grad


def test_layer_wise_decay_has_a_row_per_block():
    """From the stem to the head, with the block's own name."""
    _, table = tune.groups(CLIP, "image=decay(0.5), *=0", learning_rate=1, weight_decay=0)
    block = "image.transformer.resblocks"
    rows = [(row["group"], row["factor"]) for row in table if row["group"].startswith("image")]
    assert rows == [("image.stem", 0.125), (f"{block}.0", 0.25), (f"{block}.1", 0.5), ("image.head", 1), (f"{block}.2", 1)]


def test_adapters_have_a_row_of_their_own():
    """The adapted weights are frozen; the table has rank, parameters (rank × (in + out) for each matrix) and rate."""
    model = clip()
    text = "text=0.5*lora(2)@2, *=1"
    tune.adapt(model, text, epochs=2)
    _, table = tune.groups(model, text, learning_rate=0.1, weight_decay=0)
    rows = {row["group"]: row for row in table}
    sizes = [(32, 96), (32, 32), (32, 128), (128, 32)]
    adapters = {"parameters": 2 * sum(2 * (a + b) for a, b in sizes), "factor": 0.5, "learning_rate": 0.05, "thaw": 2, "lora": 2}
    assert rows["text lora(2)"] == {"group": "text lora(2)", **adapters}
    assert rows["text"]["factor"] == 0 and rows["text"]["parameters"] > adapters["parameters"]


def test_a_group_moves_from_its_thaw_epoch_on():
    """With real AdamW steps: the image tower and the text tower's adapters stand still in epoch 1 and move in epoch 2."""
    model = clip()
    text = "logit_scale=1, *.head=1, text=lora(2)@2, image=0.1@2"
    tune.adapt(model, text, epochs=2)
    optimised, _ = tune.groups(model, text, learning_rate=0.01, weight_decay=0.1)
    optimizer = torch.optim.AdamW(optimised)

    def moved(epoch):
        watched = {"image": "visual.conv1.weight", "head": "visual.proj", "text": "transformer.resblocks.0.mlp.c_fc.lora_B.default.weight"}
        before = {part: model.get_parameter(name).detach().clone() for part, name in watched.items()}
        tune.thaw(optimizer.param_groups, epoch)
        optimizer.zero_grad()
        pixels, ids = torch.ones(2, 3, 32, 32), torch.arange(16).reshape(2, 8)
        (model.encode_image(pixels) - model.encode_text(ids)).square().sum().backward()
        optimizer.step()
        return {part for part, name in watched.items() if not torch.equal(before[part], model.get_parameter(name))}

    assert moved(1) == {"head"}
    assert moved(2) == {"head", "image", "text"}


@pytest.mark.parametrize(
    ("text", "image", "words"),
    [
        ("logit_scale=1, *.head=1, *=0", True, True),
        ("image.head=1, image=0, *=1", True, False),
        ("image.norms=1, *.head=1, *=0", False, True),
        ("*.head=1, image=0.1@2, *=0", False, True),
        ("*.head=1, text=lora(2), *=0", True, False),
    ],
)
def test_a_tower_is_frozen_when_nothing_below_its_head_ever_learns(text, image, words):
    """Its embeddings before the head can then be computed once."""
    assert (tune.is_frozen(CLIP, text, "image"), tune.is_frozen(CLIP, text, "text")) == (image, words)


PATTERNS = st.sampled_from(
    ["image", "text", "*.head", "image.head", "*.norms", "text.norms", "*.last(1)", "image.last(2)", "text.*", "*bias"]
)
SPEEDS = st.sampled_from(["0", "1", "0.1", "0.5@2", "1e-2", "0.5*decay(0.5)", "decay(0.9)@3"])


@given(st.lists(st.tuples(PATTERNS, SPEEDS), max_size=5), SPEEDS)
def test_every_parameter_belongs_to_exactly_one_group(pieces, rest):
    """Whatever the rules: learning parameters are in one AdamW group, the table counts all, and group names are unique."""
    text = ", ".join(f"{pattern}={speed}" for pattern, speed in [*pieces, ("*", rest)])
    try:
        optimised, table = tune.groups(CLIP, text, learning_rate=1, weight_decay=0)
    except LanguageError as error:
        assert any(says in str(error) for says in ("put it before them", "nothing to decay over"))
        return
    members = [id(parameter) for group in optimised for parameter in group["params"]]
    assert len(members) == len(set(members))
    assert sum(row["parameters"] for row in table) == sum(p.numel() for p in CLIP.parameters())
    assert sum(row["parameters"] for row in table if row["factor"]) == sum(p.numel() for g in optimised for p in g["params"])
    for names in ([group["name"] for group in optimised], [row["group"] for row in table]):
        assert len(names) == len(set(names))


@given(st.one_of(st.text(), st.text(alphabet="*=1,.@()[]-elora dcyimgtxs0\n", max_size=40)))
def test_any_text_gives_rules_or_a_language_error(text):
    """Nothing else escapes the parser, and the position lies within the text."""
    try:
        assert all(rule.factor >= 0 and rule.thaw >= 1 for rule in tune.rules(text, epochs=3))
    except LanguageError as error:
        assert 0 <= error.position <= len(text)


def test_rules_are_checked_without_torch():
    """Knobs are checked in processes that have no torch."""
    code = "from trainworks.photostock.model import tune; tune.rules('*=lora(8)')"
    code += "; import sys; assert not {'torch', 'peft'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
