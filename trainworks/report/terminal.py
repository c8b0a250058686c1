"""Tables for the terminal."""

from collections.abc import Sequence

from trainworks.report.page import cell


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """*rows* under their *head* as lines of text in columns; cells in the words of the report."""
    lines = [list(head), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(words.ljust(width) for words, width in zip(line, widths, strict=True)).rstrip() for line in lines)
