"""How far long work is, and that it goes on: a bar on a terminal, a line now and then in a log."""

import io
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

EVERY = 5.0
"""Seconds between two lines of a log, and of silence after which a stage says that it goes on."""

LONGEST = 60.0
"""Seconds of silence of a stage that has long said that it goes on."""

log = logging.getLogger(__name__)

_heard = time.monotonic()


def hear(record: logging.LogRecord | None = None) -> bool:
    """Note that something was said; a filter for the handler that shows the log, which lets everything through."""
    global _heard
    _heard = time.monotonic()
    return True


@contextmanager
def going_on(stage: str) -> Iterator[None]:
    """While this lasts, say that *stage* goes on where nothing else is said: after EVERY seconds, then twice as many, up to LONGEST."""
    ended, began = threading.Event(), time.monotonic()

    def say() -> None:
        silence = EVERY
        while not ended.wait(max(0.1, silence - (time.monotonic() - _heard))):
            if time.monotonic() - _heard >= silence:
                log.info("%-9s goes on, for %.0f s so far", stage, time.monotonic() - began)
                hear()
                silence = min(2 * silence, LONGEST)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Bar(tqdm):
    """tqdm's bar, for what takes longer than two seconds. Where there is no terminal, which would redraw it, it is a line of the log."""

    def __init__(self, iterable: Any = None, desc: str = "", total: float | None = None, **how: Any):
        self.is_logged = not sys.stderr.isatty()
        if self.is_logged:
            how |= {"mininterval": EVERY, "maxinterval": EVERY, "file": io.StringIO()}
        super().__init__(iterable, desc, total, delay=2, leave=False, **how)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the state; an empty *msg* takes the bar away, which a log need not know."""
        hear()
        if not self.is_logged:
            super().display(msg, pos)
        elif msg is None:
            done, total = (self.format_sizeof(n) if self.unit_scale else f"{n:,}" for n in (self.n, self.total or 0))
            log.info("%-9s %s%s %s", self.desc.removesuffix(": "), done, f" of {total}" if self.total else "", self.unit.strip())
