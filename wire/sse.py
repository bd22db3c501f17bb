"""Server-sent events, cut out of a byte stream as they come (WHATWG HTML, section 9.2).

Keeps the bytes of each event as received, so that what need not change is passed on unchanged. Knows nothing of what the events say.
"""

import re
from typing import NamedTuple

MAX_EVENT_BYTES = (
    64 * 1024 * 1024
)  # a stream that never ends an event must not fill the memory; images in answers are some MB
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n")
_LINE_END = re.compile(rb"\r\n|\n|\r")
DONE = b"data: [DONE]\n\n"


class Event(NamedTuple):
    """raw: the event's bytes with its blank line. data: what its data lines hold, None for a comment or an empty event."""

    raw: bytes
    data: bytes | None

    @property
    def is_done(self):
        return self.data is not None and self.data.strip() == b"[DONE]"


class Parser:
    """Feed it bytes cut anywhere, get whole events."""

    def __init__(self):
        self._rest = b""

    def feed(self, data):
        """The events that `data` completes. Raises ValueError when one grows beyond MAX_EVENT_BYTES."""
        text = self._rest + data
        events, start = [], 0
        for blank in _BLANK_LINE.finditer(text, max(0, len(self._rest) - 3)):
            events.append(_event(text[start : blank.end()]))
            start = blank.end()
        self._rest = text[start:]
        if len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError("an event of the stream does not end")
        return events

    def flush(self):
        """What stands at the end of the stream without a blank line, as an event, or None."""
        rest, self._rest = self._rest.strip(b"\r\n"), b""
        return _event(rest + b"\n\n") if rest else None


def _event(raw):
    if (
        raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw
    ):  # nearly every event: one data line
        return Event(raw, raw[6:-2] or None)
    data = [line[5:].removeprefix(b" ") for line in _LINE_END.split(raw) if line.startswith(b"data:")]
    return Event(raw, b"\n".join(data) or None)


def event(data):
    """One event with the given data bytes (without line ends)."""
    return b"data: " + data + b"\n\n"
