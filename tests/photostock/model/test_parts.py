"""Tower, block, depth and norms of a parameter are recognised in every architecture."""

import warnings

import open_clip
import pytest
import torch

from trainworks.photostock.model.parts import places, readable

TEXT = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 2}
TOWERS = {
    "vit": {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 16},
    "resnet": {"image_size": 32, "layers": [1, 1, 1, 2], "width": 8},
    "convnext": {"timm_model_name": "convnext_atto", "timm_pool": "", "timm_proj": "linear", "image_size": 32},
    "efficientnet": {"timm_model_name": "tf_efficientnet_lite0", "timm_pool": "", "timm_proj": "linear", "image_size": 32},
    "siglip": {"timm_model_name": "vit_base_patch16_siglip_224", "timm_pool": "map", "timm_proj": "none", "image_size": 32},
}


def by_name(architecture):
    """Readable name → place, for a small CLIP with that image tower."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # timm's own
        model = open_clip.CLIP(768 if architecture == "siglip" else 16, TOWERS[architecture], TEXT)
    return {place.name: place for place in places(model).values()}


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
    assert readable(name) == shown


@pytest.mark.parametrize(
    ("architecture", "depths"),
    [
        ("vit", {"conv1.weight": 3, "ln_pre.bias": 3, "transformer.resblocks.0.attn.in_proj_weight": 2, "ln_post.weight": 0, "head": 0}),
        ("resnet", {"bn3.weight": 5, "layer1.0.downsample.0.weight": 4, "layer4.0.conv1.weight": 1, "layer4.1.conv1.weight": 0}),
        ("convnext", {"trunk.stem.0.weight": 12, "trunk.stages.3.downsample.1.weight": 1, "trunk.stages.3.blocks.0.gamma": 1}),
        ("convnext", {"trunk.stages.2.blocks.5.gamma": 2, "trunk.stages.3.blocks.1.gamma": 0, "trunk.head.norm.weight": 0}),
        ("efficientnet", {"trunk.conv_stem.weight": 16, "trunk.blocks.0.0.bn1.bias": 15, "trunk.blocks.6.0.bn1.bias": 0}),
        ("efficientnet", {"trunk.conv_head.weight": 0, "trunk.bn2.weight": 0, "head.proj.weight": 0}),
        ("siglip", {"trunk.pos_embed": 12, "trunk.blocks.11.norm1.weight": 0, "trunk.attn_pool.q.weight": 0}),
    ],
)
def test_depth_counts_the_blocks_up_to_the_head(architecture, depths):
    """0 is the last block and what follows it; the stem is one further than the first block."""
    place_of = by_name(architecture)
    assert {name: place_of[f"image.{name}"].depth for name in depths} == depths


def test_the_token_embedding_is_stem_though_registered_last():
    """CLIP registers it behind the text blocks, and the final norm behind it."""
    place_of = by_name("vit")
    assert {place_of[f"text.{name}"].depth for name in ("token_embedding.weight", "positional_embedding")} == {2}
    assert place_of["text.ln_final.weight"].depth == 0 and place_of["text.ln_final.weight"].block == "text.transformer.resblocks.1"


@pytest.mark.parametrize(
    ("architecture", "norm", "other"),
    [
        ("vit", "transformer.resblocks.0.ln_1.bias", "transformer.resblocks.0.attn.in_proj_bias"),
        ("efficientnet", "trunk.bn1.weight", "trunk.conv_stem.weight"),
        ("convnext", "trunk.stages.0.blocks.0.norm.weight", "trunk.stages.0.blocks.0.gamma"),
    ],
)
def test_norms_are_recognised_by_their_type(architecture, norm, other):
    """Layer norm and batch norm, whatever they are called; other vectors are not norms."""
    place_of = by_name(architecture)
    assert place_of[f"image.{norm}"].is_norm and not place_of[f"image.{other}"].is_norm
    assert place_of[f"image.{norm}"].names == (f"image.{norm}", "image.norms")
