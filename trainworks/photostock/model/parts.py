"""Where a parameter sits: its tower, its block and how far that is from the head, whatever the architecture calls them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TOWERS = ("image", "text")
_HEADS = {
    "visual.proj": "image.head",
    "visual.head": "image.head",
    "visual.attnpool": "image.head",
    "text_projection": "text.head",
    "text.text_projection": "text.head",
    "text.proj": "text.head",
}
_SHARED = ("logit_scale", "logit_bias")
_BLOCK = re.compile(r"(?:^|\.)(?:resblocks|blocks?|layers?|stages)\.?\d+(?:\.(?:blocks\.)?\d+)?(?=\.)")


@dataclass(frozen=True)
class Place:
    """Where a parameter sits.

    ``part`` is ``image``, ``image.head``, ``text``, ``text.head`` or the name of what both towers share. ``block`` is the
    name of the block, or "" outside blocks. ``depth`` counts the blocks from there to the head: 0 for the last
    block, what follows it and the head, the number of blocks for the stem.
    """

    name: str
    part: str
    block: str
    depth: int
    norm: bool
    adapter: bool

    @property
    def tower(self) -> str:
        """``image``, ``text``, or the name of what both share."""
        return self.part.partition(".")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """What a pattern can call it."""
        return (self.name, f"{self.tower}.norms") if self.norm else (self.name,)

    def known_as(self) -> Iterator[str]:
        """Patterns that name it, with ``*`` only for the tower."""
        names = [*self.names, f"{self.tower}.last({self.depth + 1})"] if self.block else self.names
        for name in names:
            pieces = name.split(".")
            for n in range(1, len(pieces) + 1):
                yield ".".join(pieces[:n])
                yield ".".join(["*", *pieces[1:n]])


def readable(name: str) -> str:
    """open_clip's parameter *name* as patterns see it."""
    for prefix, head in _HEADS.items():
        if name == prefix or name.startswith(prefix + "."):
            return head + name[len(prefix) :]
    if name in _SHARED:
        return name
    if name.startswith("visual."):
        return "image." + name.removeprefix("visual.")
    return "text." + name.removeprefix("text.")


def places(model: Any) -> dict[str, Place]:
    """Parameter name → where it sits, in the order of ``model.named_parameters()``; an adapter sits where its weight does.

    Blocks count in the order of registration. What is registered after the last block follows it (final norm, last
    convolution), unless it is an embedding: CLIP registers its token embedding after the blocks that read it.
    """
    names = [name for name, _ in model.named_parameters()]
    norms = {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if "Norm" in type(module).__name__
        for name, _ in module.named_parameters(recurse=False)
    }
    shown = {name: readable(_plain(name, names)) for name in names}
    blocks = _blocks(list(shown.values()))
    count = {tower: len({block for block in blocks.values() if block.startswith(f"{tower}.")}) for tower in TOWERS}
    seen: dict[str, list[str]] = {tower: [] for tower in TOWERS}
    found = {}
    for name, full in shown.items():
        pieces, block = full.split("."), blocks[full]
        part = ".".join(pieces[: 2 if pieces[1:2] == ["head"] else 1])
        depth = 0
        if part in TOWERS and count[part]:
            if block and block not in seen[part]:
                seen[part].append(block)
            elif not block and len(seen[part]) == count[part] and "embed" not in full:
                block = seen[part][-1]
            depth = count[part] - 1 - seen[part].index(block) if block else count[part]
        found[name] = Place(full, part, block, depth, name in norms, ".lora_" in name)
    return found


def _blocks(shown: list[str]) -> dict[str, str]:
    """Readable name → its block, or ""; a stage's downsampling opens the stage's first block."""
    found = {}
    for name in shown:
        match = None if ".head." in name else _BLOCK.search(name)
        found[name] = name[: match.end()] if match else ""
    finest = sorted(set(found.values()))
    return {name: block and next((finer for finer in finest if finer.startswith(f"{block}.")), block) for name, block in found.items()}


def _plain(name: str, names: list[str]) -> str:
    """*name* without what peft puts into it; the weight's name for an adapter."""
    layer, is_adapter, _ = name.partition(".lora_")
    plain = layer.replace(".base_layer", "")
    if not is_adapter:
        return plain
    return f"{plain}.in_proj_weight" if f"{layer}.base_layer.in_proj_weight" in names else f"{plain}.weight"
