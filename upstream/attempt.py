"""One try at one provider: start it, wait for its head, read its events, or cancel it.

The head is the first event that brings content. Whoever calls `head()`, or the thread that `start()` was
given, reads up to there and stops. Then `events()` reads on from the same response, so an attempt has one
reader at a time, and what arrives between waits in the socket. `cancel()` shuts the socket down from any
thread, and nobody waits for the reader.

It knows nothing of routes, clients or records.
"""

import dataclasses
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Executor
from typing import Self

from errors import Cancelled, HeadTimeout, ProxyError, StreamBroken
from settings.model import ModelRule
from telemetry import call_timing
from upstream.admission import Slot
from upstream.answer import RECORDED_CHARS as RECORDED_CHARS  # for those who keep an attempt's `content`
from upstream.answer import AnswerReader, AnswerSummary
from upstream.breaker import Permit
from upstream.cancellation import CancelToken
from upstream.endpoint import CHAT, Endpoint, EventChunk, NativeDecoder, StreamDecoder
from wire import JsonObject, openai_chat
from wire import usage as usages
from wire.native import NATIVE, Native


class Attempt:
    """A streamed call of an OpenAI completion endpoint."""

    def __init__(
        self,
        provider: Endpoint,
        path: str,
        client_body: JsonObject,
        *,
        native: Native | None = None,
        rule: ModelRule | None = None,
        slot: Slot | None = None,
        permit: Permit | None = None,
    ) -> None:
        """path: such as "/chat/completions". client_body: the request before the provider shapes it.

        native: what a provider that speaks the client's own API is sent instead. rule: the one that led here.
        slot: released when the attempt has ended. permit: hears what came of it.
        """
        self.provider = provider
        self.client_body = client_body
        self.native = native if native and provider.speaks(native.api) else None
        self.path = NATIVE[self.native.api].path if self.native else path
        self.queued_ms = slot.queued_ms if slot else 0
        self.sent_body: JsonObject | None = None  # what went out, once it has
        self.url: str | None = None
        self.cancel_token = CancelToken()
        self.started_at = time.monotonic()
        self.head_at: float | None = None  # when the first content arrived
        self.ended_at: float | None = None
        self.status: int | None = None  # the provider's HTTP status; None before its headers
        self.failure: ProxyError | None = None  # what it ended with
        self.saw_done = False
        self.is_empty = False  # the answer is complete and has nothing in it; known once head() has returned
        # An editor's completion may be nothing, and so may be what ends at the client's own stop words.
        self._may_be_empty = path != CHAT or bool(client_body.get("stop"))
        self._rule = rule
        self._slot = slot
        self._permit = permit
        self._timeouts = provider.timeouts(rule)
        self._native_decoder: NativeDecoder | None = (
            NATIVE[self.native.api].decoder(int(time.time())) if self.native else None
        )
        self._decoder: StreamDecoder = self._native_decoder or provider.decoder()
        self._summary = AnswerSummary()
        self._resolved = threading.Event()  # head in hand, or failed
        self._buffered: list[EventChunk] = []  # up to and including the head
        self._reader: AnswerReader | None = None
        self._runs_elsewhere = False
        # Held by whoever reads the response, so that nobody closes it under them.
        self._reading = threading.Lock()

    # Before the head.

    def start(self, executor: Executor) -> Self:
        """Reach for the head on another thread. Returns at once."""
        self._runs_elsewhere = True
        executor.submit(self._reach_head)
        return self

    def head(self) -> None:
        """Wait until the first content is in hand.

        Raises what the attempt failed with: Cancelled after cancel(), ConnectFailed, UpstreamStatus,
        HeadTimeout when `timeouts.first_byte_s` passed (generous, since a long prefill is silent),
        StreamBroken; BadRequest if the provider can't be sent such a request.
        """
        if self._runs_elsewhere:
            self._resolved.wait()
        else:
            self._reach_head()
        if self.cancelled:
            raise Cancelled("hung up")
        if self.failure:
            raise self.failure

    def cancel(self) -> None:
        """Cancel the call, from any thread.

        The upstream sees it at once; whoever waits for the head gets Cancelled.
        """
        self.cancel_token.cancel()
        self._resolved.set()
        self._close_unread()
        self._end()

    def close(self) -> None:
        """Cancel what nobody has read to its end; nothing to do for an attempt that has ended."""
        if self.ended_at is None:
            self.cancel()

    @property
    def cancelled(self) -> bool:
        return self.cancel_token.cancelled

    @property
    def failed(self) -> bool:
        return self._resolved.is_set() and self.failure is not None and not self.cancelled

    def _reach_head(self) -> None:
        try:
            with self._reading:
                reader = self._send()
                self._read_to_head(reader)
                if self.is_empty:
                    reader.drain()
            if self._permit:
                self._permit.succeeded()
            if self.is_empty:
                self._end()  # the chain goes on, and gives this one's place to others
        except ProxyError as error:
            self._fail(error)
        except Exception as error:  # the edge of a worker thread: whatever it is, the waiter must hear of it
            broken = StreamBroken("its answer could not be read")
            broken.__cause__ = error
            self._fail(broken)
        finally:
            self._resolved.set()
            if self.cancelled:
                self._close_unread()

    def _send(self) -> AnswerReader:
        """Send the request and return the reader of an answer that is no refusal.

        It is sent once more where the server has another model by now than the one that was asked for.
        """
        self.provider.prepare(self.cancel_token)
        reader = self._request()
        if reader.status < 300:
            return reader
        refusal = self.provider.refused(reader.refusal(), self.model, self.cancel_token)
        if refusal:
            raise refusal
        reader.close()
        reader = self._request()
        if reader.status >= 300:
            raise reader.refusal()
        return reader

    def _request(self) -> AnswerReader:
        """Send the request and return the reader of its answer, whatever it is."""
        if self.cancelled:
            raise Cancelled("hung up")
        provider, native = self.provider, self.native
        if native:
            self.sent_body = provider.native_body(native.body, self._rule)
        else:
            self.sent_body = provider.body(self.client_body, self._rule)
        payload = openai_chat.dumps(self.sent_body)
        self._summary.timing = call_timing.clock_for(provider.name, self.model, payload)
        self.url = provider.url(self.path, self.cancel_token)
        response = provider.upstream.call(
            self.cancel_token,
            "POST",
            self.url,
            payload,
            connect_s=self._timeouts.connect_s,
            read_s=self._left_s(self._head_s),
            headers=native.headers if native else None,
        )
        reader = AnswerReader(response, self.cancel_token, provider.name, self._decoder, self._summary)
        self._reader, self.status = reader, reader.status
        provider.heard_at = time.monotonic()
        return reader

    def _read_to_head(self, reader: AnswerReader) -> None:
        if reader.is_json:
            if self.native:
                raise StreamBroken("it did not stream its answer")
            self._buffered = [reader.whole()]
            self.is_empty = not self._begins(self._buffered[0][1])
            self.head_at = time.monotonic()
            return None
        while self.head_at is None:
            reader.set_silence(self._left_s(self._head_s))
            events = reader.read()
            self.provider.heard_at = time.monotonic()
            if events is None:
                if not self._summary.finish_reason:
                    raise StreamBroken("it ended its answer without any content")
                return self._ends_empty()
            for event, chunk in events:
                self._buffered.append((event, chunk))
                if self.head_at is None and self._begins(chunk):
                    self.head_at = time.monotonic()
                elif self.head_at is None and event.is_done:
                    self._ends_empty()

    def _begins(self, chunk: JsonObject | None) -> bool:
        """Whether a chunk brings an answer, or the end of one that is an answer although it is empty."""
        if not chunk:
            return False
        return (openai_chat.has_content if self._may_be_empty else openai_chat.has_answer)(chunk)

    def _ends_empty(self) -> None:
        """The answer has ended, and no chunk of it had any content."""
        self.head_at = time.monotonic()
        answer = self.native_answer
        said = answer and (answer.get("content") or answer.get("output"))
        self.is_empty = not said and not self._may_be_empty

    # From the head on.

    def events(self) -> Generator[EventChunk, None, None]:
        """Yield (event, chunk) from the first one on, once `head()` has returned.

        Ends after [DONE] or where the upstream closed; `saw_done` tells which. Raises Cancelled,
        StreamBroken, HeadTimeout (silence beyond `timeouts.idle_s`, or `timeouts.total_s` passed).
        """
        reader = self._reader
        if reader is None:
            raise RuntimeError("events() before head()")
        try:
            with self._reading:
                yield from self._events(reader)
        except ProxyError as error:
            self._fail(error)
            raise
        finally:
            if not self.saw_done:
                reader.close()
            self._end()

    def _events(self, reader: AnswerReader) -> Iterator[EventChunk]:
        for event, chunk in self._buffered:
            yield event, chunk
            if event.is_done or event.data == b"":
                return self._finish(reader)
        if self.is_empty:
            return
        timeouts = self._timeouts
        reader.set_silence(timeouts.idle_s)
        while True:
            if timeouts.total_s:
                reader.set_silence(min(timeouts.idle_s, self._left_s(timeouts.total_s)))
            events = reader.read()
            self.provider.heard_at = time.monotonic()
            if events is None:
                return None
            for event, chunk in events:
                yield event, chunk
                if event.is_done:
                    return self._finish(reader)

    def _finish(self, reader: AnswerReader) -> None:
        self.saw_done = True
        if not self.is_empty:  # whose response has been read to its end
            reader.drain()

    def broke_off(self) -> StreamBroken:
        """The error of an answer that ended without being complete, noted as what this attempt failed with.

        Its reader knows what complete means.
        """
        self.failure = StreamBroken(f"provider '{self.provider.name}' broke off its answer")
        return self.failure

    # The end.

    def _fail(self, error: ProxyError) -> None:
        self.failure = error
        if self._reader is not None:
            self._reader.close()
        if self._permit:
            self._permit.failed(error, error.retry_after_s)
        self._end()

    def _end(self) -> None:
        """Note the end and give the slot back; the first time counts."""
        if self.ended_at is None:
            self.ended_at = time.monotonic()
            if self._summary.timing:
                self._summary.timing.ended()
        if self._slot:
            self._slot.release()
        if self._permit:
            self._permit.dropped()  # unless it was reported on before

    def _close_unread(self) -> None:
        """Close a response that was cancelled with its head in hand and that nobody will read on.

        A reader does that itself.
        """
        if self._reading.acquire(blocking=False):
            try:
                if self._reader is not None:
                    self._reader.close()
            finally:
                self._reading.release()

    # What it was, for the record.

    @property
    def connected_at(self) -> float | None:
        """Monotonic, when its connection was ready to take the request."""
        return self.cancel_token.connected_at

    @property
    def usage(self) -> JsonObject | None:
        """The provider's own usage object."""
        return self._summary.usage

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice."""
        return self._summary.finish_reason

    @property
    def content(self) -> str:
        """The beginning of what was answered, at least RECORDED_CHARS of it if there was as much."""
        return self._summary.content

    @property
    def native_answer(self) -> JsonObject | None:
        """The whole answer in the client's own API, once it has been read; None for a call in another API."""
        return self._native_decoder.answer if self._native_decoder else None

    @property
    def model(self) -> str:
        """The name of the model in the request as it was sent."""
        return (self.sent_body or {}).get("model") or self.provider.model

    @property
    def used(self) -> usages.Usage:
        """As the provider reported it, else an estimate of what went out and came in.

        Nothing for a call that was refused.
        """
        reported = usages.parse_usage(self.usage)
        if reported:
            return reported
        if self.sent_body is None or self.connected_at is None or (self.status or 200) >= 300:
            return usages.Usage()
        estimated = usages.estimate_usage(self.sent_body, self._summary.pieces)
        begun = usages.parse_usage(self._decoder.usage)
        if not begun:
            return estimated
        output_tokens = max(begun.output_tokens, estimated.output_tokens)
        return dataclasses.replace(begun, output_tokens=output_tokens, estimated=True)

    # Its limits.

    @property
    def _head_s(self) -> float:
        timeouts = self._timeouts
        return min(timeouts.first_byte_s, timeouts.total_s or timeouts.first_byte_s)

    def _left_s(self, limit_s: float) -> float:
        """What is left of a limit that began with the attempt. Raises HeadTimeout when nothing is."""
        left_s = self.started_at + limit_s - time.monotonic()
        if left_s <= 0:
            raise HeadTimeout(f"no answer within {limit_s:g} s")
        return left_s
