"""Server-sent events, cut out of a byte stream as they come (WHATWG HTML, section 9.2).

Keeps the bytes of each event as received, so that what need not change is passed on unchanged. Knows nothing
of what the events say.
"""

import re
from typing import NamedTuple

# A stream that never ends an event must not fill the memory; images in answers are some MB.
MAX_EVENT_BYTES = 64 * 1024 * 1024
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n")
_LINE_END = re.compile(rb"\r\n|\n|\r")
DONE = b"data: [DONE]\n\n"


class Event(NamedTuple):
    """raw: the bytes with their blank line. data: of its data lines, None for a comment or an empty event."""

    raw: bytes
    data: bytes | None

    @property
    def is_done(self) -> bool:
        """Whether it is [DONE], which ends a stream of OpenAI's."""
        return self.data is not None and self.data.strip() == b"[DONE]"


class Parser:
    """Feed it bytes cut anywhere, get whole events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Event]:
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

    def flush(self) -> Event | None:
        """What stands at the end of the stream without a blank line, as an event, or None."""
        rest, self._rest = self._rest.strip(b"\r\n"), b""
        return _event(rest + b"\n\n") if rest else None


def _event(raw: bytes) -> Event:
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        # Nearly every event: one data line.
        return Event(raw, raw[6:-2] or None)
    data = [line[5:].removeprefix(b" ") for line in _LINE_END.split(raw) if line.startswith(b"data:")]
    return Event(raw, b"\n".join(data) or None)


def event(data: bytes, name: str = "") -> bytes:
    """One event with the given data (without line ends). name: of its kind; most streams have none."""
    kind = b"event: " + name.encode() + b"\n" if name else b""
    return kind + b"data: " + data + b"\n\n"
