"""Knobs from the catalogue to the dataset."""

from dataclasses import dataclass

from trainworks.config import Section, knob


@dataclass(frozen=True)
class DataConfig(Section):
    """From the catalogue to the dataset."""

    name = "data"

    stored_size: int = knob(128, "shorter side of a stored picture, in pixels", least=32, most=1024)
    subsample: str = knob(
        "near_duplicates(1) > contributor(300)", "what the catalogue is thinned by, such as contributor(300); empty keeps all"
    )
    prompt: str = knob("{title}. {description} {tags}", "caption of a picture, from the catalogue's fields")
    gallery: int = knob(100, "pictures held out for test, and as many for validation", least=10)

    def __post_init__(self) -> None:
        super().__post_init__()
        from trainworks.photostock.curation.subsample import steps
        from trainworks.photostock.preprocessing.text import Prompt

        steps(self.subsample)
        Prompt(self.prompt)
