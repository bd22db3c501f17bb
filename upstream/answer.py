"""A provider's answer as it arrives: a refusal, one JSON object, or a stream of events.

`AnswerReader` reads and checks it; `AnswerSummary` collects what the record keeps of it. Neither knows the
call's limits nor who waits for it; that is `attempt.py`'s.
"""

import codecs
import time
from collections.abc import Iterable, Iterator

import requests

from errors import StreamBroken, UpstreamError, UpstreamStatus
from telemetry import call_timing
from upstream.breaker import parse_retry_after
from upstream.cancellation import CancelToken
from upstream.connection import read_some, read_whole, set_silence
from upstream.endpoint import EventChunk, StreamDecoder
from wire import JsonObject, openai_chat, refusals, sse

RECORDED_CHARS = 2000  # of an answer kept for the record
MAX_ERROR_BYTES = 65536  # of a provider's error body that is read
# After [DONE]: how long the end of the response may take before its connection is given up rather than
# pooled.
DRAIN_S = 0.2


class AnswerSummary:
    """What the record keeps of an answer, brought up to date with each chunk."""

    def __init__(self) -> None:
        self.usage: JsonObject | None = None  # the provider's own object, the last one it sent
        self.finish_reason: str | None = None  # of the first choice
        self.pieces = 0  # chunks with content, of about one token each
        self.timing: call_timing.Timing | None = None
        self._texts: list[str] = []
        self._chars = 0

    @property
    def content(self) -> str:
        """The beginning of what was answered, at least RECORDED_CHARS of it if there was as much."""
        return "".join(self._texts)

    def add(self, chunk: JsonObject) -> None:
        first = openai_chat.first_choice(chunk)
        self.usage = chunk.get("usage") or self.usage
        self.pieces += openai_chat.has_content(chunk)
        self.finish_reason = first.get("finish_reason") or self.finish_reason
        if self._chars >= RECORDED_CHARS and not self.timing:
            return
        text = openai_chat.answer_text(first)
        if self.timing:
            self.timing.received(text)
        if self._chars < RECORDED_CHARS:
            self._texts.append(text)
            self._chars += len(text)


class AnswerReader:
    """Reads one response, on one thread at a time. Another thread can only shut its socket down."""

    def __init__(
        self,
        response: requests.Response,
        cancel_token: CancelToken,
        provider: str,
        decoder: StreamDecoder,
        summary: AnswerSummary,
    ) -> None:
        """provider: its name, for messages."""
        self.status = response.status_code
        self.is_json = "json" in response.headers.get("Content-Type", "")
        self._response = response
        self._cancel_token = cancel_token
        self._provider = provider
        self._decoder = decoder
        self._summary = summary
        self._parser = sse.Parser()

    def close(self) -> None:
        self._response.close()

    def set_silence(self, silence_s: float) -> None:
        """Set how long the next read may block, in seconds."""
        set_silence(self._response, silence_s)

    def refusal(self) -> UpstreamStatus:
        """The answer as the error it is."""
        body = read_whole(self._response, self._cancel_token, max_bytes=MAX_ERROR_BYTES, truncate=True)
        error = openai_chat.error_in(body)
        retry_after_s = parse_retry_after(self._response.headers.get("Retry-After"), time.time())
        status = refusals.true_status(self.status, error) if self.status >= 400 else 502
        return UpstreamStatus(
            status, error, self._provider, retry_after_s, lacking=refusals.lacking(status, error)
        )

    def whole(self) -> EventChunk:
        """The answer of a server that does not stream, as if it were one event."""
        body = read_whole(self._response, self._cancel_token)
        try:
            answer = openai_chat.parse_chunk(body.removeprefix(codecs.BOM_UTF8))
        except (ValueError, RecursionError) as error:
            raise StreamBroken("it sent something that is no completion") from error
        self._check(answer)
        if not answer.get("choices"):
            raise StreamBroken("it answered without choices")
        chunk = openai_chat.chunk_of(answer)
        self._summary.add(chunk)
        return sse.Event(sse.event(openai_chat.dumps(chunk)), b""), chunk

    def read(self) -> Iterator[EventChunk] | None:
        """The next events, None at the end of the stream.

        Raises StreamBroken, also while they are iterated.
        """
        data = read_some(self._response, self._cancel_token)
        if not data:
            last = self._parser.flush()
            return self._decoded([last]) if last else None
        try:
            events = self._parser.feed(data)
        except ValueError as error:
            raise StreamBroken(str(error)) from error
        return self._decoded(events)

    def drain(self) -> None:
        """Read the response to its end, so that its connection can serve again.

        One that goes on after [DONE] is closed.
        """
        try:
            read_whole(self._response, self._cancel_token, deadline=time.monotonic() + DRAIN_S)
        except UpstreamError:
            self._response.close()

    def _decoded(self, events: Iterable[sse.Event]) -> Iterator[EventChunk]:
        for raw in events:
            try:
                pairs = self._decoder.decode(raw)
            except (ValueError, RecursionError) as error:
                raise StreamBroken("it sent something that is no completion") from error
            for event, chunk in pairs:
                if chunk is not None:
                    self._check(chunk)
                    self._summary.add(chunk)
                yield event, chunk

    def _check(self, chunk: JsonObject) -> None:
        error = None if "choices" in chunk and "error" not in chunk else openai_chat.error_of(chunk)
        if error:
            raise _error_in_stream(error, self._provider)


def _error_in_stream(error: JsonObject, provider: str) -> UpstreamError:
    """A provider's error event as an exception; its code is a status where it is one."""
    code = error.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        return UpstreamStatus(code, error, provider, lacking=refusals.lacking(code, error))
    broken = StreamBroken(error["message"], error.get("param"), code)
    broken.type = error.get("type") or broken.type
    if lacking := refusals.lacking(None, error):
        broken.reason, broken.lacks = lacking, True
    return broken
