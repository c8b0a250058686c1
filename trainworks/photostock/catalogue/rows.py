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
from trainworks.photostock.rejected import Rejected

_TAG = re.compile(
    r"(?:&(?:#\d+|#[xX][0-9a-fA-F]+|amp|lt|gt|quot|apos|nbsp|[A-Za-z](?:acute|grave|circ|tilde|uml|cedil|ring|slash|caron|lig));|[^;])+"
)
"""A tag of a ';'-separated text; the ';' that ends an HTML entity does not end the tag."""

EXCLUDED = "excluded"
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
        texts: dict[str, Any] = {name: _text(name, record.values.get(name)) for name in ("title", "description", "contributor")}
        repaired, row["repairs"] = repair(texts | {"tags": _tags(record.values.get("tags"))})
        row |= repaired
        image = record.values.get("image")
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


def _id_of_excluded(values: Mapping[str, Any]) -> str:
    """The id the row had before it opted out, so that slices are cut where they were before; ``""`` if it has no valid one."""
    image = values.get("image")
    try:
        id = _clean("id", _text("id", values.get("id")))
        if id:
            return id
        if image and isinstance(image, bytes):
            return hashlib.sha256(image).hexdigest()
        return _relative(_clean("image", _text("image", image or None)))
    except Rejected:
        return ""


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if value == value else ""  # NaN is how data frames say None
    raise Rejected("wrong type", f"{name}: expected text, found {type(value).__name__}")


def _tags(value: Any) -> list[str]:
    if isinstance(value, list):
        return [_text("tags", tag) for tag in value if tag is not None]
    if isinstance(value, dict):
        raise Rejected("wrong type", "tags: expected a list of texts, or one text with ';' between them, found dict")
    return _TAG.findall(_text("tags", value))


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
