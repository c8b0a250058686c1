"""Repairs of catalogue text: faults that programs made are put right, words that people wrote stay."""

import html
import re
from pathlib import PurePosixPath
from typing import Any

from trainworks.photostock.preprocessing.values import visible

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
    ``hash`` is removed only from a row with an empty or a ``HASH(0x…)`` tag, the traces of one Perl bug:
    1,610 of the 1,619 such rows of Open Clip Art have it. In other rows it may be meant, as in hash browns.
    """
    repaired, repairs = dict(row), dict[str, None]()
    for field in ("title", "description", "contributor"):
        if field in row:
            repaired[field] = _text(row[field], repairs)
    if "tags" in row:
        repaired["tags"] = _tags([_plain(tag, repairs) for tag in row["tags"]], repairs)
    return repaired, list(repairs)


def caption_title(title: str, image_name: str, title_count: int, contributor: str = "") -> tuple[str, str]:
    """A title that describes the picture, and the name of the repair that made it (``""`` if *title* stays).

    A title that has no word, or that *title_count* ≥ ``SHARED_BY`` pictures share, is replaced by the
    words of the file name, unless it has none or they begin with the title's own. A title that is itself
    a file name, such as ``Access_point.svg``, is spelt out. With *contributor*, a signature at the end of a
    file name is left out: ``balloon-black-aj`` by AJ Ashton is a black balloon.
    """
    title_words = _words(title)
    has_word = _has_word(title_words)
    if not has_word or title_count >= SHARED_BY:
        name_words = _words(PurePosixPath(image_name).stem, contributor)
        if _has_word(name_words):
            if not has_word:
                return " ".join(name_words), "title without words taken from the file name"
            if _lower(name_words[: len(title_words)]) != _lower(title_words):
                return " ".join(name_words), "shared title taken from the file name"
    if has_word and _is_file_name(title):
        return " ".join(title_words), "file name as title spelt out"
    return title, ""


def _text(text: str, repairs: dict[str, None]) -> str:
    text = _plain(text, repairs)
    if text and not visible(text):
        repairs["text that shows nothing emptied"] = None
        return ""
    if not _PERL_HASH.fullmatch(text):
        return text
    repairs["HASH text emptied"] = None
    return ""


def _plain(text: str, repairs: dict[str, None]) -> str:
    """*text* without entities, control characters and runs of white space; repeated until nothing changes, as each may uncover another."""
    if text.isprintable() and "&" not in text and "  " not in text and text == text.strip():
        return text  # nearly every text; no repair would change it
    while True:
        before = text
        for name, repair_text in _TEXT_REPAIRS.items():
            if (repaired := repair_text(text)) != text:
                repairs[name], text = None, repaired
        if text == before:
            return text


def _tags(tags: list[str], repairs: dict[str, None]) -> list[str]:
    broken = any(not tag or _PERL_HASH.fullmatch(tag) for tag in tags)
    kept: dict[str, str] = {}
    for tag in tags:
        if _PERL_HASH.fullmatch(tag) or (broken and tag.lower() == "hash"):
            repairs["HASH tag removed"] = None
        elif not visible(tag):
            repairs["empty tag removed"] = None
        elif tag.lower() in kept:
            repairs["duplicate tag removed"] = None
        else:
            kept[tag.lower()] = tag
    return list(kept.values())


def _words(name: str, contributor: str = "") -> list[str]:
    """The words of a file name, without the running number and the contributor's signature at its end."""
    words = [word for word in _WORD_ENDS.split(_IMAGE_SUFFIX.sub("", name)) if word]
    words = _unnumbered(_unsigned(_unnumbered(words), contributor))
    if words and (match := re.fullmatch(r"([^\W\d_]{3,})\d+", words[-1])):
        words[-1] = match[1]
    return words


def _unnumbered(words: list[str]) -> list[str]:
    while words and re.fullmatch(r"v?\d+[a-z]?", words[-1]):
        words = words[:-1]
    return words


def _unsigned(words: list[str], contributor: str) -> list[str]:
    """*words* without a signature: one of the contributor's names, or the first five letters or more of the full name."""
    names = _lower(re.findall(r"[^\W_]+", contributor))
    for start in range(1, len(words) if names else 0):
        end = "".join(_lower(words[start:]))
        if end in names or (len(end) >= 5 and "".join(names).startswith(end)):
            return words[:start]
    return words


def _has_word(words: list[str]) -> bool:
    """Whether one of *words* has three letters, or letters beyond ASCII, and is none that cameras and programs write."""
    candidates = (word for word in _lower(words) if word.isalpha() and (len(word) >= 3 or not word.isascii()))
    return any(not _CAMERA_WORD.fullmatch(word) for word in candidates)


def _is_file_name(title: str) -> bool:
    return not re.search(r"\s", title) and ("_" in title or bool(_IMAGE_SUFFIX.search(title)))


def _lower(words: list[str]) -> list[str]:
    return [word.lower() for word in words]


_TEXT_REPAIRS = {
    "HTML entity decoded": html.unescape,
    "control character removed": lambda text: _CONTROL.sub(" ", text),
    "white space collapsed": lambda text: " ".join(text.split()),
}
