"""Step 5: an attempt's answer as the client's, whole or as a stream.

Nothing is sent before the head is in hand; from then on a failure is told in the client's own API, and the
stream ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from errors import Cancelled, ProxyError, UpstreamError
from proxy.client_api import AnswerContext, Relay
from proxy.exchange import Exchange
from proxy.request import Request
from proxy.route_note import RouteNote
from telemetry.events import FirstByte
from upstream.attempt import Attempt
from wire import JsonObject, openai_chat, sse
from wire.native import NATIVE

AnyError = TypeVar("AnyError", bound=ProxyError)


@dataclass(frozen=True)
class WholeReply:
    """An answer in one piece, as JSON."""

    body: bytes


@dataclass(frozen=True)
class StreamReply:
    """An answer that goes on. Its iterator never raises for what a provider does."""

    chunks: Iterator[bytes]


Reply = WholeReply | StreamReply


def whole_reply(value: Any) -> WholeReply:
    """A JSON value as a reply."""
    return WholeReply(openai_chat.dumps(value))


def reply(exchange: Exchange, request: Request, attempt: Attempt, note: RouteNote | None) -> Reply:
    """The answer of an attempt whose head is in hand.

    note: the line about the route that it begins with, if any. Raises UpstreamError when an answer that is
    not streamed ends too early, Cancelled.
    """
    exchange.calls.answers(attempt)
    if attempt.native:
        note = None
    if request.stream:
        return StreamReply(_streamed(exchange, request, attempt, note))
    try:
        completion = _whole(exchange, request, attempt, note)
    except UpstreamError as error:
        exchange.calls.failed(attempt, error)
        raise with_subject(error, attempt) from error
    exchange.calls.ended(attempt)
    exchange.notify(FirstByte(exchange.ms()))
    return whole_reply(completion)


def _whole(exchange: Exchange, request: Request, attempt: Attempt, note: RouteNote | None) -> JsonObject:
    """The whole answer of an attempt, for the client. Raises StreamBroken when it ended too early."""
    assembly = openai_chat.Assembly()
    for _, chunk in attempt.events():
        if note and chunk and openai_chat.has_content(chunk):
            assembly.add(note.chunk(chunk, exchange.ms()))
            note = None
        if chunk is not None:
            assembly.add(chunk)
    if not attempt.saw_done and not assembly.finished:
        raise attempt.broke_off()
    if attempt.native_answer is not None:
        return attempt.native_answer
    return request.api.answer(assembly.answer(), exchange, _context(exchange, request, attempt))


def _streamed(
    exchange: Exchange, request: Request, attempt: Attempt, note: RouteNote | None
) -> Iterator[bytes]:
    """The bytes of a stream: what came before the head in one go, then as it comes, then a proper end."""
    relay: Relay = (
        NATIVE[attempt.native.api].relay()
        if attempt.native
        else request.api.relay(exchange, _context(exchange, request, attempt))
    )
    pending: list[bytes] = []  # what comes before the head waits for it
    try:
        yield from _relayed(exchange, attempt, relay, note, pending)
        if not attempt.saw_done and not relay.finished:
            raise attempt.broke_off()
        exchange.delivered = True  # now: a client may close its connection as soon as it reads the end
        yield b"".join(pending) + relay.ending()
    except Cancelled:
        if exchange.failure is None:  # the client has gone; else it is we who leave, and the client is told
            return
        yield request.api.error_event(exchange.failure, exchange.id, relay)
    except ProxyError as error:
        exchange.failure = with_subject(error, attempt)
        exchange.calls.failed(attempt, error)
        yield request.api.error_event(error, exchange.id, relay)


def _relayed(
    exchange: Exchange, attempt: Attempt, relay: Relay, note: RouteNote | None, pending: list[bytes]
) -> Iterator[bytes]:
    """The provider's events as the client gets them, up to the end."""
    head_sent = False
    for event, chunk in attempt.events():
        if event.is_done:
            continue
        if head_sent:
            if sent := relay.pass_on(event, chunk):
                yield sent
            continue
        begins = chunk is not None and openai_chat.has_content(chunk)
        if chunk is not None and begins and note:
            before = note.chunk(chunk, exchange.ms())
            pending.append(relay.pass_on(sse.Event(sse.event(openai_chat.dumps(before)), b""), before))
        pending.append(relay.pass_on(event, chunk))
        if begins:
            head_sent = True
            exchange.notify(FirstByte(exchange.ms()))
            sent = b"".join(pending)
            pending.clear()
            if sent:
                yield sent


def _context(exchange: Exchange, request: Request, attempt: Attempt) -> AnswerContext:
    head_ms = None if attempt.head_at is None else exchange.ms(attempt.head_at)
    return AnswerContext(request.body, attempt.model or request.model, head_ms)


def with_subject(error: AnyError, attempt: Attempt) -> AnyError:
    """An error with the provider's name where it says "it": alone, nobody would know whom it means."""
    if error.message.startswith("it "):
        error.message = f"provider '{attempt.provider.name}' {error.message[3:]}"
    return error
