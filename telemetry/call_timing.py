"""LLM_TIMING=1: each upstream call on stderr, its start and its end, for whoever tunes a prompt or a server.

It is decided once, when the process starts. Unset, `clock_for` returns None and a call pays for one
comparison.
"""

import os
import sys
import time

_ENABLED = os.environ.get("LLM_TIMING") == "1"


class Timing:
    """One call's two lines. chars: characters of text, not bytes."""

    def __init__(self, provider: str, model: str, chars_in: int) -> None:
        self._call = f"provider={provider} model={model}"
        self._chars_in = chars_in
        self._started = time.monotonic()
        self._ttft_s: float | None = None
        self.chars_out = 0
        print(f"LLM start {self._call} chars_in={chars_in}", file=sys.stderr, flush=True)

    def received(self, text: str) -> None:
        """Count a piece of the answer; the first one with text is the head."""
        if text and self._ttft_s is None:
            self._ttft_s = time.monotonic() - self._started
        self.chars_out += len(text)

    def ended(self) -> None:
        seconds = time.monotonic() - self._started
        chars = f"chars_in={self._chars_in} chars_out={self.chars_out}"
        ttft = f" ttft={self._ttft_s:.3f}" if self._ttft_s is not None else ""
        print(f"LLM end {self._call} seconds={seconds:.3f} {chars}{ttft}", file=sys.stderr, flush=True)


def clock_for(provider: str, model: str, payload: bytes | str) -> Timing | None:
    """A Timing for a call that begins now; None unless LLM_TIMING=1.

    payload: the request's body, in ASCII, so that its bytes are characters; the URL where there is no body.
    """
    return Timing(provider, model, len(payload)) if _ENABLED else None


def ms_since(started: float) -> int:
    """Whole milliseconds since `started`, a reading of `time.monotonic()`."""
    return round((time.monotonic() - started) * 1000)
