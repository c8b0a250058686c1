"""A record of a catalogue file as a row of the table: texts repaired, paths checked, opt-outs marked, faults named."""

import hashlib
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from trainworks.photostock.catalogue.records import Record
from trainworks.photostock.catalogue.repairs import repair
from trainworks.photostock.catalogue.slices import SCHEMA
from trainworks.photostock.preparation.originals import OUTSIDE_FOLDER
from trainworks.photostock.preprocessing import values
from trainworks.photostock.rejected import Rejected

EXCLUDED = "excluded"
_IDS = ("id", "group")
_DECIMAL = re.compile(r"\d+\.0")

_YES, _NO = ("true", "1", "yes"), ("false", "0", "no", "")

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")
_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[/\\]")
_INVALID = re.compile(r"[\x00\ud800-\udfff]")


def table_row(record: Record) -> dict[str, Any]:
    """*record* as a row with the columns of ``slices.SCHEMA``, ``fingerprint`` left empty; fields after one that is refused stay empty."""
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names, "") | {"bytes": None, "tags": [], "repairs": []}
    try:
        if record.reason:
            raise Rejected(record.reason, record.detail)
        if _is_excluded(record.values.get("exclude")):
            row["id"] = _id_of_excluded(record.values)
            raise Rejected(EXCLUDED, "")
        for name in ("id", "licence", "group"):
            row[name] = _clean(name, _text(name, record.values.get(name)))
        row |= _words(record.values)
        image = _image(record.values)
        if image and isinstance(image, bytes):
            row["bytes"] = image
        else:
            row["image"] = _relative(_clean("image", _text("image", image or None)))
            row["id"] = row["id"] or row["image"]
    except Rejected as rejection:
        row["rejected"] = rejection.reason
        row["detail"] = f"{record.where}: {rejection.detail}" if rejection.detail else record.where
    return row


def _is_excluded(value: Any) -> bool:
    """Whether a row opts out.

    Raises:
        Rejected: the cell says neither yes nor no. Such a row is not used, since its contributor may have meant to opt out.
    """
    text = str(int(value)) if value in (0, 1) else _text("exclude", value)  # True and 1.0 are in (0, 1) too
    answer = text.strip().lower()
    if answer not in (*_YES, *_NO):
        raise Rejected("unclear exclude", f"expected {', '.join(_YES)}, or {', '.join(_NO[:-1])} or nothing, found {text[:80]!r}")
    return answer in _YES


def _id_of_excluded(given: Mapping[str, Any]) -> str:
    """The id the row had before it opted out, so that slices are cut where they were before; ``""`` if it has no valid one."""
    image = _image(given)
    try:
        id = _clean("id", _text("id", given.get("id")))
        if id:
            return id
        if image and isinstance(image, bytes):
            return hashlib.sha256(image).hexdigest()
        return _relative(_clean("image", _text("image", image or None)))
    except Rejected:
        return ""


def _words(given: Mapping[str, Any]) -> dict[str, Any]:
    """Title, description, contributor and tags, repaired, and the ``repairs``."""
    names = ("title", "description", "contributor")
    try:
        texts: dict[str, Any] = {name: values.plain(name, given.get(name)) for name in names}
        repaired, repairs = repair(texts | {"tags": values.tags(given.get("tags"))})
        for name in names:
            values.words(name, repaired[name])
    except ValueError as error:
        raise Rejected("wrong type", str(error)) from None
    return repaired | {"repairs": _read_as_meant(given) + repairs}


def _image(given: Mapping[str, Any]) -> Any:
    """The bytes or the path of the picture; Hugging Face's datasets have both in one cell, of which one is there."""
    image = given.get("image")
    return image.get("bytes") or image.get("path") if isinstance(image, dict) else image


def _text(name: str, value: Any) -> str:
    """The *value* of an id or of what is no word; one that a data frame with gaps made of a whole number, ``17.0``, is that number."""
    try:
        text = values.plain(name, value)
    except ValueError as error:
        raise Rejected("wrong type", str(error)) from None
    return text.removesuffix(".0") if name in _IDS and _DECIMAL.fullmatch(text) else text


def _read_as_meant(given: Mapping[str, Any]) -> list[str]:
    """The names of what was read as it was meant, not as it stands there."""
    texts = {name: value.strip() for name, value in given.items() if isinstance(value, str)}
    cases = {
        "missing value written as text": any(text in values.MISSING for text in texts.values()),
        "whole number written as a decimal": any(_DECIMAL.fullmatch(texts.get(name, "")) for name in _IDS),
        "list written as text": values.listed(texts.get("tags", "")) is not None,
    }
    return [name for name, is_so in cases.items() if is_so]


def _clean(name: str, text: str) -> str:
    text = text.strip()
    if match := _INVALID.search(text):
        raise Rejected("invalid character", f"{name}: {match[0]!r} at position {match.start()} of {text[:80]!r}")
    return text


def _relative(path: str) -> str:
    """An image path in its shortest form, refused unless it stays below the catalogue's folder."""
    if not path:
        raise Rejected("empty image cell", "")
    for refused, reason in (
        (URL.match(path), "a URL, not a path"),
        (_ABSOLUTE.match(path), "absolute path"),
        ("\\" in path, "backslash in the path"),
        (posixpath.normpath(path).split("/")[0] == "..", OUTSIDE_FOLDER),
    ):
        if refused:
            raise Rejected(reason, repr(path[:200]))
    return posixpath.normpath(path)
