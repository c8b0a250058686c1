"""The prompt that makes one caption of a record's fields, in training and in serving."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trainworks import grammar
from trainworks.errors import LanguageError
from trainworks.photostock.preprocessing.values import visible

FIELDS = ("title", "description", "tags")

_PUNCTUATION = ".,;:!?…"
_BETWEEN = re.compile(r"([)\]]*)([^\w(\[]*)(.*)", re.DOTALL)  # closes the field before · separates · leads to the field after


class _Part(NamedTuple):
    before: str
    field: str
    after: str
    separator: str


class Prompt:
    """``{title}. {description} {tags}``: text with fields, of which those a record lacks vanish with their punctuation.

    A field owns the words and opening brackets that lead to it and the closing brackets behind it; the punctuation
    after it stands only between it and a field that follows. Words after the last field stay if any field is there.

    Raises:
        LanguageError: an unknown field, a brace without its partner, or no field at all.
    """

    def __init__(self, text: str):
        self.text = text
        literals, fields = _parse(text)
        ends = [_BETWEEN.fullmatch(literal).groups() for literal in literals[1:]]  # type: ignore[union-attr]
        befores = [literals[0], *(words for _, _, words in ends)]
        self._parts = [
            _Part(before, field, after, separator) for before, field, (after, separator, _) in zip(befores, fields, ends, strict=False)
        ]
        self._tail = befores[-1]

    def __repr__(self) -> str:
        return f"Prompt({self.text!r})"

    def render(self, record: Mapping[str, Any]) -> str:
        """The caption of *record*, with single spaces; ``""`` if it has none of the prompt's fields.

        ``tags`` is a list, or a string with ``;`` between tags. A missing field, ``None``, NaN and text that shows nothing are the same.
        """
        return self._fill(_field_texts(record))

    def _fill(self, values: Mapping[str, str]) -> str:
        caption, last = "", None
        for part in self._parts:
            if value := values[part.field]:
                caption = _join(caption, last.separator if last else "") + part.before + value + part.after
                last = part
        if last and (self._tail or last is self._parts[-1]):
            caption = _join(caption, last.separator) + self._tail
        return " ".join(caption.split())


def texts(record: Mapping[str, Any], prompt: Prompt) -> list[str]:
    """The distinct texts of *record*: its caption, title, description and tags; none if the caption is empty."""
    values = _field_texts(record)
    caption = prompt._fill(values)
    if not caption:
        return []
    return list(dict.fromkeys(text for text in (caption, *values.values()) if text))


def _field_texts(record: Mapping[str, Any]) -> dict[str, str]:
    """Every field as text with single spaces, tags joined by ``", "``; ``""`` where there is none."""
    return {field: _plain(record.get(field)) for field in ("title", "description")} | {"tags": _listed(record.get("tags"))}


def _plain(value: Any) -> str:
    return "" if value is None or value != value else " ".join(visible(str(value)).split())  # NaN is how data frames say None


def _listed(value: Any) -> str:
    tags = value.split(";") if isinstance(value, str) else value if isinstance(value, Iterable) else [value]
    return ", ".join([text for tag in tags if (text := _plain(tag))])


def _parse(text: str) -> tuple[list[str], list[str]]:
    """The literals of a prompt and the fields between them: one literal more than fields."""
    literals, fields, end = [], [], 0
    for match in re.finditer(r"\{([^{}]*)\}", text):
        grammar.require("prompt", text, match.start(1), match[1], FIELDS)
        literals.append(text[end : match.start()])
        fields.append(match[1])
        end = match.end()
    literals.append(text[end:])
    if stray := re.search(r"[{}]", re.sub(r"\{[^{}]*\}", lambda match: " " * len(match[0]), text)):
        raise LanguageError("prompt", text, stray.start(), f"{stray[0]!r} without its partner; a field is written {{title}}")
    if not fields:
        raise LanguageError("prompt", text, 0, f"no field, so every picture would have one caption; use {{{'}, {'.join(FIELDS)}}}")
    return literals, fields


def _join(left: str, separator: str) -> str:
    """*left* and the *separator*, without a second punctuation mark where *left* already ends in one."""
    return left + (separator.lstrip(_PUNCTUATION) if left.endswith(tuple(_PUNCTUATION)) else separator)
