"""How a long training shows how far it is."""

import sys
import time
from collections.abc import Callable

Progress = Callable[[int, int, float], None]  # called with (step, of how many, loss)


def bar(title: str) -> Progress:
    """A progress line for `title` on stderr, redrawn in place: share, loss and the time left."""
    started = time.monotonic()

    def show(step: int, steps: int, loss: float) -> None:
        left_s = (time.monotonic() - started) / step * (steps - step)
        filled = f"{'#' * (30 * step // steps):30}"
        line = f"\r{title:8} [{filled}] {step}/{steps}  loss {loss:.3f}  {left_s:4.0f} s left "
        print(line, end="\n" if step == steps else "", file=sys.stderr, flush=True)

    return show
