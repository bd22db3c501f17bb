"""One try at one provider: start it, wait for its head, read its events, or hang up.

The head is the first event that brings content. Whoever calls `head()` or the thread that `start()` was given reads up to there and stops;
then `events()` reads on from the same response, so an attempt has one reader at a time and what arrives between waits in the socket.
Cancelling is hanging up: `cancel()` shuts the socket down from any thread and nobody waits for the reader.

It knows nothing of routes, clients or records.
"""

import dataclasses
import threading
import time

from errors import Cancelled, HeadTimeout, ProxyError, StreamBroken, UpstreamError, UpstreamStatus
from providers import MAX_ERROR_BYTES
from telemetry import call_timing as timing
from upstream.breaker import parse_retry_after
from upstream.connection import CancelToken, read_some, read_whole, set_silence
from wire import openai_chat, sse
from wire import usage as usages
from wire.native import NATIVE

NOTED_CHARS = 2000  # of an answer kept for the record
DRAIN_S = 0.2  # after [DONE]: how long the end of the response may take before its connection is given up rather than pooled


class Attempt:
    """A streamed call of an OpenAI completion endpoint."""

    def __init__(self, provider, path, client_body, *, native=None, rule=None, slot=None, permit=None):
        """provider: a providers.Provider. path: such as "/chat/completions". client_body: the request before the provider shapes it.

        native: a dialects.Native, which is what a provider that speaks its API is asked instead. rule: the config.ModelRule that led here.
        slot: an admission.Slot, released when the attempt has ended. permit: a breaker.Permit, told what came of it. Each may be None.
        """
        self.provider = provider
        self.client_body = client_body
        self.native = native if native and provider.speaks(native.api) else None
        self.path = NATIVE[native.api].path if self.native else path
        self.queued_ms = slot.queued_ms if slot else 0
        self._rule = rule
        self._slot = slot
        self._permit = permit
        self._timeouts = provider.timeouts(rule)
        self._decoder = NATIVE[native.api].decoder(int(time.time())) if self.native else provider.decoder()
        self.sent_body = None  # what went out, a dict, once it has
        self.cancel_token = CancelToken()
        self.started_at = time.monotonic()
        self.head_at = None  # when the first content arrived; None before
        self.ended_at = None
        self.status = None  # the provider's HTTP status; None before its headers
        self.failure = None  # the ProxyError it ended with
        self.url = None
        self.usage = None  # as the provider told it
        self.finish_reason = None  # of the first choice
        self.saw_done = False
        self._timing = None
        self._pieces = 0  # chunks with content, of about one token each
        self._said = []
        self._said_chars = 0
        self._settled = threading.Event()  # head in hand, or failed
        self._buffered = []  # (event, chunk) up to and including the head
        self._response = None
        self._parser = sse.Parser()
        self._runs_elsewhere = False
        self._reading = (
            threading.Lock()
        )  # held by whoever reads the response, so that nobody closes it under them

    # Before the head.

    def start(self, executor):
        """Reach for the head on another thread. Returns at once."""
        self._runs_elsewhere = True
        executor.submit(self._reach_head)
        return self

    def head(self):
        """Wait until the first content is in hand.

        Raises what the attempt failed with: Cancelled after cancel(), ConnectFailed, UpstreamStatus, HeadTimeout when `timeouts.first_byte_s`
        passed (generous, since a long prefill is silent), StreamBroken; BadRequest if the provider can't be sent such a request.
        """
        if self._runs_elsewhere:
            self._settled.wait()
        else:
            self._reach_head()
        if self.cancel_token.cancelled:
            raise Cancelled("hung up")
        if self.failure:
            raise self.failure

    def cancel(self):
        """Hang up, from any thread. The upstream sees it at once; whoever waits for the head is let go with Cancelled."""
        self.cancel_token.cancel()
        self._settled.set()
        self._close_unread()
        self._end()

    def close(self):
        """Hang up what nobody has read to its end; nothing to do for an attempt that has ended."""
        if self.ended_at is None:
            self.cancel()

    def _end(self):
        """Note the end and give the slot back; the first time counts."""
        if self.ended_at is None:
            self.ended_at = time.monotonic()
            if self._timing:
                self._timing.ended()
        if self._slot:
            self._slot.release()
        if self._permit:
            self._permit.dropped()  # unless it has been told before

    def _close_unread(self):
        """Let go of a response that was hung up with its head in hand and that nobody will read on; a reader does that itself."""
        if self._reading.acquire(blocking=False):
            try:
                if self._response is not None:
                    self._response.close()
            finally:
                self._reading.release()

    @property
    def failed(self):
        return self._settled.is_set() and self.failure is not None and not self.cancel_token.cancelled

    def _reach_head(self):
        try:
            with self._reading:
                self._open()
                self._read_to_head()
            if self._permit:
                self._permit.succeeded()
        except ProxyError as error:
            self._fail(error)
        except Exception as error:  # the edge of a worker thread: whatever it is, the waiter must hear of it
            self._fail(StreamBroken("its answer could not be read"))
            self.failure.__cause__ = error
        finally:
            self._settled.set()
            if self.cancel_token.cancelled:
                self._close_unread()

    def _open(self):
        if self.cancel_token.cancelled:
            raise Cancelled("hung up")
        provider, native = self.provider, self.native
        self.sent_body = (
            provider.native_body(native.body, self._rule)
            if native
            else provider.body(self.client_body, self._rule)
        )
        payload = openai_chat.dumps(self.sent_body)
        self._timing = timing.clock_for(provider.name, self.model, payload)
        self.url = provider.url(self.path, self.cancel_token)
        limits = {"connect_s": self._timeouts.connect_s, "read_s": self._left(self._head_s)}
        self._response = provider.upstream.call(
            self.cancel_token, "POST", self.url, payload, **limits, headers=native and native.headers
        )
        self.status = self._response.status_code
        if self.status >= 300:
            raise self._refusal()

    def _refusal(self):
        body = read_whole(self._response, self.cancel_token, max_bytes=MAX_ERROR_BYTES, truncate=True)
        try:
            told = openai_chat.error_of(openai_chat.json.loads(body))
        except ValueError:
            told = None
        retry_after_s = parse_retry_after(self._response.headers.get("Retry-After"), time.time())
        return UpstreamStatus(
            self.status if self.status >= 400 else 502, told or {}, self.provider.name, retry_after_s
        )

    def _read_to_head(self):
        if "json" in self._response.headers.get("Content-Type", ""):
            self._buffered = [self._whole_answer()]
            self.head_at = time.monotonic()
            return
        while True:
            set_silence(self._response, self._left(self._head_s))
            events = self._read()
            if events is None:
                raise StreamBroken("it ended its answer without any content")
            for event, chunk in self._decoded(events):
                self._buffered.append((event, chunk))
                if self.head_at is None and (
                    (chunk and openai_chat.has_content(chunk)) or event.is_done
                ):  # an empty answer is an answer
                    self.head_at = time.monotonic()
            if self.head_at is not None:
                return

    def _whole_answer(self):
        """An upstream that does not stream: its answer as if it were one event."""
        if self.native:
            raise StreamBroken("it did not stream its answer")
        body = read_whole(self._response, self.cancel_token)
        try:
            answer = openai_chat.parse_chunk(body)
        except (ValueError, RecursionError) as error:
            raise StreamBroken("it sent something that is no completion") from error
        self._check(answer)
        if not answer.get("choices"):
            raise StreamBroken("it answered without choices")
        chunk = openai_chat.chunk_of(answer)
        self._note(chunk)
        return sse.Event(sse.event(openai_chat.dumps(chunk)), b""), chunk

    # From the head on.

    def events(self):
        """Yield (event, chunk) from the first one on; chunk is None for comments and for [DONE].

        Ends after [DONE] or where the upstream closed; `saw_done` tells which. Raises Cancelled, StreamBroken, HeadTimeout (silence beyond
        `timeouts.idle_s`, or `timeouts.total_s` passed).
        """
        try:
            with self._reading:
                yield from self._events()
        except ProxyError as error:
            self._fail(error)
            raise
        finally:
            if not self.saw_done:
                self._response.close()
            self._end()

    def broke_off(self):
        """The StreamBroken of an answer that ended without being complete, noted as what this attempt failed with. Its reader knows what complete means."""
        self.failure = StreamBroken(f"provider '{self.provider.name}' broke off its answer")
        return self.failure

    def _events(self):
        for event, chunk in self._buffered:
            yield event, chunk
            if event.is_done or event.data == b"":
                return self._finish()
        timeouts = self._timeouts
        set_silence(self._response, timeouts.idle_s)
        while True:
            if timeouts.total_s:
                set_silence(self._response, min(timeouts.idle_s, self._left(timeouts.total_s)))
            events = self._read()
            if events is None:
                return None
            for event, chunk in self._decoded(events):
                yield event, chunk
                if event.is_done:
                    return self._finish()

    def _finish(self):
        """Read the response to its end so that its connection can serve again, unless it goes on after [DONE]."""
        self.saw_done = True
        deadline = time.monotonic() + DRAIN_S
        try:
            set_silence(self._response, DRAIN_S)
            while read_some(self._response, self.cancel_token):
                if time.monotonic() > deadline:
                    return self._response.close()
        except UpstreamError:
            self._response.close()

    def _read(self):
        """The next events, None at the end of the stream."""
        data = read_some(self._response, self.cancel_token)
        if data:
            try:
                return self._parser.feed(data)
            except ValueError as error:
                raise StreamBroken(str(error)) from error
        last = self._parser.flush()
        return [last] if last else None

    def _decoded(self, events):
        """Yield (event, chunk) for a provider's own events, each checked and noted."""
        for raw in events:
            try:
                pairs = self._decoder.decode(raw)
            except (ValueError, RecursionError) as error:
                raise StreamBroken("it sent something that is no completion") from error
            for event, chunk in pairs:
                if chunk is not None:
                    self._check(chunk)
                    self._note(chunk)
                yield event, chunk

    def _check(self, chunk):
        error = None if "choices" in chunk and "error" not in chunk else openai_chat.error_of(chunk)
        if error:
            raise _told_in_stream(error, self.provider.name)

    def _note(self, chunk):
        """Keep for the record what a chunk says: usage, the first choice's end, the beginning of its text."""
        self.usage = chunk.get("usage") or self.usage
        self._pieces += openai_chat.has_content(chunk)
        self.finish_reason = openai_chat.first_choice(chunk).get("finish_reason") or self.finish_reason
        if self._timing:
            self._timing.received(openai_chat.spoken(chunk))
        if self._said_chars < NOTED_CHARS:
            said = openai_chat.spoken(chunk)
            self._said.append(said)
            self._said_chars += len(said)

    @property
    def native_answer(self):
        """The whole answer in the client's own API, once it has been read; for an attempt that was asked natively."""
        return self._decoder.answer

    @property
    def model(self):
        """The name of the model that was asked for."""
        return (self.sent_body or {}).get("model") or self.provider.model

    @property
    def used(self):
        """The usages.Usage of this call: as the provider told it, else counted from what went out and came in; nothing for a call that was refused."""
        told = usages.parse_usage(self.usage)
        if told:
            return told
        if self.sent_body is None or self.cancel_token.connected_at is None or (self.status or 200) >= 300:
            return usages.Usage()
        counted, begun = (
            usages.estimate_usage(self.sent_body, self._pieces),
            usages.parse_usage(self._decoder.usage),
        )
        return (
            dataclasses.replace(
                begun, output_tokens=max(begun.output_tokens, counted.output_tokens), estimated=True
            )
            if begun
            else counted
        )

    @property
    def content(self):
        """The beginning of what was answered, at least NOTED_CHARS of it if there was as much."""
        return "".join(self._said)

    @property
    def _head_s(self):
        timeouts = self._timeouts
        return min(timeouts.first_byte_s, timeouts.total_s or timeouts.first_byte_s)

    def _left(self, limit_s):
        left = self.started_at + limit_s - time.monotonic()
        if left <= 0:
            raise HeadTimeout(f"no answer within {limit_s:g} s")
        return left

    def _fail(self, error):
        self.failure = error
        if self._response is not None:
            self._response.close()
        if self._permit:
            self._permit.failed(error, getattr(error, "retry_after_s", None))
        self._end()


def _told_in_stream(error, provider):
    """A provider's error event as an exception; its code is a status where it is one."""
    code = error.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        return UpstreamStatus(code, error, provider)
    broken = StreamBroken(error["message"], error.get("param"), code)
    broken.type = error.get("type") or broken.type
    return broken
