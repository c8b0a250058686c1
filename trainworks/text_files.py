"""Text files as programs write them: those that are not UTF-8, and the line by which a spreadsheet names its separator."""

import re
from pathlib import Path

from trainworks.errors import DataError


def require_utf8(path: Path, name: object = None) -> None:
    """Refuse a UTF-16 or UTF-32 file, with a byte order mark or without, in which every line would fail; *name* is the one for people.

    Raises:
        DataError: with what to do.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
        raise DataError(f"{name or path}: expected UTF-8, found UTF-16; save it as UTF-8")


def separator(line: str) -> str | None:
    """The mark that the first *line* of a CSV file declares, as in ``sep=;``; None if it is any other line."""
    declared = re.fullmatch(r'"?sep=(.)"?\s*', line.removeprefix("\ufeff"), re.IGNORECASE)
    return declared[1] if declared else None
