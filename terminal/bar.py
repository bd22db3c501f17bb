"""A bar for what takes longer than two seconds, with the time left.

It is used before any package is installed and by any Python, which it must not fail to load in.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 24  # of the bar itself, in characters
REDRAWN_S = 0.1
TOLD_S = 5.0  # how often a pipe is told
GUESSED_S = 2.0  # before that no time left is named
_CLEAR = "\r\x1b[K"


class Bar:
    """One line that is redrawn on a terminal; in a pipe a plain line every few seconds.

    stream: None takes stdout. What else is printed meanwhile goes through `say`.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._title = ""
        self._started = self._due = 0.0

    def show(self, title: str, fraction: float, note: str = "") -> None:
        """Draw how much of something is done, of 1. note: what it is at. A new title is a new beginning."""
        now = self._clock()
        if title != self._title:
            self._begin(title, now)
        if now < self._due:
            return
        fraction = min(max(fraction, 0.0), 1.0)
        left = time_left(now - self._started, fraction)
        if self._live:
            self._due = now + REDRAWN_S
            words = [f"{title} {_drawn(fraction)} {fraction:4.0%}", left, note]
            self._print(_CLEAR + _fitting("  ".join(filter(None, words))))
        else:
            self._due = now + TOLD_S
            self._print(f"{title}: " + ", ".join(filter(None, [f"{fraction:.0%}", left, note])) + "\n")

    def _begin(self, title: str, now: float) -> None:
        self._title, self._started = title, now
        self._due = now if self._live else now + TOLD_S
        if not self._live:
            self._print(f"{title}\n")

    def say(self, line: str) -> None:
        """Print a line that stays, in place of the bar, which is drawn anew below it."""
        self.clear()
        self._print(line + "\n")

    def clear(self) -> None:
        """Take the bar away; the next `show` draws it again."""
        if self._live and self._title:
            self._print(_CLEAR)
            self._due = 0.0

    def _print(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # the terminal is gone; what is half done goes on
            pass


def time_left(elapsed_s: float, fraction: float) -> str:
    """About how long the rest takes, in words; empty while nobody can tell."""
    if elapsed_s < GUESSED_S or fraction < 0.02 or fraction >= 1:
        return ""
    left_s = elapsed_s * (1 - fraction) / fraction
    if left_s < 5:
        return "a few seconds left"
    if left_s < 90:
        return f"about {5 * round(left_s / 5)} s left"
    return f"about {round(left_s / 60)} min left"


def _drawn(fraction: float) -> str:
    done = int(fraction * WIDTH)
    return "[" + "#" * done + "-" * (WIDTH - done) + "]"


def _fitting(line: str) -> str:
    """A line cut to the terminal's width, since one that wraps could not be redrawn."""
    return line[: shutil.get_terminal_size().columns - 1]
