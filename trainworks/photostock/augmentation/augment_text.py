"""The ``augment_text`` little language: which of a picture's words it meets, anew in every epoch."""

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

    ``drop_caption(p)``  with probability p, title and description are left out if there are tags: users type tags, not sentences
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
            if late := [name for name in self._steps if order.index(name) > order.index(call.name)]:
                raise LanguageError(
                    "augment_text", text, call.position, f"{call.name} must come before {late[0]}; the order is {' > '.join(order)}"
                )
            self._steps[call.name] = (*shares("augment_text", text, call, STEPS[call.name]), 1.0)[0]

    def draw(self, record: Mapping[str, Any], chance: np.random.Generator) -> str:
        """The text *record* meets by what *chance* draws.

        *record* has ``caption``, ``texts`` (all its distinct texts, the caption first), ``title``, ``description`` and ``tags``
        (a list); any of the last three may be missing.
        """
        given = record.get("tags")
        fields = {"title": record.get("title"), "description": record.get("description"), "tags": [] if given is None else list(given)}
        caption, choice = record["caption"], record["texts"]
        if self._happens("drop_caption", chance) and _TAGS.render(fields):
            fields |= {"title": None, "description": None}
            choice = texts(fields, self.prompt) or [_TAGS.render(fields)]
            caption = choice[0]
        text = choice[chance.integers(len(choice))] if "sample_field" in self._steps else caption
        if self._steps.keys() & {"drop_tags", "shuffle_tags"}:
            text = self._with_tags(text, fields, chance)
        if self._happens("template", chance):
            text = TEMPLATES[chance.integers(len(TEMPLATES))].format(text)
        return text

    def _with_tags(self, text: str, fields: Mapping[str, Any], chance: np.random.Generator) -> str:
        """*text* with its tags dropped and shuffled; a text that is neither the caption nor the tags of *fields* has none."""
        speaker = next((prompt for prompt in (self.prompt, _TAGS) if prompt.render(fields) == text), None)
        tags = fields["tags"]
        if speaker is None or not tags:
            return text
        keep = np.flatnonzero(chance.random(len(tags)) >= self._steps.get("drop_tags", 0.0))
        if not len(keep):
            keep = chance.integers(len(tags), size=1)
        if "shuffle_tags" in self._steps:
            keep = chance.permutation(keep)
        return speaker.render({**fields, "tags": [tags[k] for k in keep]}) or text

    def _happens(self, step: str, chance: np.random.Generator) -> bool:
        return step in self._steps and chance.random() < self._steps[step]
