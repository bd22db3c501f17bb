"""LLM_TIMING=1: each upstream call on stderr, its start and its end, for whoever tunes a prompt or a server.

Decided once, when the process starts; unset, `clock_for` gives None and a call pays for one comparison.
"""

import os
import sys
import time

_WANTED = os.environ.get("LLM_TIMING") == "1"


class Timing:
    """One call's two lines. chars: characters of text, not bytes."""

    def __init__(self, provider, model, chars_in):
        self._call = f"provider={provider} model={model}"
        self._chars_in = chars_in
        self._started = time.monotonic()
        self._ttft_s = None
        self.chars_out = 0
        print(f"LLM start {self._call} chars_in={chars_in}", file=sys.stderr, flush=True)

    def said(self, text):
        """Count a piece of the answer; the first one is the head."""
        if text and self._ttft_s is None:
            self._ttft_s = time.monotonic() - self._started
        self.chars_out += len(text)

    def ended(self):
        seconds = time.monotonic() - self._started
        ttft = f" ttft={self._ttft_s:.3f}" if self._ttft_s is not None else ""
        print(
            f"LLM end {self._call} seconds={seconds:.3f} chars_in={self._chars_in} chars_out={self.chars_out}{ttft}",
            file=sys.stderr,
            flush=True,
        )


def clock_for(provider, model, payload):
    """A Timing for a call that begins now, None unless LLM_TIMING=1. payload: the request's body, bytes of JSON (ASCII, so bytes are characters)."""
    return Timing(provider, model, len(payload)) if _WANTED else None


def ms_since(started):
    """Whole milliseconds of monotonic time since `started`."""
    return round((time.monotonic() - started) * 1000)
