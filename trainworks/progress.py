"""How far long work is: a bar on a terminal, a line now and then in a log."""

import io
import logging
import sys
from typing import Any

from tqdm import tqdm

EVERY = 10.0
"""Seconds between two lines of a log."""

log = logging.getLogger(__name__)


class Bar(tqdm):
    """tqdm's bar, for what takes longer than two seconds. Where there is no terminal, which would redraw it, it is a line of the log."""

    def __init__(self, iterable: Any = None, desc: str = "", total: float | None = None, **how: Any):
        self.is_logged = not sys.stderr.isatty()
        if self.is_logged:
            how |= {"mininterval": EVERY, "maxinterval": EVERY, "file": io.StringIO()}
        super().__init__(iterable, desc, total, delay=2, leave=False, **how)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the state; an empty *msg* takes the bar away, which a log need not know."""
        if not self.is_logged:
            super().display(msg, pos)
        elif msg is None:
            done, total = (self.format_sizeof(n) if self.unit_scale else f"{n:,}" for n in (self.n, self.total or 0))
            log.info("%-9s %s%s %s", self.desc.removesuffix(": "), done, f" of {total}" if self.total else "", self.unit.strip())
