"""The folders of one run, as verdict, report and bundle are made from them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """What the stages of one run made: the output folder of each, named by what it holds."""

    panel: Path
    recipe: Path
    forecaster: Path
    metrics: Path
    behaviour: Path
