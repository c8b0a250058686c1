"""Values of a record as programs hand them over: what is text, what shows nothing, and lists that were written as text.

A catalogue and a service read them alike, so that a model meets in production what it was trained on.
"""

import ast
import json
import re
import unicodedata
import warnings
from collections.abc import Mapping
from typing import Any

MISSING = frozenset(("nan", "NaN", "NaT", "<NA>", "None", "null", "NULL"))
"""How programs write that there is no value."""

LONGEST = 2**16
"""Characters from which on a text is no list or object that a program wrote: what hides in more of them is not looked for."""

_TAG = re.compile(
    r"(?:&(?:#\d+|#[xX][0-9a-fA-F]+|amp|lt|gt|quot|apos|nbsp|[A-Za-z](?:acute|grave|circ|tilde|uml|cedil|ring|slash|caron|lig));|[^;])+"
)
"""A tag of a ';'-separated text; the ';' that ends an HTML entity does not end the tag."""

_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_ITEM = re.compile(rf"(?:np\.str_\()?({_QUOTED})\)?|(None|null|nan|NaN)(?![\w])")
_LIST = re.compile(rf"[\[({{]\s*(?:(?:{_ITEM.pattern})[\s,]*)*[\])}}]", re.DOTALL)
"""Quoted texts in brackets, as Python, pandas, numpy, JSON and databases write a list of texts."""

_BARE_LIST = re.compile(r"\[([^\[\]{}();\"']*)\]|\{([^\[\]{}();\"':]*)\}", re.DOTALL)
"""Texts without quotes in brackets, as YAML and PostgreSQL write a list."""

_CUT = re.compile(r"""[\[\s,"']\.\.\.[\]\s,"']""")
"""What numpy and pandas write in the place of items that are too many."""

_ARRAY = re.compile(r"(?:(?:np\.)?(?:array|frozenset)\()?(\[.*\]|\(.*\)|\{.*\})(?:,\s*dtype=[^()]*)?\)?", re.DOTALL)
_LITERAL = re.compile(r"""\[.*\]|\{.*\}|b(?P<quote>["']).*(?P=quote)""", re.DOTALL)

_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_SELECTORS = (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
"""Characters that count as letters, marks or symbols and show nothing."""

_INVISIBLE = frozenset(("Cc", "Cf", "Cn", "Cs", "Zs", "Zl", "Zp"))
"""Categories of Unicode that show nothing: controls, formats, what is no character, and blanks."""


def visible(text: str) -> str:
    """*text* itself, or ``""`` if all that it holds are blanks, controls, formats, fillers: nobody could read it."""
    return text if any(map(_shows, text)) else ""


def _shows(character: str) -> bool:
    if character in _FILLERS or any(ord(character) in selectors for selectors in _SELECTORS):
        return False
    return unicodedata.category(character) not in _INVISIBLE


def record(given: Mapping[str, Any]) -> dict[str, Any]:
    """The words of the record *given*: its title and description as text, its tags as a list.

    Raises:
        ValueError: a field is something else.
    """
    return {name: words(name, given.get(name)) for name in ("title", "description")} | {"tags": tags(given.get("tags"))}


def plain(name: str, value: Any) -> str:
    """The *value* of the field *name* as text, ``""`` for None and NaN; 3.0 is ``3``, as a column of whole numbers with gaps has it.

    Raises:
        ValueError: it is neither text nor a number.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return "" if value.strip() in MISSING else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value != value:
            return ""
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    raise ValueError(f"{name}: expected text, found {type(value).__name__}")


def words(name: str, value: Any) -> str:
    """The *value* of the field *name*, which holds words, as text; ``""`` if it shows nothing.

    Raises:
        ValueError: it is neither text nor a number, or a list, an object or bytes that were written as text.
    """
    text = visible(plain(name, value))
    found = _written(text)
    if found is not None and not (isinstance(found, list) and all(isinstance(item, int | float) for item in found)):
        raise ValueError(f"{name}: expected text, found {type(found).__name__} written as text: {text[:80]!r}")
    return text


def tags(value: Any) -> list[str]:
    """The tags in *value*: a list of texts, one text with ``;`` between them, or a list that a program wrote as text.

    Raises:
        ValueError: anything else, or a list written as text that was cut or nested.
    """
    if hasattr(value, "tolist"):  # as numpy and pandas have it
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain("tags", tag) for tag in value if tag is not None]
    if isinstance(value, dict):
        raise ValueError(f"tags: expected a list of texts, or one text with ';' between them, found {type(value).__name__}")
    text = plain("tags", value).strip()
    items = listed(text)
    return _TAG.findall(text) if items is None else items


def listed(text: str) -> list[str] | None:
    """The items of the list of tags that a program wrote as *text*, or None if it is text of another kind.

    Raises:
        ValueError: as `tags`.
    """
    if len(text) > LONGEST or not (match := _ARRAY.fullmatch(text)):
        return None
    body = match[1]
    if _LIST.fullmatch(body):
        return [_unquoted(quoted) for quoted, _ in _ITEM.findall(body) if quoted]
    if _CUT.search(body):
        raise ValueError(f"tags: this list was cut when it was written as text: {text[:80]!r}; write all tags, with ';' between them")
    if (found := _written(body)) is not None:
        if not isinstance(found, list):
            raise ValueError(f"tags: expected a list of texts, or one text with ';' between them, found {text[:80]!r}")
        return tags(found)
    bare = _BARE_LIST.fullmatch(body)
    return [item.strip() for item in (bare[1] or bare[2] or "").split(",")] if bare else None


def _unquoted(quoted: str) -> str:
    text = _read(quoted)
    return text if isinstance(text, str) else quoted[1:-1]


def _written(text: str) -> Any | None:
    """The list, object or bytes that a program wrote as *text*, or None if it is text of another kind."""
    return _read(text.strip()) if len(text) <= LONGEST and _LITERAL.fullmatch(text.strip()) else None


def _read(text: str) -> Any | None:
    """What *text* says in JSON or else in Python; None if it says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python about its own literals
        for read in (json.loads, ast.literal_eval):
            try:
                return read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
    return None
