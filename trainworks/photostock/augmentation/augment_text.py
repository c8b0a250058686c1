"""The ``augment_text`` little language: the text that a picture is paired with, drawn anew in every epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainworks.errors import LanguageError
from trainworks.grammar import calls
from trainworks.photostock.augmentation.augment_image import shares
from trainworks.photostock.preprocessing.text import Prompt, texts

STEPS = {"drop_caption": 1, "sample_field": 0, "drop_tags": 1, "shuffle_tags": 0, "template": 1}
"""The steps, in the only order that they can have, and how many numbers each takes."""

TEMPLATES = ("a photo of {}", "a drawing of {}", "a sketch of {}", "a painting of {}", "a rendering of {}", "art of {}")
"""Those of CLIP's 80 templates for ImageNet (Radford et al. 2021, arXiv 2103.00020, section 3.1.4) that name photos and drawings
without a judgement of them, less the article: a caption is no class name."""

_TAGS = Prompt("{tags}")


class TextAugmentation:
    """Steps such as ``sample_field > drop_tags(0.3) > shuffle_tags``; an empty text is always the caption.

    ``drop_caption(p)``  with probability p, title and description are left out of a record with tags, since users type tags, not sentences
    ``sample_field``     one of the picture's distinct texts (caption, title, description, tags), each as likely; else its caption
    ``drop_tags(p)``     each tag of that text is dropped with probability p, but never all
    ``shuffle_tags``     the tags of that text in any order
    ``template(p)``      with probability p, that text in one of ``TEMPLATES``

    The steps come in this order, each at most once. A caption is rendered anew by *prompt* when its fields have changed; a title
    or a description that was drawn has no tags to change.

    Raises:
        LanguageError: an unknown step, wrong arguments, or steps in another order.
    """

    def __init__(self, text: str, prompt: Prompt):
        self.text, self.prompt = text, prompt
        self._steps: dict[str, float] = {}
        order = list(STEPS)
        for call in calls("augment_text", text, STEPS) if text.strip() else []:
            if call.name in self._steps:
                raise LanguageError("augment_text", text, call.position, f"{call.name} comes twice")
            if later := [name for name in self._steps if order.index(name) > order.index(call.name)]:
                raise LanguageError(
                    "augment_text", text, call.position, f"{call.name} must come before {later[0]}; the order is {' > '.join(order)}"
                )
            numbers = shares("augment_text", text, call, STEPS[call.name])
            self._steps[call.name] = numbers[0] if numbers else 1.0

    def draw(self, record: Mapping[str, Any], rng: np.random.Generator) -> str:
        """The text that *record* is paired with, drawn by *rng*.

        *record* has ``caption``, ``texts`` (all its distinct texts, the caption first), ``title``, ``description`` and ``tags``
        (a list); any of the last three may be missing.
        """
        tags = record.get("tags")
        fields = {"title": record.get("title"), "description": record.get("description"), "tags": [] if tags is None else list(tags)}
        caption, candidates = record["caption"], record["texts"]
        if self._is_drawn("drop_caption", rng) and _TAGS.render(fields):
            fields |= {"title": None, "description": None}
            candidates = texts(fields, self.prompt) or [_TAGS.render(fields)]
            caption = candidates[0]
        text = candidates[rng.integers(len(candidates))] if "sample_field" in self._steps else caption
        if self._steps.keys() & {"drop_tags", "shuffle_tags"}:
            text = self._with_tags(text, fields, rng)
        if self._is_drawn("template", rng):
            text = TEMPLATES[rng.integers(len(TEMPLATES))].format(text)
        return text

    def _with_tags(self, text: str, fields: Mapping[str, Any], rng: np.random.Generator) -> str:
        """*text* with its tags dropped and shuffled; a text that is neither the caption nor the tags of *fields* has none."""
        source = next((prompt for prompt in (self.prompt, _TAGS) if prompt.render(fields) == text), None)
        tags = fields["tags"]
        if source is None or not tags:
            return text
        keep = np.flatnonzero(rng.random(len(tags)) >= self._steps.get("drop_tags", 0.0))
        if not len(keep):
            keep = rng.integers(len(tags), size=1)
        if "shuffle_tags" in self._steps:
            keep = rng.permutation(keep)
        return source.render({**fields, "tags": [tags[position] for position in keep]}) or text

    def _is_drawn(self, step: str, rng: np.random.Generator) -> bool:
        return step in self._steps and rng.random() < self._steps[step]
