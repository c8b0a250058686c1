"""Where a parameter sits: its tower, its block and that block's distance from the head, in any architecture."""

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
    is_norm: bool
    is_adapter: bool

    @property
    def tower(self) -> str:
        """``image``, ``text``, or the name of what both share."""
        return self.part.partition(".")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that patterns are matched with."""
        return (self.name, f"{self.tower}.norms") if self.is_norm else (self.name,)

    def patterns(self) -> Iterator[str]:
        """The patterns that name it or what it is part of, with ``*`` for the tower at most."""
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
    readable_names = {name: readable(_plain(name, names)) for name in names}
    block_of = _blocks(list(readable_names.values()))
    count = {tower: len({block for block in block_of.values() if block.startswith(f"{tower}.")}) for tower in TOWERS}
    seen: dict[str, list[str]] = {tower: [] for tower in TOWERS}  # blocks so far, in their order
    place_of = {}
    for name, readable_name in readable_names.items():
        pieces, block = readable_name.split("."), block_of[readable_name]
        part = ".".join(pieces[: 2 if pieces[1:2] == ["head"] else 1])
        depth = 0
        if part in TOWERS and count[part]:
            if block and block not in seen[part]:
                seen[part].append(block)
            elif not block and len(seen[part]) == count[part] and "embed" not in readable_name:
                block = seen[part][-1]
            depth = count[part] - 1 - seen[part].index(block) if block else count[part]
        place_of[name] = Place(readable_name, part, block, depth, name in norms, ".lora_" in name)
    return place_of


def _blocks(readable_names: list[str]) -> dict[str, str]:
    """Readable name → its block, or ""; a stage's downsampling counts to the stage's first block."""
    block_of = {}
    for name in readable_names:
        match = None if ".head." in name else _BLOCK.search(name)
        block_of[name] = name[: match.end()] if match else ""
    blocks = sorted(set(block_of.values()) - {""})
    first_within = {stage: next((block for block in blocks if block.startswith(f"{stage}.")), stage) for stage in blocks}
    return {name: first_within.get(block, "") for name, block in block_of.items()}


def _plain(name: str, names: list[str]) -> str:
    """*name* without the parts that peft adds; for an adapter, the name of the weight it adapts."""
    layer, is_adapter, _ = name.partition(".lora_")
    plain = layer.replace(".base_layer", "")
    if not is_adapter:
        return plain
    return f"{plain}.in_proj_weight" if f"{layer}.base_layer.in_proj_weight" in names else f"{plain}.weight"
