"""Knobs of the source's tables."""

from dataclasses import dataclass

from trainworks.config import Section, knob
from trainworks.supermegaretail.tables.columns import columns


@dataclass(frozen=True)
class TablesConfig(Section):
    """How the source's tables are read."""

    name = "tables"

    columns: str = knob("", "what the source calls its columns, such as date: week_start, product: sku, kind: type")

    def __post_init__(self) -> None:
        super().__post_init__()
        columns(self.columns)
