"""Repairs of catalogue text that keep the row: what a program broke is put right, what a person wrote stays."""

import html
import re
from pathlib import PurePosixPath
from typing import Any

SHARED_BY = 4
"""Pictures with one title from which on the title names a series, not a picture."""

_PERL_HASH = re.compile(r"HASH\(0x[0-9a-f]+\)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
"""Control characters that are no white space, and lone surrogates, which no UTF-8 file can hold."""

_IMAGE_SUFFIX = re.compile(r"\.(?:avif|bmp|gif|heic|jpe?g|png|svg|tiff?|webp)$", re.IGNORECASE)
_CAMERA_WORD = re.compile(r"clipart|copy|dsc[fn]?|edit|file|final|images?|img|photos?|pic|picture|scan|screenshot|stock|untitled")
_WORD_ENDS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z][a-z])|(?<=[a-z])(?=\d+[a-z])")


def repair(row: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """*row* with its ``title``, ``description``, ``contributor`` and ``tags`` repaired, and the names of the repairs made.

    Other fields and absent ones stay as they are. Repairing twice changes nothing more. The bare tag
    ``hash`` goes only from a row with an empty or a ``HASH(0x…)`` tag, the traces of one Perl bug: so it
    stands in 1,610 of the 1,619 such rows of Open Clip Art. Elsewhere hash browns are food.
    """
    repaired, made = dict(row), dict[str, None]()
    for field in ("title", "description", "contributor"):
        if field in row:
            repaired[field] = _text(row[field], made)
    if "tags" in row:
        repaired["tags"] = _tags([_plain(tag, made) for tag in row["tags"]], made)
    return repaired, list(made)


def caption_title(title: str, image_name: str, title_count: int, contributor: str = "") -> tuple[str, str]:
    """A title that says what is on the picture, and the name of the repair that made it (``""`` if *title* stands).

    A title that has no word, or that *title_count* ≥ ``SHARED_BY`` pictures share, gives way to the
    words of the file name, unless these are none or begin with the title's own. A title that is itself
    a file name, such as ``Access_point.svg``, is spelt out. *contributor* tells a file name's signature
    from its subject: ``balloon-black-aj`` by AJ Ashton is a black balloon.
    """
    own = _words(title)
    telling = _says_something(own)
    if not telling or title_count >= SHARED_BY:
        named = _words(PurePosixPath(image_name).stem, contributor)
        if _says_something(named):
            if not telling:
                return " ".join(named), "title without words taken from the file name"
            if _lower(named[: len(own)]) != _lower(own):
                return " ".join(named), "shared title taken from the file name"
    if telling and _is_file_name(title):
        return " ".join(own), "file name as title spelt out"
    return title, ""


def _text(text: str, made: dict[str, None]) -> str:
    text = _plain(text, made)
    if not _PERL_HASH.fullmatch(text):
        return text
    made["HASH text emptied"] = None
    return ""


def _plain(text: str, made: dict[str, None]) -> str:
    """*text* without entities, control characters and runs of white space; to the fixed point, as each may uncover another."""
    if text.isprintable() and "&" not in text and "  " not in text and text == text.strip():
        return text  # nearly every text; no cure would touch it
    while True:
        before = text
        for name, cure in _CURES.items():
            if (cured := cure(text)) != text:
                made[name], text = None, cured
        if text == before:
            return text


def _tags(tags: list[str], made: dict[str, None]) -> list[str]:
    broken = any(not tag or _PERL_HASH.fullmatch(tag) for tag in tags)
    kept: dict[str, str] = {}
    for tag in tags:
        if _PERL_HASH.fullmatch(tag) or (broken and tag.lower() == "hash"):
            made["HASH tag removed"] = None
        elif not tag:
            made["empty tag removed"] = None
        elif tag.lower() in kept:
            made["duplicate tag removed"] = None
        else:
            kept[tag.lower()] = tag
    return list(kept.values())


def _words(name: str, contributor: str = "") -> list[str]:
    """The words of a file name, without the running number and the contributor's signature at its end."""
    words = [word for word in _WORD_ENDS.split(_IMAGE_SUFFIX.sub("", name)) if word]
    words = _unnumbered(_unsigned(_unnumbered(words), contributor))
    if words and (numbered := re.fullmatch(r"([^\W\d_]{3,})\d+", words[-1])):
        words[-1] = numbered[1]
    return words


def _unnumbered(words: list[str]) -> list[str]:
    while words and re.fullmatch(r"v?\d+[a-z]?", words[-1]):
        words = words[:-1]
    return words


def _unsigned(words: list[str], contributor: str) -> list[str]:
    """*words* without a signature: one of the contributor's names, or five letters and more of the whole, as it may be cut short."""
    names = _lower(re.findall(r"[^\W_]+", contributor))
    for start in range(1, len(words) if names else 0):
        end = "".join(_lower(words[start:]))
        if end in names or (len(end) >= 5 and "".join(names).startswith(end)):
            return words[:start]
    return words


def _says_something(words: list[str]) -> bool:
    """Whether there is a word in it: of three letters or in a script that needs fewer, and not one that a camera writes."""
    spoken = (word for word in _lower(words) if word.isalpha() and (len(word) >= 3 or not word.isascii()))
    return any(not _CAMERA_WORD.fullmatch(word) for word in spoken)


def _is_file_name(title: str) -> bool:
    return not re.search(r"\s", title) and ("_" in title or bool(_IMAGE_SUFFIX.search(title)))


def _lower(words: list[str]) -> list[str]:
    return [word.lower() for word in words]


_CURES = {
    "HTML entity decoded": html.unescape,
    "control character removed": lambda text: _CONTROL.sub(" ", text),
    "white space collapsed": lambda text: " ".join(text.split()),
}
